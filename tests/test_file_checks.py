from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.data.catalogue import load
from tinyscope.data.file_facts import file_facts
from tinyscope.inspection.file_checks import NO_FILES, file_checks
from tinyscope.inspection.findings import Outcome, Place


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Two classes of 30 noisy 40x30 pictures each."""
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        below = tmp_path / "pets" / name
        below.mkdir(parents=True)
        for n in range(30):
            pixels = draw.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(below / f"{n:02}.png")
    return tmp_path / "pets"


def checked(folder: Path) -> dict[str, Outcome]:
    return file_checks(load(folder), file_facts(folder))


def found(outcome: Outcome) -> list[tuple[Place | str, str]]:
    return [(item.place or item.file, item.detail) for item in outcome.items]


def test_plain_files_are_no_finding(folder):
    assert [found(outcome) for outcome in checked(folder).values()] == [[], [], [], []]


def test_a_file_that_cannot_be_read_is_named_with_the_reason(folder):
    whole = (folder / "cat" / "07.png").read_bytes()
    (folder / "cat" / "07.png").write_bytes(whole[:500])
    outcome = checked(folder)["TS001"]
    assert found(outcome) == [("cat/07.png", "truncated")]
    assert outcome.items[0].split == "train"
    assert outcome.summary == "59 of 60 files could be read."


def test_a_folder_that_is_linked_twice_is_no_file_that_cannot_be_read(folder):
    (folder / "cat" / "up").symlink_to("..", target_is_directory=True)
    (folder / "dog" / "here").symlink_to(".", target_is_directory=True)
    outcome = checked(folder)["TS001"]
    assert found(outcome) == []
    assert outcome.summary == "60 of 60 files could be read."


def test_a_wrong_ending_and_an_animation_are_named(folder):
    (folder / "cat" / "03.png").rename(folder / "cat" / "03.jpg")
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "dog" / "30.gif", save_all=True, append_images=frames[1:])
    assert found(checked(folder)["TS002"]) == [
        (Place("train", 3), "is PNG, but its name ends in .jpg"),
        (Place("train", 60), "GIF of several frames, of which the first is used"),
    ]


def test_a_file_beside_the_class_folders_is_odd_and_not_unreadable(folder):
    Image.new("RGB", (40, 30)).save(folder / "stray.png")
    outcomes = checked(folder)
    assert found(outcomes["TS002"]) == [("stray.png", "in no class folder")]
    assert found(outcomes["TS001"]) == []


def test_the_row_of_an_image_is_its_own_though_a_file_before_it_is_left_out(folder):
    (folder / "cat" / "01.png").write_bytes(b"")
    (folder / "cat" / "03.png").rename(folder / "cat" / "03.jpg")
    assert [item.place for item in checked(folder)["TS002"].items] == [Place("train", 2)]


def test_another_size_among_files_of_one_size_is_named(folder):
    Image.new("RGB", (80, 60)).save(folder / "dog" / "05.png")
    outcome = checked(folder)["TS003"]
    detail = "80x60 pixels, where the others have 40x30"
    assert found(outcome) == [(Place("train", 35), detail)]
    assert outcome.summary == "59 of 60 files have 40x30 pixels."


def test_where_sizes_differ_only_extremes_are_named(folder):
    draw = np.random.default_rng(1)
    for name in ("cat", "dog"):
        for n in range(30):
            size = int(draw.integers(60, 120)), int(draw.integers(60, 120))
            Image.new("RGB", size, (n, n, n)).save(folder / name / f"{n:02}.png")
    Image.new("RGB", (600, 90)).save(folder / "dog" / "05.png")
    Image.new("RGB", (10, 9)).save(folder / "dog" / "06.png")
    outcome = checked(folder)["TS003"]
    assert found(outcome) == [
        (
            Place("train", 35),
            "600x90 pixels, a shape by which half of the picture or more is cut off",
        ),
        (Place("train", 36), "10x9 pixels, smaller by far than usual and enlarged to 64 pixels"),
    ]


def test_another_colour_mode_is_named_with_both_kinds(folder):
    Image.new("L", (40, 30), 7).save(folder / "dog" / "05.png")
    outcome = checked(folder)["TS004"]
    detail = "in grey (mode L), where the others are in colour (mode RGB)"
    assert found(outcome) == [(Place("train", 35), detail)]
    assert outcome.summary == "59 of 60 files are in colour (mode RGB)."


def test_where_no_mode_is_usual_none_is_odd(folder):
    for n in range(30):
        Image.new("L", (40, 30), n).save(folder / "dog" / f"{n:02}.png")
    outcome = checked(folder)["TS004"]
    assert found(outcome) == []
    assert outcome.summary == "No mode is the usual one: RGB (30), L (30)."


def test_arrays_have_no_files_to_look_at():
    outcomes = file_checks(load("digits"), file_facts("digits"))
    assert {code for code, one in outcomes.items() if one.not_applicable == NO_FILES} == {
        "TS002",
        "TS003",
        "TS004",
    }
