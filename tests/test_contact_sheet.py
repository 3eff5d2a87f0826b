import numpy as np
import pytest
from PIL import Image

from tinyscope.errors import StorageError
from tinyscope.report.contact_sheet import MOST, Entry, drawn_rows, write_contact_sheet


def test_up_to_200_entries_are_all_shown():
    assert drawn_rows(MOST) == list(range(MOST))


def test_more_are_drawn_at_random_over_the_whole_range_and_always_the_same():
    rows = drawn_rows(5000)
    assert len(set(rows)) == MOST
    assert rows == sorted(rows) == drawn_rows(5000)
    assert np.histogram(rows, bins=5, range=(0, 5000))[0].min() > MOST / 5 / 2
    assert drawn_rows(5000, seed=1) != rows


def test_every_image_stands_on_the_sheet_enlarged_pixel_for_pixel(tmp_path):
    draw = np.random.default_rng(0)
    pairs = [draw.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8) for _ in range(12)]
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, [Entry(list(pair), "0.91 cat | dog") for pair in pairs])
    sheet = np.asarray(Image.open(path))
    for pair in pairs:
        for image in pair:
            large = image.repeat(3, axis=0).repeat(3, axis=1)
            first = np.argwhere((sheet == large[0, 0]).all(2))
            assert any(
                (sheet[y : y + 96, x : x + 96] == large).all()
                for y, x in first
                if y + 96 <= sheet.shape[0] and x + 96 <= sheet.shape[1]
            )


def test_grey_images_of_another_size_have_a_sheet_too(tmp_path):
    entries = [Entry([np.full((8, 8, 1), 200, np.uint8)], "blank")]
    write_contact_sheet(tmp_path / "sheet.png", entries)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert (sheet == 200).all(2).sum() == 96 * 96


def test_a_sheet_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_contact_sheet(
            tmp_path / "file" / "sheet.png", [Entry([np.zeros((8, 8, 1), np.uint8)], "x")]
        )
