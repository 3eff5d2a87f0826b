"""What is said of a data set that is too small for most of what is asked."""

import numpy as np
import pytest
from page_reader import Page
from PIL import Image

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.inspection.inspection import inspect
from tinyscope.report import data_page


def few(count: int, *, alike: bool = False) -> Splits:
    images = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    if alike:
        images[:] = images[0]
    labels = np.zeros(count, np.int64)
    return Splits("few", ImageDataset(images, labels, ("cat",), "train", "few"))


def words_of(seen) -> str:
    return " ".join(Page(data_page.render(seen.summary)).text.split())


@pytest.mark.parametrize("count", [1, 3])
def test_so_few_images_have_no_map_and_the_page_says_why(count):
    seen = inspect(few(count))
    assert seen.summary["map"] is None
    words = words_of(seen)
    assert "None was drawn: there are too few images for one." in words
    assert "--no-training" not in words, "it is not what was asked for, and would not help"
    assert "Not measured, because there is too little to train a model on." in words
    assert "were not made, as there is too little to train one on:" in words
    were = "1 image was" if count == 1 else "3 images were"
    assert f"{were} looked at, without training a model for it." in words


@pytest.mark.parametrize("alike", [False, True])
def test_a_few_images_more_have_a_map_even_if_they_are_all_alike(alike):
    seen = inspect(few(4, alike=alike))
    assert len(seen.summary["map"]["points"]) == 4
    assert "4 of 4 images" in words_of(seen)


def test_one_image_in_one_class_is_counted_as_such():
    assert inspect(few(1), training=False).lines()[0] == "few: 1 image in 1 class"


def test_images_beside_the_only_class_folder_are_told_to_have_no_class(tmp_path, tinyscope):
    (tmp_path / "img" / "cat").mkdir(parents=True)
    for name in ("1", "2", "cat/3"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "img" / f"{name}.png")
    answer = tinyscope("data", tmp_path / "img", "--out", tmp_path / "seen")
    assert answer.status == 0
    lines = answer.out.splitlines()
    assert lines[0] == "img: 1 image in 1 class, 2 more cannot be used"
    assert lines[1] == (
        "TS002 note    Odd files: misnamed, animated, or in no class folder: 2 (2 files have no "
        "class, as they lie in no class folder; expected <class>/<image> or "
        "train/<class>/<image>.)"
    )
    assert "Warning" not in answer.err
    (tmp_path / "img" / "2.png").unlink()
    answer = tinyscope("data", tmp_path / "img", "--no-training", "--out", tmp_path / "seen")
    assert "1 file has no class, as it lies in no class folder;" in answer.out
