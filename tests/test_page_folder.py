"""Where the page of an inspection, and where a study, may be written."""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyscope.data.file_tree import lies_among
from tinyscope.errors import InputError
from tinyscope.plan.study import Study
from tinyscope.sweep.local import run_study


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


def test_a_data_set_without_a_name_of_its_own_is_not_written_to_the_current_folder(here, tinyscope):
    arrays = {"images": np.arange(384).reshape(6, 8, 8).astype(np.uint8), "labels": [0, 1] * 3}
    np.savez(here / "...npz", **arrays)
    answer = tinyscope("data", "./...npz", "--no-training")
    assert answer[:2] == (2, "")
    assert answer.err.splitlines()[-1] == (
        'Error: The name of ./...npz, "..", names no folder below tinyscope-data; give '
        "one with --out."
    )
    assert [path.name for path in here.iterdir()] == ["...npz"]


@pytest.mark.parametrize("place", ["photos/study", "linked/study"])
def test_a_study_is_not_kept_among_the_images_that_it_learns_from(photos, place, here, tinyscope):
    for name in ("cat/1.png", "dog/1.png"):
        (photos / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(photos / name)
    before = sorted(photos.rglob("*"))
    told = (
        f"{photos / 'study'} lies in photos, where the study's folders would be taken for classes; "
        "expected a folder outside of it, with --out."
    )
    answer = tinyscope("run", "demo", "--data", "photos", "--out", place)
    assert answer == (2, "", f"Error: {told}\n")
    with pytest.raises(InputError) as raised:
        run_study(Study(name="pets", data="photos"), out=here / place)
    assert str(raised.value) == told
    assert sorted(photos.rglob("*")) == before


def test_a_study_and_a_page_may_lie_beside_shards_where_nothing_is_taken_for_a_class(
    here, world, tinyscope
):
    place = here / "shards"
    place.mkdir()
    for part in world.parts():
        files = [BytesIO() for _ in part.labels]
        for file, image in zip(files, part.images, strict=True):
            Image.fromarray(image).save(file, "PNG")
        columns = {"image": [file.getvalue() for file in files], "label": part.labels}
        pq.write_table(pa.table(columns), place / f"{part.split}.parquet")
    study = Study(
        name="pets",
        base=False,
        data="shards",
        seeds=(0,),
        variations={"short": {"model": "compact-cnn", "epochs": 1, "precision": "fp32"}},
    )
    first = run_study(study, out=place / "study")
    again = run_study(study, out=place / "study")
    assert again.summary["variations"] == first.summary["variations"]
    command = ("data", "shards", "--no-training", "--out", "shards/seen")
    assert tinyscope(*command).status == 0
    assert tinyscope(*command).status == 0, "what lies there changes nothing"


def test_images_of_a_user_that_does_not_exist_are_told_in_one_line(here):
    with pytest.raises(InputError) as raised:
        run_study(Study(name="pets", data="~nobody-of-this-name/photos"))
    assert str(raised.value).startswith('There is no "~nobody-of-this-name/photos"')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", '{"shop": 1}'),
        ("data.json", '{"format": 1, "findings": []}'),
        ("data.json", "no JSON"),
        ("data.html", "<h1>My page</h1>"),
    ],
)
def test_a_page_takes_no_file_of_somebody_else_s(photos, name, content, here, tinyscope):
    for each in ("cat/1.png", "dog/1.png"):
        (photos / each).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40)).save(photos / each)
    command = ("data", "photos", "--no-training", "--out", "seen")
    (here / "seen").mkdir()
    (here / "seen" / name).write_text(content)
    answer = tinyscope(*command)
    assert answer[:2] == (2, "")
    assert answer.err.splitlines()[-1] == (
        f'Error: {here / "seen" / name} is there already, and "tinyscope data" has not written it. '
        "Move it away, or choose another folder with --out."
    )
    (kept,) = (here / "seen").iterdir()
    assert (kept.name, kept.read_text()) == (name, content)
    (here / "seen" / name).unlink()
    assert tinyscope(*command).status == 0
    assert tinyscope(*command).status == 0, "its own files are replaced"
