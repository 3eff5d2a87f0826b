"""Tests of tinyscope.data.splitting."""

from dataclasses import replace

import numpy as np
import pytest

from tinyscope.data import splitting
from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.data.splitting import complete
from tinyscope.errors import DataError, InputError

GONE = (LeftOut("broken.png", "truncated"),)


def images_of(counts: list[int], *, split: str = "train", seed: int = 0) -> ImageDataset:
    """Noise, of which no two images are alike; `counts` of each class, in random order."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    images = random.integers(0, 256, (len(labels), 8, 8, 1)).astype(np.uint8)
    files = tuple(f"{split}/{row}.png" for row in range(len(labels)))
    names = tuple(f"class {k}" for k in range(len(counts)))
    return ImageDataset(images, labels, names, split, "noise", GONE, files)


def rows_of(part: ImageDataset) -> list[int]:
    return [int(file.split("/")[1].removesuffix(".png")) for file in part.files]


def fault(error: type[Exception], splits: Splits, **more: float) -> str:
    with pytest.raises(error) as caught:
        complete(splits, **more)
    return str(caught.value)


def test_a_test_split_is_cut_first_and_validation_from_the_rest():
    counts = [200, 100, 40]
    done = complete(Splits("noise", images_of(counts)))

    assert done.test.counts() == [30, 15, 6]  # 15% of all
    assert done.validation.counts() == [17, 9, 3]  # 10% of 170, 85 and 34, to the nearest
    assert done.train.counts() == [153, 76, 31]
    assert [part.split for part in done.parts()] == ["train", "validation", "test"]
    assert sorted(row for part in done.parts() for row in rows_of(part)) == list(range(340))


def test_rows_keep_their_order_pixels_and_labels():
    source = images_of([30, 30])
    done = complete(Splits("noise", source))
    for part in done.parts():
        rows = rows_of(part)
        assert rows == sorted(rows)
        np.testing.assert_array_equal(part.images, source.images[rows])
        np.testing.assert_array_equal(part.labels, source.labels[rows])


def test_a_test_split_that_the_source_has_is_used_as_it_is():
    test = images_of([5, 5], split="test", seed=1)
    done = complete(Splits("noise", images_of([50, 50]), test=test))
    assert done.test is test
    assert done.validation.counts() == [5, 5]
    assert done.train.counts() == [45, 45]


def test_a_validation_split_that_the_source_has_is_used_as_it_is():
    train, own = images_of([40, 40]), images_of([3, 4], split="validation", seed=1)
    done = complete(Splits("noise", train, own))
    assert done.validation is own
    assert done.test.counts() == [6, 6]
    assert done.train.counts() == [34, 34]


def test_where_nothing_is_to_be_cut_nothing_is_copied():
    splits = Splits(
        "noise",
        images_of([4, 4]),
        images_of([2, 2], split="validation"),
        images_of([2, 2], split="test"),
    )
    done = complete(splits)
    assert [one is other for one, other in zip(done.parts(), splits.parts(), strict=True)] == [
        True,
        True,
        True,
    ]


def test_without_validation_the_sources_validation_images_join_the_training_images():
    train, own = images_of([4, 4]), images_of([2, 3], split="validation", seed=1)
    test = images_of([2, 2], split="test", seed=2)

    done = complete(Splits("noise", train, own, test), validation=0)

    assert done.validation is None
    assert done.test is test
    assert done.train.counts() == [6, 7]
    assert done.train.files == train.files + own.files
    assert done.train.left_out == GONE + GONE  # one list from either


def test_without_validation_the_cut_is_of_training_and_test_alone():
    done = complete(Splits("noise", images_of([20, 2])), validation=0)
    assert done.validation is None
    assert (done.train.counts(), done.test.counts()) == ([17, 1], [3, 1])


def test_the_images_left_out_are_counted_once():
    done = complete(Splits("noise", images_of([30, 30])))
    assert [part.left_out for part in done.parts()] == [GONE, (), ()]
    assert sum(part.found for part in done.parts()) == 61


def test_the_cut_is_the_same_on_every_machine():
    # 12 rows drawn by PCG64(0).random_raw, whose stream numpy guarantees: an independent list.
    splits = Splits("noise", replace(images_of([12]), labels=np.zeros(12, np.int64)))
    draw = np.random.PCG64(0).random_raw(12).tolist()
    order = sorted(range(12), key=draw.__getitem__)
    done = complete(splits, validation=0.25)
    assert rows_of(done.test) == sorted(order[:2])  # 15% of 12 is 1.8
    assert rows_of(done.validation) == sorted(order[2:5])  # 25% of 10 is 2.5, rounded up
    assert draw[:2] == [11749869230777074271, 4976686463289251617]


def test_another_seed_cuts_other_rows_and_the_same_seed_the_same():
    splits = Splits("noise", images_of([100, 100]))
    zero, again, one = (complete(splits, seed=seed) for seed in (0, 0, 1))
    assert rows_of(zero.validation) == rows_of(again.validation)
    assert rows_of(zero.validation) != rows_of(one.validation)
    assert zero.fingerprint == again.fingerprint


@pytest.mark.parametrize("count", [3, 4, 5, 7, 9, 23])
def test_the_smallest_classes_have_an_image_on_every_side(count):
    done = complete(Splits("noise", images_of([count, 50])))
    assert min(part.counts()[0] for part in done.parts()) >= 1
    assert abs(done.test.counts()[0] - 0.15 * count) <= 1


@pytest.mark.parametrize("validation", [0.01, 0.1, 0.5, 0.99])
def test_every_class_gives_its_share_to_within_one_image(validation):
    test = images_of([1, 1, 1], split="test", seed=1)
    done = complete(Splits("noise", images_of([11, 57, 130]), test=test), validation=validation)
    for count, cut in zip([11, 57, 130], done.validation.counts(), strict=True):
        assert abs(cut - validation * count) <= 1
        assert 1 <= cut < count


def with_copies(groups: list[list[int]], counts: list[int]) -> ImageDataset:
    """Noise in which the rows of each group have the same pixels."""
    dataset = images_of(counts)
    for group in groups:
        dataset.images[group] = dataset.images[group[0]]
    return dataset


def test_copies_of_an_image_stay_on_one_side():
    groups = [[n, n + 60, n + 90] for n in range(25)]
    source = with_copies(groups, [60, 60])
    for seed in range(5):
        done = complete(Splits("noise", source), seed=seed, validation=0.3)
        side = {row: part.split for part in done.parts() for row in rows_of(part)}
        assert all(len({side[row] for row in group}) == 1 for group in groups)
        assert len(side) == 120
        for given, cut in zip([60, 60], done.test.counts(), strict=True):
            assert abs(cut - 0.15 * given) <= 3  # one group


def test_a_class_of_large_groups_gives_its_smallest():
    source = images_of([10, 30])
    rows = np.flatnonzero(source.labels == 0)
    for group in (rows[:4], rows[4:8], rows[8:]):
        source.images[group] = source.images[group[0]]
    done = complete(Splits("noise", source))
    assert (done.test.counts()[0], done.validation.counts()[0], done.train.counts()[0]) == (2, 4, 4)


def test_a_class_with_too_few_images_is_named():
    few = Splits("noise", images_of([30, 2, 1]))
    assert fault(DataError, few) == (
        'noise: class "class 1" has 2 images; at least 3 are needed, one each for training, '
        "validation and test. Add images or remove the class (1 more like it)."
    )
    tested = replace(few, test=images_of([1, 1, 1], split="test"))
    assert fault(DataError, tested) == (
        'noise: class "class 2" has 1 image; at least 2 are needed, one each for training and '
        "validation. Add images or remove the class."
    )
    assert "training and test. Add" in fault(DataError, few, validation=0)
    empty = Splits("noise", images_of([30, 0]))
    assert '"class 1" has 0 images; at least 3' in fault(DataError, empty)


def test_a_class_of_copies_alone_is_named_with_its_reason():
    source = images_of([30, 4])
    source.images[source.labels == 1] = 7
    assert fault(DataError, Splits("noise", source)) == (
        'noise: class "class 1" has 4 images, of which only 1 is no copy; at least 3 are needed, '
        "one each for training, validation and test. Add images or remove the class. If they are "
        "shots of one scene, cut them yourself into train/, val/ and test/."
    )


def test_copies_that_tie_small_classes_together_are_told():
    # Each image of class 0 has a copy in another class, which has three images in all; where all
    # three have given their one test image to begin with, none is left that may take class 0 along.
    source = images_of([3, 3, 3, 3])
    for other, row in enumerate(np.flatnonzero(source.labels == 0), start=1):
        source.images[row] = source.images[np.flatnonzero(source.labels == other)[0]]
    told = set()
    for seed in range(40):
        try:
            done = complete(Splits("noise", source), seed=seed)
        except DataError as error:
            told.add(str(error))
        else:
            assert all(min(part.counts()) >= 1 for part in done.parts())
    assert (
        'noise: no image of class "class 0" can go into the test split, because all have copies '
        "in small classes. Remove copies, or give the splits as folders train, val and test."
    ) in told


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    assert fault(InputError, Splits("noise", images_of([9, 9])), validation=share) == (
        f"validation = {share:g}: expected a share of the training images from 0 up to, but not "
        "including, 1; 0.1 is usual."
    )


def test_groups_come_from_the_cache(monkeypatch):
    asked = []
    monkeypatch.setattr(
        splitting, "cached_groups", lambda data: asked.append(data) or np.arange(len(data))
    )
    source = images_of([30, 30])
    complete(Splits("noise", source))
    assert asked == [source]
