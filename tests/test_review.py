import csv
from dataclasses import replace

import numpy as np
import pytest
from review_world import edited, finding, item, make_pets, part, renamed, without

from tinyscope.data.dataset import LeftOut, Splits
from tinyscope.data.review import apply_review, write_review
from tinyscope.data.review_table import COLUMNS
from tinyscope.errors import InputError


@pytest.fixture
def pets() -> Splits:
    return make_pets()


def test_a_review_lists_the_items_that_an_action_is_proposed_for(pets, tmp_path):
    path = tmp_path / "review.csv"
    found = [finding(item("train", 3, "exclude"), item("train", 4, "")), finding(code="TS001")]
    assert write_review(path, found, pets) == (1, 0, 0)
    head, row = path.read_text(encoding="utf-8-sig").splitlines()
    assert head == "action,new_class,split,row,file,class,finding,detail,pixels,alike,size"
    # Marked, or a spreadsheet would take some digests for numbers.
    assert row.startswith("exclude,,train,3,train/cat/3.png,cat,TS005,why,px-")
    assert row.endswith(",1,8x8")


def test_a_review_written_before_digests_were_marked_still_holds(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    path.write_text(path.read_text().replace(",px-", ","))
    assert apply_review(pets, path)[1].excluded == 1


def test_excluded_images_are_gone_and_listed_with_the_reason(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"), item("train", 0, "exclude"))], pets)
    after, counts = apply_review(pets, path)
    assert counts == (str(path), 2, 0, (), 0)
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
    assert counts == (str(path), 0, 0, (), 0)
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
    assert counts == (str(path), 1, 1, (), 2)
    assert after.test is tested
    learnt = [0, 2, 5, 6, 7, 8, 9, 10, 11]
    assert (after.train.images == uncut.train.images[learnt]).all()
    assert after.train.labels.tolist() == [0, 2, 2, 2, 1, 2, 0, 1, 2]
    assert [entry.file for entry in after.train.left_out] == [
        "train/cat/torn.png",
        "train/cat/3.png",
    ]


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_review_that_a_spreadsheet_has_saved_is_read(pets, tmp_path, between, mark):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    text = path.read_text(encoding="utf-8-sig").replace(",", between)
    path.write_bytes(mark + text.replace("\n", "\r\n").encode())
    assert apply_review(pets, path)[1].excluded == 1


def test_a_spreadsheet_is_told_that_a_review_is_in_utf_8(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude", detail="Käfer"))], pets)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfaction,")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_review_in_another_encoding_names_the_format_to_save_in(pets, tmp_path, encoding):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude", detail="Käfer"))], pets)
    path.write_bytes(path.read_text(encoding="utf-8-sig").encode(encoding))
    with pytest.raises(InputError) as caught:
        apply_review(pets, path)
    assert str(caught.value) == (
        f'{path}: not in UTF-8. Save it from the spreadsheet as "CSV UTF-8".'
    )


def test_rows_without_a_filled_cell_are_passed_over(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    path.write_text(path.read_text() + "," * (len(COLUMNS) - 1) + "\n , \n")
    assert apply_review(pets, path)[1].excluded == 1


def test_a_class_that_a_spreadsheet_took_for_a_number_is_known(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "relabel", new_class="7"))], pets)

    def named(*names: str) -> Splits:
        return Splits("agents", replace(pets.train, class_names=names))

    assert apply_review(named("001", "006", "007"), path)[0].train.labels[3] == 2
    assert apply_review(named("007", "7", "cat"), path)[0].train.labels[3] == 1
    with pytest.raises(InputError, match='new_class "7" is none of the 3 classes'):
        apply_review(named("007", "07", "cat"), path)


@pytest.mark.parametrize(
    ("cell", "names", "meant"),
    [
        ("cat ", ("cat", "cat ", "dog"), 1),
        ("cat", ("cat", "cat ", "dog"), 0),
        (" dog", ("cat", "cat ", "dog"), 2),
        ("cafe\u0301", ("caf\xe9", "bar", "dog"), 0),
        ("caf\xe9", ("cafe\u0301", "bar", "dog"), 0),
        ("cafe\u0301", ("caf\xe9", "cafe\u0301", "dog"), 1),
        ("cat\u200b", ("cat", "bar", "dog"), 0),
    ],
)
def test_the_very_class_that_a_cell_names_comes_before_those_that_look_like_it(
    pets, tmp_path, cell, names, meant
):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "relabel", new_class=cell))], pets)
    agents = Splits("agents", replace(pets.train, class_names=names))
    assert apply_review(agents, path)[0].train.labels[3] == meant


def test_a_cell_that_looks_like_two_classes_is_refused(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "relabel", new_class=" cat"))], pets)
    agents = Splits("agents", replace(pets.train, class_names=("cat", "cat ", "dog")))
    with pytest.raises(InputError, match='new_class "cat" is none of the 3 classes'):
        apply_review(agents, path)


FORMULAS = ("=1+1", "+cat", "-cat", "@cat", "\tcat", "'=cat", "''@cat", "'cat", "c=at")


def test_no_cell_is_a_formula_to_a_spreadsheet_and_all_are_read_as_they_were(pets, tmp_path):
    path = tmp_path / "review.csv"
    agents = Splits("agents", replace(pets.train, class_names=FORMULAS))
    rows = [item("train", row, "relabel", new_class=name) for row, name in enumerate(FORMULAS)]
    write_review(path, [finding(*rows)], agents)
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [row["new_class"] for row in csv.DictReader(file)]
    assert cells == [
        *("'=1+1", "'+cat", "'-cat", "'@cat", "'\tcat", "''=cat", "'''@cat", "'cat", "c=at")
    ]
    for _ in range(2):  # a review that takes the place of another one is read and written again
        after = apply_review(agents, path)[0]
        assert after.train.labels[: len(FORMULAS)].tolist() == list(range(len(FORMULAS)))
        write_review(path, [finding(*rows)], agents)


def test_a_formulas_sign_that_a_person_wrote_alone_is_taken_too(pets, tmp_path):
    path = tmp_path / "review.csv"
    agents = Splits("agents", replace(pets.train, class_names=("=cat", "dog", "owl")))
    write_review(path, [finding(item("train", 4, "relabel", new_class="=cat"))], agents)
    path.write_text(path.read_text(encoding="utf-8").replace("'=cat", "=cat"), encoding="utf-8")
    assert apply_review(agents, path)[0].train.labels[4] == 0


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
            {"file": "train/dog/4.png", "alike": "2"},
            "line 2: train/dog/4.png is not the image that was reviewed; the data set has changed "
            "since, so write the review anew",
        ),
        (
            {"pixels": "px-0123456789ab"},
            "line 2: train/cat/3.png is not the image that was reviewed; the data set has changed "
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


def test_a_review_holds_when_other_files_come_and_go(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    after, counts = apply_review(without(pets, 0, 2), path)
    assert counts.excluded == 1
    assert "train/cat/3.png" not in after.train.files
    assert len(after.train) == 9


def test_a_renamed_image_is_known_by_its_pixels(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    after, counts = apply_review(renamed(pets, 3, "train/cat/whiskers.png"), path)
    assert counts[1:] == (1, 0, (), 0)
    assert "train/cat/whiskers.png" not in after.train.files


def test_rows_whose_file_is_gone_count_as_done(pets, tmp_path):
    path = tmp_path / "review.csv"
    out = [item("train", row, "exclude") for row in (3, 4, 5)]
    write_review(path, [finding(*out)], pets)
    after, counts = apply_review(without(pets, 3, 4), path)
    assert counts == (str(path), 1, 0, ("train/cat/3.png", "train/dog/4.png"), 0)
    assert len(after.train) == 9


def test_a_copy_that_was_deleted_by_hand_does_not_cost_the_other_one(pets, tmp_path):
    images = pets.train.images.copy()
    images[6] = images[3]
    pets = replace(pets, train=replace(pets.train, images=images))
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 6, "exclude"), item("train", 1, "exclude"))], pets)
    after, counts = apply_review(without(pets, 6), path)
    assert counts[1:3] == (1, 0)
    assert len(counts.gone) == 1
    assert "train/cat/3.png" in after.train.files
    # Where both copies are there and neither has the name, it cannot be told which was meant.
    with pytest.raises(InputError, match=r"line 2: train/cat/6.png is not the image that was"):
        apply_review(renamed(pets, 6, "train/cat/new.png"), path)


def test_a_review_of_another_data_set_is_refused_as_a_whole(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    other = Splits("others", replace(part("train", 9), files=tuple(f"{n}.png" for n in range(9))))
    with pytest.raises(InputError) as caught:
        apply_review(other, path)
    assert str(caught.value) == (
        f"{path}: none of the images that it names is there. It is of another data set, or all of "
        "it was done by hand: leave it out."
    )


def test_a_review_of_images_of_another_size_says_which_size_it_needs(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], pets)
    halved = [replace(part, images=part.images[:, ::2, ::2].copy()) for part in pets.parts()]
    smaller = Splits(pets.name, **{part.split: part for part in halved})
    with pytest.raises(InputError) as caught:
        apply_review(smaller, path)
    assert str(caught.value) == (
        f"{path}: it was written for images of 8x8 pixels, and these have 4x4; set size = 8, or "
        "write it anew."
    )


def test_a_review_without_the_newer_columns_still_holds(pets, tmp_path):
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"), item("train", 4, "exclude"))], pets)
    rows = [line.rsplit(",", 2)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(rows))
    assert apply_review(pets, path)[1][1:] == (2, 0, (), 0)
    assert apply_review(without(pets, 4), path)[1][1:] == (1, 0, ("train/dog/4.png",), 0)
    with pytest.raises(InputError, match=r"line 3: train/dog/4.png is not the image that was"):
        apply_review(renamed(pets, 4, "train/dog/rex.png"), path)


def test_images_without_files_are_known_by_their_pixels_too(tmp_path):
    plain = Splits("pets", part("train", 12, files=False))
    path = tmp_path / "review.csv"
    write_review(path, [finding(item("train", 3, "exclude"))], plain)
    after, _ = apply_review(without(plain, 0), path)
    assert after.train.left_out[-1].file == "train[2]"
    with pytest.raises(InputError, match="is not the image that was reviewed"):
        apply_review(without(plain, 3), path)


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
        "action, new_class, split, row, file, class, finding, detail, pixels, alike, size in the "
        "first line, as --write-review writes them."
    )
