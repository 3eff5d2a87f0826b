"""Where the page of an inspection may be written."""

import pytest
from PIL import Image

from tinyscope.data.file_tree import lies_among


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("place", "among"),
    [
        ("photos", True),
        ("photos/cat/seen", True),
        ("linked/seen", True),
        ("photos/tinyscope-data/photos", False),
        ("photos/.seen", False),
        ("photos/../seen", False),
        ("photos-seen", False),
    ],
)
def test_what_is_written_below_a_folder_lies_among_its_files(photos, place, among):
    assert lies_among(photos.parent / place, photos) is among


@pytest.mark.parametrize("place", ["photos", "photos/cat", "photos/seen"])
def test_a_page_is_not_written_among_the_images_that_it_shows(photos, place, here, tinyscope):
    Image.new("RGB", (40, 40)).save(photos / "cat" / "1.png")
    assert tinyscope("data", "photos", "--out", place) == (
        2,
        "",
        f"Error: --out {place} lies in photos, where the pictures of the page would be taken for "
        "images; expected a folder outside of it.\n",
    )
    assert [path.name for path in photos.rglob("*")] == ["cat", "1.png"]
