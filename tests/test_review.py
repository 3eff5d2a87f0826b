import csv
from pathlib import Path

import numpy as np
import pytest

from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.data.review import COLUMNS, apply_review, write_review
from tinyscope.errors import InputError

NAMES = ("cat", "dog", "horse")


def part(split: str, count: int, *, files: bool = True) -> ImageDataset:
    draw = np.random.default_rng(count)
    labels = np.arange(count) % 3
    names = tuple(f"{split}/{NAMES[k]}/{n}.png" for n, k in enumerate(labels)) if files else ()
    return ImageDataset(
        images=draw.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8),
        labels=labels,
        class_names=NAMES,
        split=split,
        source="pets/",
        left_out=(LeftOut("train/cat/torn.png", "truncated"),) if split == "train" else (),
        files=names,
    )


@pytest.fixture
def pets() -> Splits:
    return Splits("pets", part("train", 12), None, part("test", 6))


def item(split: str, row: int, action: str, **more: object) -> dict[str, object]:
    file = f"{split}/{NAMES[row % 3]}/{row}.png"
    known = {"file": file, "split": split, "row": row, "class": NAMES[row % 3], "detail": "why"}
    return {**known, "action": action, "new_class": "", **more}


def finding(*items: dict[str, object], code: str = "TS005") -> dict[str, object]:
    return {"code": code, "items": list(items)}


def edited(path: Path, **changes: str) -> None:
    """Rewrites the first row of a review file, as a person with a spreadsheet would."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= changes
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def test_a_review_lists_the_items_that_an_action_is_proposed_for(pets, tmp_path):
    path = tmp_path / "review.csv"
    found = [finding(item("train", 3, "exclude"), item("train", 4, "")), finding(code="TS001")]
    assert write_review(path, found, pets) == 1
    head, row = path.read_text().splitlines()
    assert head == "action,new_class,split,row,file,class,finding,detail,pixels"
    # Marked, or a spreadsheet would take some digests for numbers.
    assert row.startswith("exclude,,train,3,train/cat/3.png,cat,TS005,why,px-")


def test_a_review_written_before_digests_were_marked_still_holds(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    path.write_text(path.read_text().replace(",px-", ","))
    assert apply_review(pets, path)[1].excluded == 1


def test_excluded_images_are_gone_and_listed_with_the_reason(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"), item("train", 0, "exclude"))], pets)
    after, counts = apply_review(pets, path)
    assert counts == (str(path), 2, 0, 0)
    keep = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11]
    assert (after.train.images == pets.train.images[keep]).all()
    assert after.train.files == tuple(pets.train.files[row] for row in keep)
    assert after.train.left_out == (
        LeftOut("train/cat/torn.png", "truncated"),
        LeftOut("train/cat/3.png", "excluded by review: TS005 why"),
        LeftOut("train/cat/0.png", "excluded by review: TS005 why"),
    )
    assert after.train.found == pets.train.found
    assert after.test is pets.test


def test_relabelled_images_have_their_new_class_and_the_rest_keeps_its_own(pets, tmp_path):
    path = tmp_path / "review.csv"
    wrong = item("train", 4, "relabel", new_class="horse")
    write_review(path, [finding(wrong, code="TS015")], pets)
    after, counts = apply_review(pets, path)
    assert (counts.excluded, counts.relabelled) == (0, 1)
    assert after.train.labels[4] == 2
    assert (np.delete(after.train.labels, 4) == np.delete(pets.train.labels, 4)).all()
    assert pets.train.labels[4] == 1, "the loaded data set is not changed"
    assert after.fingerprint != pets.fingerprint


def test_what_is_kept_changes_nothing(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("test", 2, "keep"), item("train", 2, "keep"))], pets)
    after, counts = apply_review(pets, path)
    assert counts == (str(path), 0, 0, 0)
    assert after.fingerprint == pets.fingerprint


def test_an_image_that_one_finding_excludes_and_another_relabels_is_excluded(pets, tmp_path):
    path = tmp_path / "review.csv"
    wrong = item("train", 4, "relabel", new_class="horse")
    write_review(path, [finding(wrong), finding(item("train", 4, "exclude"))], pets)
    after, counts = apply_review(pets, path)
    assert (counts.excluded, counts.relabelled, len(after.train)) == (1, 0, 11)


def test_images_that_were_cut_to_be_test_images_stay_as_they_are_and_are_counted(pets, tmp_path):
    path = tmp_path / "review.csv"
    uncut = Splits("pets", pets.train)
    tested = uncut.train.select(np.array([1, 4]), split="test")
    rows = [item("train", row, "exclude") for row in (1, 3)]
    rows += [item("train", row, "relabel", new_class="horse") for row in (4, 6)]
    write_review(path, [finding(*rows), finding(item("train", 1, "exclude"))], uncut)
    after, counts = apply_review(uncut, path, tested=tested)
    assert counts == (str(path), 1, 1, 2)
    assert after.test is tested
    learnt = [0, 2, 5, 6, 7, 8, 9, 10, 11]
    assert (after.train.images == uncut.train.images[learnt]).all()
    assert after.train.labels.tolist() == [0, 2, 2, 2, 1, 2, 0, 1, 2]
    assert [entry.file for entry in after.train.left_out] == [
        "train/cat/torn.png",
        "train/cat/3.png",
    ]


def test_a_review_saved_by_a_spreadsheet_with_semicolons_and_a_mark_is_read(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace(",", ";").encode())
    assert apply_review(pets, path)[1].excluded == 1


def test_images_without_files_are_named_by_split_and_row(tmp_path):
    plain = Splits("pets", part("train", 12, files=False))
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], plain)
    after, _ = apply_review(plain, path)
    assert after.train.left_out[-1].file == "train[3]"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"action": "remove"},
            'line 2: action "remove" is none of keep, exclude, relabel',
        ),
        (
            {"action": "exlude"},
            'line 2: action "exlude" is none of keep, exclude, relabel; did you mean "exclude"?',
        ),
        (
            {"split": "validation"},
            'line 2: there are no images of split "validation", only train, test',
        ),
        (
            {"split": "test"},
            "line 2: exclude of a test image; a review never changes what a model is examined by, "
            'so write "keep", or change the data set itself',
        ),
        (
            {"action": "relabel", "new_class": "hors"},
            'line 2: new_class "hors" is none of the 3 classes; did you mean "horse"?',
        ),
        (
            {"row": "4"},
            "line 2: train image 4 is not the one that was reviewed; the data set has changed "
            "since, so write the review anew",
        ),
        (
            {"row": "400"},
            "line 2: train image 400 is not the one that was reviewed; the data set has changed "
            "since, so write the review anew",
        ),
    ],
)
def test_a_row_that_cannot_be_carried_out_is_told_with_its_line(pets, tmp_path, changes, fault):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    edited(path, **changes)
    with pytest.raises(InputError) as caught:
        apply_review(pets, path)
    assert str(caught.value) == f"{path}: {fault}."


def test_an_image_with_two_new_classes_is_refused(pets, tmp_path):
    path = tmp_path / "review.csv"
    both = [item("train", 3, "relabel", new_class=name) for name in ("dog", "horse")]
    write_review(path, [finding(*both)], pets)
    with pytest.raises(InputError, match="line 3: train image 3 is given two classes"):
        apply_review(pets, path)


def test_a_review_that_is_not_there_or_has_no_columns_is_told(pets, tmp_path):
    with pytest.raises(InputError) as caught:
        apply_review(pets, tmp_path / "review.csv")
    assert str(caught.value) == (
        f'There is no review file {tmp_path / "review.csv"}. "tinyscope data D --write-review '
        'review.csv" writes one.'
    )
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError) as caught:
        apply_review(pets, tmp_path / "other.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'other.csv'}: no column action, new_class, split, row, pixels; expected "
        "action, new_class, split, row, file, class, finding, detail, pixels in the first line, "
        "as --write-review writes them."
    )
