"""Tests of tinyscope.data.exploration."""

import json

import numpy as np
import pytest
from PIL import Image, ImageStat
from scipy.stats import chi2_contingency, chisquare

from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.data.exploration import (
    class_means,
    even_classes,
    explore,
    same_shares,
    sample_rows,
)
from tinyscope.data.image_quality import image_properties

NAMES = ("cat", "dog", "eel")


def dataset(counts: list[int], *, split: str = "train", seed: int = 0, side: int = 8, **more):
    """Random images whose class k is brighter by 40 levels a class, in random order."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    noise = random.integers(0, 100, (len(labels), side, side, 3))
    images = (noise + 40 * labels[:, None, None, None]).astype(np.uint8)
    return ImageDataset(images, labels, NAMES[: len(counts)], split, "photos/", **more)


def splits() -> Splits:
    left_out = (LeftOut("cat/a.jpg", "truncated"), LeftOut("b.txt", "not an image"))
    left_out += (LeftOut("cat/c.jpg", "truncated"),)
    train = dataset([30, 20, 0], left_out=left_out)
    return Splits("photos", train, test=dataset([4, 4, 4], split="test", seed=1))


def explored(data: Splits) -> dict[str, object]:
    return explore(data, properties={p.split: image_properties(p.images) for p in data.parts()})


def test_an_exploration_is_plain_json():
    found = explored(splits())
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_images_left_out_and_classes_without_images_are_counted_as_missing():
    assert explored(splits())["missing"] == {
        "left_out": 3,
        "empty_classes": [{"split": "train", "class": "eel"}],
    }


def test_one_split_has_no_other_to_compare_its_shares_with():
    both = splits()
    assert explored(both)["split_shares"] == same_shares(
        {"train": [30, 20, 0], "test": [4, 4, 4]}, NAMES
    )
    assert explored(Splits("photos", both.train))["split_shares"] is None


@pytest.mark.parametrize("counts", [[20, 20, 20], [30, 20, 10], [1000, 1010, 1100], [5, 0, 1]])
def test_the_test_of_balance_is_scipys(counts):
    reference = chisquare(counts)
    tested = even_classes(counts, NAMES)
    assert tested["statistic"] == pytest.approx(reference.statistic)
    assert tested["p_value"] == pytest.approx(reference.pvalue)
    assert tested["dof"] == 2


@pytest.mark.parametrize(
    ("counts", "judgement"),
    [
        ([5000, 5000, 5000], "Every class has 5,000 images."),
        (
            [102, 95, 103],
            "Classes have from 95 (dog) to 103 (eel) images, no more uneven than chance makes "
            "equally frequent ones (p = 0.83).",
        ),
        (
            [10000, 11000, 10500],
            "Classes have from 10,000 (cat) to 11,000 (dog) images: too uneven for chance "
            "(p < 0.0001), yet the largest is only 1.10 times the smallest.",
        ),
        (
            [20, 45, 50],
            "Classes have from 20 (cat) to 50 (eel) images, 2.5 times as many; chance alone would "
            "not make equally frequent ones so uneven (p = 0.0012).",
        ),
        (
            [0, 45, 50],
            "Classes have from 0 (cat) to 50 (eel) images; chance alone would not make equally "
            "frequent ones so uneven (p < 0.0001).",
        ),
        ([0, 0, 0], "There is nothing to compare."),
    ],
)
def test_balance_is_put_into_a_sentence(counts, judgement):
    assert even_classes(counts, NAMES)["judgement"] == judgement


def test_the_ratio_of_the_largest_class_to_the_smallest_is_none_where_one_is_empty():
    tested = even_classes([20, 45, 50], NAMES)
    assert tested["largest"] == {"class": "eel", "images": 50}
    assert tested["smallest"] == {"class": "cat", "images": 20}
    assert tested["ratio"] == 2.5
    assert even_classes([0, 45, 50], NAMES)["ratio"] is None


def test_the_test_of_equal_shares_is_scipys():
    counts = {"train": [300, 200, 100], "validation": [33, 20, 14], "test": [40, 60, 20]}
    reference = chi2_contingency(list(counts.values()), correction=False)
    tested = same_shares(counts, NAMES)
    assert tested["statistic"] == pytest.approx(reference.statistic)
    assert tested["p_value"] == pytest.approx(reference.pvalue)
    assert tested["dof"] == reference.dof
    assert tested["least_expected"] == pytest.approx(reference.expected_freq.min())
    assert tested["judgement"] == (
        "The splits' class shares differ by more than chance (p = 0.0046), most of all for dog: "
        "50.0% of test, 29.9% of validation."
    )


def test_classes_and_splits_without_images_are_left_out_of_the_test_of_equal_shares():
    counts = {"train": [300, 200, 0], "validation": [0, 0, 0], "test": [30, 40, 0]}
    reference = chi2_contingency([[300, 200], [30, 40]], correction=False)
    assert same_shares(counts, NAMES)["p_value"] == pytest.approx(reference.pvalue)


@pytest.mark.parametrize(
    ("counts", "judgement"),
    [
        ({"train": [500, 100], "test": [50, 10]}, "All splits have the same class shares."),
        (
            {"train": [500, 100], "test": [52, 8]},
            "The splits' class shares differ no more than chance would make them (p = 0.51).",
        ),
        ({"train": [500, 100]}, "There is nothing to compare."),
        ({"train": [500, 0], "test": [50, 0]}, "There is nothing to compare."),
    ],
)
def test_equal_shares_are_put_into_a_sentence(counts, judgement):
    assert same_shares(counts, NAMES)["judgement"] == judgement


def test_channels_are_those_of_the_training_split():
    data = splits()
    stacked = Image.fromarray(data.train.images.reshape(-1, 8, 3))
    reference = ImageStat.Stat(stacked)
    channels = explored(data)["channels"]
    assert [one["channel"] for one in channels] == ["red", "green", "blue"]
    assert [one["mean_255"] for one in channels] == pytest.approx(reference.mean)
    assert [one["deviation_255"] for one in channels] == pytest.approx(reference.stddev)
    assert [one["mean"] * 255 for one in channels] == pytest.approx(reference.mean)
    assert [one["deviation"] * 255 for one in channels] == pytest.approx(reference.stddev)
    assert [(one["lowest"], one["highest"]) for one in channels] == reference.extrema


def test_brightness_is_spread_out_over_all_and_by_class():
    data = splits()
    found = explored(data)
    by_image = np.array(
        [np.asarray(Image.fromarray(one).convert("F")).mean() / 255 for one in data.train.images]
    )
    brightness = found["brightness"]
    counts, _ = np.histogram(by_image, brightness["histogram"]["edges"])
    assert brightness["histogram"]["counts"] == counts.tolist()
    assert brightness["mean"] == pytest.approx(by_image.mean(), abs=5e-4)
    assert brightness["quantiles"]["0.25"] == pytest.approx(np.quantile(by_image, 0.25), abs=5e-4)
    assert [row["class"] for row in found["by_class"]] == ["cat", "dog"]  # eel has no images
    dog = by_image[data.train.labels == 1]
    assert found["by_class"][1]["brightness"] == pytest.approx(dog.mean(), abs=5e-4)
    assert found["by_class"][1]["brightness_deviation"] == pytest.approx(dog.std(), abs=5e-4)


def test_every_thousandth_image_of_fifty_thousand_is_shown():
    images = np.zeros((50_000, 1, 1, 1), np.uint8)
    large = ImageDataset(images, np.zeros(50_000, np.int64), ("one",), "train", "photos/")
    assert sample_rows(large)["every"] == {"step": 1000, "rows": list(range(0, 50_000, 1000))}
    assert sample_rows(dataset([30, 30]))["every"] == {"step": 2, "rows": list(range(0, 60, 2))}


def test_sample_rows_show_their_class_and_depend_on_the_seed_alone():
    data = dataset([30, 20, 4])
    rows = sample_rows(data, seed=1)
    for k, name in enumerate(NAMES):
        of_class = np.flatnonzero(data.labels == k).tolist()
        assert rows["first"][name] == of_class[:8]
    assert len(set(rows["random"]["rows"])) == 24
    assert rows == sample_rows(data, seed=1)
    assert rows["random"]["rows"] != sample_rows(data, seed=2)["random"]["rows"]


def test_class_means_are_the_rounded_means_of_each_class(monkeypatch):
    monkeypatch.setattr("tinyscope.data.exploration._PIECE", 7 * 192)  # several pieces
    data = dataset([30, 0, 21])
    means = class_means(data)
    assert means.shape == (3, 8, 8, 3)
    assert means.dtype == np.uint8
    for k in (0, 2):
        exact = data.images[data.labels == k].astype(float).mean(0)
        np.testing.assert_allclose(means[k], exact, atol=0.5)
    assert not means[1].any()
