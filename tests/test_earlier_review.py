"""A review file that is written where one lies already, or where something else does."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from review_world import edited, finding, item, make_pets, part, renamed, without

from tinyscope.data.dataset import Splits
from tinyscope.data.review import apply_review, write_review
from tinyscope.errors import InputError, StorageError

FOUND = [
    finding(item("train", 3, "keep"), item("train", 4, "keep"), item("test", 2, "keep")),
    finding(item("train", 3, "relabel", new_class="dog"), code="TS015"),
]


@pytest.fixture
def pets() -> Splits:
    return make_pets()


@pytest.fixture
def path(pets, tmp_path) -> Path:
    """A review of them, as it was proposed."""
    write_review(tmp_path / "review.csv", FOUND, pets)
    return tmp_path / "review.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def saved(path: Path, changed: list[dict[str, str]], *, between: str = ",") -> None:
    """The rows as a person saves them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, dict.fromkeys(key for row in changed for key in row), None)
        table.writer = csv.writer(file, delimiter=between)
        table.writeheader()
        table.writerows([{key: row.get(key, "") for key in table.fieldnames} for row in changed])


def asked(path: Path) -> list[tuple[str, str, str, str]]:
    return [(row["row"], row["finding"], row["action"], row["new_class"]) for row in rows(path)]


def test_the_same_review_written_again_is_the_same_file(pets, path):
    before = path.read_bytes()
    told = write_review(path, FOUND, pets)
    assert (told, str(told)) == ((4, 0, 0), "4 rows")
    assert path.read_bytes() == before


def test_what_was_decided_stands_and_is_counted(pets, path):
    edited(path, action="exclude")
    told = write_review(path, FOUND, pets)
    assert (told, str(told)) == ((4, 1, 0), "4 rows, 1 as decided before")
    assert asked(path) == [
        ("3", "TS005", "exclude", ""),
        ("4", "TS005", "keep", ""),
        ("2", "TS005", "keep", ""),
        ("3", "TS015", "relabel", "dog"),
    ]
    assert apply_review(pets, path)[1].excluded == 1


def test_another_class_and_an_image_that_is_kept_after_all_are_decisions_too(pets, path):
    for change in ({"new_class": "horse"}, {"action": "keep"}, {"action": " Exclude "}):
        changed = rows(path)
        changed[3] |= change
        saved(path, changed)
        assert write_review(path, FOUND, pets) == (4, 1, 0)
        assert rows(path)[3] == changed[3]


def test_a_decision_about_one_finding_is_none_about_another_nor_about_another_split(pets, path):
    edited(path, action="exclude")
    found = [finding(item("train", 3, "keep"), item("test", 3, "keep"), code="TS006")]
    assert write_review(path, found, pets) == (4, 2, 0)
    # Then those that no finding names now, as far as they ask for something.
    assert asked(path) == [
        ("3", "TS006", "keep", ""),
        ("3", "TS006", "keep", ""),
        ("3", "TS005", "exclude", ""),
        ("3", "TS015", "relabel", "dog"),
    ]


def test_what_a_spreadsheet_made_of_the_file_is_still_carried_over(pets, path):
    names = ("001", "006", "007")
    agents = Splits("agents", replace(pets.train, class_names=names))
    found = [finding(item("train", 3, "relabel", new_class="007"), item("train", 4, "keep"))]
    path.unlink()
    write_review(path, found, agents)
    changed = rows(path)
    changed[0]["new_class"] = "7"
    changed[1]["action"] = "EXCLUDE"
    saved(path, changed, between=";")
    assert write_review(path, found, agents) == (2, 1, 0), "7 is 007 and no other choice"
    assert apply_review(agents, path)[1][1:3] == (1, 1)


def test_decisions_follow_images_that_were_renamed_or_moved_to_another_row(pets, path):
    changed = rows(path)
    changed[1]["action"] = "exclude"
    saved(path, changed)
    now = renamed(without(pets, 0), 3, "train/dog/rex.png")
    found = [finding(item("train", 3, "keep", file="train/dog/rex.png"))]
    assert write_review(path, found, now) == (2, 2, 0)
    assert asked(path) == [("3", "TS005", "exclude", ""), ("2", "TS015", "relabel", "dog")]
    assert rows(path)[1]["file"] == "train/cat/3.png"


def test_rows_added_by_hand_stay_with_the_pixels_that_they_lacked(pets, path):
    by_hand = {"action": "exclude", "split": "train", "row": "", "file": "train/horse/8.png"}
    saved(path, [*rows(path), by_hand, by_hand | {"action": "keep", "file": "train/cat/0.png"}])
    assert write_review(path, FOUND, pets) == (5, 1, 0)
    assert asked(path)[4] == ("8", "", "exclude", "")
    after, counts = apply_review(pets, path)
    assert counts.excluded == 1
    assert "train/horse/8.png" not in after.train.files


def test_decisions_about_images_that_are_gone_or_have_changed_are_dropped_and_told(pets, path):
    edited(path, action="exclude")
    told = write_review(path, [], without(pets, 3))
    assert str(told) == "0 rows, 2 dropped: their images are gone or have changed"
    path.unlink()
    write_review(path, FOUND, pets)
    images = pets.train.images.copy()
    images[3] += 1
    other = replace(pets, train=replace(pets.train, images=images))
    told = write_review(path, FOUND, other)
    assert str(told) == "4 rows, 1 dropped: its image is gone or has changed"
    assert write_review(path, FOUND, other) == (4, 0, 0)


def test_columns_of_a_persons_own_stay(pets, path):
    saved(path, [row | {"who": "Ada, 3 May"} for row in rows(path)])
    assert write_review(path, FOUND, pets) == (4, 0, 0)
    assert [row["who"] for row in rows(path)] == ["Ada, 3 May"] * 4
    assert apply_review(pets, path)[1][1:3] == (0, 1)


def test_two_rows_about_one_finding_of_an_image_both_stay(pets, path):
    changed = rows(path)
    saved(path, [changed[0], changed[0] | {"action": "exclude"}, *changed[1:]])
    assert write_review(path, FOUND, pets) == (5, 1, 0)
    assert apply_review(pets, path)[1].excluded == 1


OTHER_NAME = "Give the review another name, or delete that file first."


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            b"a,b\n1,2\n",
            "no column action, new_class, split, row, pixels; expected action, new_class, split, "
            "row, file, class, finding, detail, pixels, alike, size in the first line, as "
            "--write-review writes them",
        ),
        (
            "K\u00e4fer,action\n".encode("cp1252"),
            'not in UTF-8. Save it from the spreadsheet as "CSV UTF-8"',
        ),
        (b"x" * 200_000, "no table (field larger than field limit (131072))"),
    ],
)
def test_a_file_that_is_no_review_is_left_as_it_is(pets, tmp_path, content, fault):
    path = tmp_path / "review.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as told:
        write_review(path, FOUND, pets)
    assert str(told.value) == (
        f"{path} is there already, and it is no review file: {fault}. {OTHER_NAME}"
    )
    assert path.read_bytes() == content


def test_a_review_of_images_of_another_size_or_of_another_data_set_is_left_as_it_is(pets, path):
    before = path.read_bytes()
    halved = [replace(one, images=one.images[:, ::2, ::2].copy()) for one in pets.parts()]
    with pytest.raises(InputError) as told:
        write_review(path, FOUND, Splits("pets", **{one.split: one for one in halved}))
    assert str(told.value) == (
        f"{path} is there already, and it was written for images of 8x8 pixels; these have 4x4. "
        f"Ask for that size, give the review another name, or delete that file first."
    )
    other = replace(part("train", 12), images=np.zeros((12, 8, 8, 3), np.uint8))
    with pytest.raises(InputError) as told:
        write_review(
            path,
            FOUND,
            Splits("others", other, None, pets.train.select(np.arange(2), split="test")),
        )
    assert str(told.value) == (
        f"{path} is there already, and none of the images that it names is: it is a review of "
        f"another data set, or all of it was done by hand. {OTHER_NAME}"
    )
    assert path.read_bytes() == before


def test_a_folder_is_no_name_for_a_review(pets, tmp_path):
    with pytest.raises(InputError) as told:
        write_review(tmp_path, FOUND, pets)
    assert str(told.value) == (
        f"{tmp_path} is a folder; expected the name of a review file to write."
    )


def test_a_review_that_cannot_be_written_leaves_the_decisions(pets, path, monkeypatch):
    edited(path, action="exclude")
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(StorageError, match="disk full"):
        write_review(path, FOUND, pets)
    assert path.read_bytes() == before


@pytest.fixture
def photos(tmp_path) -> Path:
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for n in range(6):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{n}.png")
    (tmp_path / "pets" / "dog" / "copy.png").write_bytes(
        (tmp_path / "pets" / "dog" / "0.png").read_bytes()
    )
    return tmp_path / "pets"


def test_the_command_says_how_many_rows_are_as_decided_before(photos, tmp_path, tinyscope):
    inside = photos / "review.csv"
    ask = ("data", photos, "--no-training", "--out", tmp_path / "seen", "--write-review", inside)
    assert f"Review: {inside} (14 rows)" in tinyscope(*ask).out.splitlines()
    edited(inside, action="keep")
    answer = tinyscope(*ask)
    assert f"Review: {inside} (14 rows, 1 as decided before)" in answer.out.splitlines()
    assert rows(inside)[0]["action"] == "keep"
    said = json.loads(tinyscope(*ask, "--json").out)
    assert said["review"] == {"file": str(inside), "rows": 14, "decided": 1, "dropped": 0}


def test_the_command_refuses_what_it_would_destroy_before_it_looks_at_anything(
    photos, tmp_path, tinyscope, monkeypatch
):
    from tinyscope.data import catalogue
    from tinyscope.inspection import inspection

    photo, other = photos / "cat" / "3.png", tmp_path / "other.csv"
    before = photo.read_bytes()
    monkeypatch.setattr(inspection, "inspect", lambda *_, **__: pytest.fail("looked at"))
    write_review(other, FOUND, make_pets())
    refused = tinyscope("data", photos, "--out", tmp_path / "seen", "--write-review", other)
    assert (refused.status, refused.out) == (2, "")
    assert "written for images of 8x8 pixels; these have 32x32" in refused.err
    monkeypatch.setattr(catalogue, "load", lambda *_, **__: pytest.fail("decoded"))
    assert tinyscope("data", photos, "--write-review", photo) == (
        2,
        "",
        f"Error: {photo} is there already, and it is no review file: it is an image. "
        f"{OTHER_NAME}\n",
    )
    assert photo.read_bytes() == before
