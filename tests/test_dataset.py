import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tinyscope.data import array_file, image_folder
from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.errors import DataError, InputError
from tinyscope.plan.study import Study

HALF = "cat\ud800"  # half a letter, which no file can keep


def dataset(**changes):
    values = {
        **{"images": np.zeros((3, 4, 4, 3), np.uint8), "labels": np.zeros(3, np.int64)},
        **{"class_names": ("cat", "dog"), "split": "train", "source": "pets", **changes},
    }
    return ImageDataset(**values)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"images": [[0]]},
            "images are of the type list; expected a numpy array, uint8 (N, H, W, C).",
        ),
        ({"labels": [0, 1, 0]}, "labels are of the type list; expected a numpy array, int64 (N,)."),
        (
            {"images": np.zeros((3, 0, 4, 3), np.uint8)},
            "images are (3, 0, 4, 3); expected sides of 1 pixel or more.",
        ),
        ({"class_names": None}, "class_names is None; expected a tuple of texts."),
        ({"class_names": "ab"}, "class_names is 'ab'; expected a tuple of texts."),
        ({"class_names": 2}, "class_names is int; expected a tuple of texts."),
        (
            {"class_names": (0, 1, 2)},
            "class_names has 0, which is no text; expected a tuple of texts.",
        ),
        (
            {"class_names": ("dog", HALF)},
            r"class_names has 'cat\ud800', which is no Unicode; expected a tuple of texts.",
        ),
        ({"files": (1, 2, 3)}, "files has 1, which is no text; expected a tuple of texts."),
        ({"files": 3}, "files is int; expected a tuple of texts."),
        ({"left_out": ("a.png",)}, "left_out has 'a.png' in it; expected a tuple of LeftOut."),
        ({"left_out": ("",)}, "left_out has '' in it; expected a tuple of LeftOut."),
        ({"left_out": (None,)}, "left_out has None in it; expected a tuple of LeftOut."),
        (
            {"left_out": (LeftOut("a.png", "torn"), ())},
            "left_out has () in it; expected a tuple of LeftOut.",
        ),
        (
            {"left_out": (LeftOut("a.png", None),)},
            "left_out has None, which is no text; expected a tuple of LeftOut.",
        ),
        (
            {"left_out": (LeftOut(HALF, "torn"),)},
            r"left_out has 'cat\ud800', which is no Unicode; expected a tuple of LeftOut.",
        ),
    ],
)
def test_what_is_no_array_or_no_text_is_refused_in_a_line(changes, told):
    with pytest.raises(DataError) as raised:
        dataset(**changes)
    assert str(raised.value) == f"pets: {told}"


def test_a_source_or_a_name_that_is_no_unicode_is_refused():
    with pytest.raises(DataError, match=r"^source has 'cat\\ud800', which is no Unicode; expected"):
        dataset(source=HALF)
    with pytest.raises(DataError, match=r"^The name of a data set has 'cat\\ud800', which is no"):
        Splits(HALF, dataset())


def test_lists_of_names_are_kept_as_tuples():
    made = dataset(class_names=["cat", "dog"], files=["a", "b", "c"], left_out=[LeftOut("d", "-")])
    assert (made.class_names, made.files) == (("cat", "dog"), ("a", "b", "c"))
    assert made.left_out == (LeftOut("d", "-"),)


def test_splits_of_something_else_are_refused():
    with pytest.raises(DataError, match=r"^pets: test is of the type tuple; expected an ImageData"):
        Splits("pets", dataset(), test=([], []))
    with pytest.raises(DataError, match=r"^pets: train is of the type NoneType; expected an Image"):
        Splits("pets", None)


@pytest.fixture
def latin(tmp_path):
    """The path of a folder or file whose name is of bytes that are no UTF-8."""
    place = tmp_path / os.fsdecode(b"latin\xe9")
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this disk takes no such name")
    return place


def test_a_folder_whose_name_is_no_unicode_is_read_under_a_printable_name(latin, tinyscope):
    for number in range(6):
        path = latin / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (40 * number, 0, 0)).save(path)
    splits = image_folder.load(latin, size=8)
    assert (splits.name, splits.train.source) == (r"latin\xe9", r"latin\xe9/")
    out = latin.parent / "page"
    answer = tinyscope("data", latin, "--size", 8, "--no-training", "--out", out)
    assert (answer.status, answer.err.count("Error")) == (0, 0)
    assert r"latin\xe9" in (out / "data.html").read_text(encoding="utf-8")


def test_an_array_file_whose_name_is_no_unicode_is_read_under_a_printable_name(latin):
    path = latin / os.fsdecode(b"\xe9.npz")
    np.savez(path, images=np.arange(384).reshape(6, 8, 8).astype(np.uint8), labels=[0, 1] * 3)
    splits = array_file.load(path)
    assert (splits.name, splits.train.source) == (r"\xe9", r"\xe9.npz")


def test_class_names_of_an_array_file_that_are_no_unicode_are_a_fault(tmp_path):
    arrays = {"images": np.zeros((6, 8, 8), np.uint8), "labels": [0, 1] * 3}
    np.savez(tmp_path / "set.npz", **arrays, class_names=np.array(["dog", HALF]))
    with pytest.raises(DataError, match=r"class_names has 'cat\\ud800', which is no Unicode;"):
        array_file.load(tmp_path / "set.npz")


@pytest.mark.parametrize("key", ["data", "review", "question"])
def test_a_study_is_not_asked_of_what_its_file_cannot_keep(key):
    with pytest.raises(InputError) as raised:
        replace(Study(name="pets"), **{key: "pets\udce9"})
    assert str(raised.value) == (
        f"Study pets: {key} is 'pets\\udce9', which is no Unicode; a study's file cannot keep it. "
        "Rename the folder or file if it is the name of one."
    )


def test_a_name_that_is_no_unicode_cannot_be_a_studys():
    with pytest.raises(InputError, match=r"'pets\\udce9' cannot name a study: it is no Unicode\.$"):
        Study(name="pets\udce9")
