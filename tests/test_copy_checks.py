import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.duplicates import Copies
from tinyscope.inspection.copy_checks import _each, copy_checks
from tinyscope.inspection.findings import Place

NAMES = ("cat", "dog")


def splits(**labels: list[int]) -> Splits:
    """Images without content; the copies are stated, not found."""
    parts = {
        split: ImageDataset(
            np.zeros((len(of), 8, 8, 1), np.uint8), np.array(of), NAMES, split, "pets/"
        )
        for split, of in labels.items()
    }
    return Splits("pets", **parts)


def copies(*pairs: tuple[int, int], exact: bool = False, mirrored: bool = False) -> Copies:
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    count = len(pairs)
    return Copies(
        left,
        right,
        np.full(count, mirrored),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.full(count, exact),
    )


def found(outcomes, code: str) -> list[tuple[Place, tuple[Place, ...], str]]:
    return [(item.place, item.others, item.action) for item in outcomes[code].items]


def test_of_two_copies_in_one_split_the_later_one_can_go():
    both = splits(train=[0, 0, 0], test=[0])
    exact = copy_checks(both, copies((0, 2), exact=True))
    assert found(exact, "TS005") == [(Place("train", 2), (Place("train", 0),), "exclude")]
    near = copy_checks(both, copies((0, 2)))
    assert found(near, "TS006") == [(Place("train", 2), (Place("train", 0),), "keep")]
    assert near["TS005"].items == near["TS007"].items == near["TS008"].items == []


def test_of_two_copies_in_different_splits_the_one_that_is_learnt_from_can_go():
    three = splits(train=[0, 0], validation=[0], test=[0, 0])
    outcomes = copy_checks(three, copies((1, 4), (0, 2), (2, 3)))
    assert found(outcomes, "TS008") == [
        (Place("train", 1), (Place("test", 1),), "exclude"),
        (Place("train", 0), (Place("validation", 0),), "exclude"),
        (Place("validation", 0), (Place("test", 0),), "exclude"),
    ]
    assert outcomes["TS006"].items == []


def test_images_that_are_kept_are_counted_once_each_however_many_copies_they_have():
    outcomes = copy_checks(splits(train=[0, 0], test=[0, 0]), copies((0, 3), (1, 3)))
    assert outcomes["TS008"].summary == (
        "1 of 2 test images (50.0%) have a copy among the train images."
    )


def test_copies_with_different_labels_are_both_named():
    outcomes = copy_checks(splits(train=[0, 1]), copies((0, 1), mirrored=True))
    assert [(item.place.row, item.detail) for item in outcomes["TS007"].items] == [
        (0, "near copy of the mirror image of train[1], which is labelled dog"),
        (1, "near copy of the mirror image of train[0], which is labelled cat"),
    ]
    assert outcomes["TS006"].items == []


def test_a_leak_with_another_label_is_a_leak_and_a_conflict_and_no_test_image_is_to_go():
    outcomes = copy_checks(splits(train=[0], test=[1]), copies((0, 1), exact=True))
    assert found(outcomes, "TS008") == [(Place("train", 0), (Place("test", 0),), "exclude")]
    assert found(outcomes, "TS007") == [
        (Place("test", 0), (Place("train", 0),), "keep"),
        (Place("train", 0), (Place("test", 0),), "exclude"),
    ]


def test_an_image_with_several_copies_is_one_item_with_the_most_alike_first():
    (item,) = copy_checks(splits(train=[0], test=[0, 0, 0]), copies((0, 2), (0, 1), (0, 3)))[
        "TS008"
    ].items
    assert item.place == Place("train", 0)
    assert item.others == (Place("test", 1), Place("test", 0), Place("test", 2))
    assert item.detail == "near copy of test[1], and 2 more"


def test_what_equals_a_copy_is_a_copy_though_it_was_not_compared_itself():
    pairs = Copies(
        np.array([0, 1, 1]),
        np.array([1, 2, 3]),
        np.zeros(3, bool),
        np.array([0.7, 1, 1], np.float32),
        np.array([False, True, True]),
    )
    outcomes = copy_checks(splits(train=[0], validation=[0], test=[0, 0]), pairs)
    assert {(item.place, item.others) for item in outcomes["TS008"].items} == {
        (Place("train", 0), (Place("validation", 0), Place("test", 0), Place("test", 1))),
        (Place("validation", 0), (Place("test", 0), Place("test", 1))),
    }
    assert found(outcomes, "TS005") == [(Place("test", 1), (Place("test", 0),), "keep")]


def test_one_split_has_no_other_to_leak_to():
    outcomes = copy_checks(splits(train=[0, 0]), copies())
    assert outcomes["TS008"].not_applicable == "because there is one split only"
    assert copy_checks(splits(train=[0], test=[0]), copies())["TS008"].not_applicable == ""


def test_two_large_groups_of_equal_images_that_are_alike_are_not_paired_all_with_all():
    """60 images of one kind, 60 of another, the first ones of either being near copies."""
    exact = [(0, row) for row in range(1, 60)] + [(60, row) for row in range(61, 120)]
    left, right = (np.array(side, np.int64) for side in zip((0, 60), *exact, strict=True))
    copies = Copies(
        left,
        right,
        np.zeros(len(left), bool),
        np.where(np.arange(len(left)), 1.0, 0.7).astype(np.float32),
        np.arange(len(left)) > 0,
    )
    near = [(one, other) for one, other, _, _, is_exact in _each(copies) if not is_exact]
    assert set(near) == {(0, row) for row in range(60, 120)} | {(row, 60) for row in range(60)}
    assert len(near) == 2 * 60 - 1
