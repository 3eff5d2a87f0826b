import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.inspection.label_checks import label_check

NAMES = ("cat", "dog", "owl")


def part(split: str, counts: tuple[int, ...]) -> ImageDataset:
    labels = np.repeat(np.arange(3), counts)
    return ImageDataset(np.zeros((len(labels), 2, 2, 1), np.uint8), labels, NAMES, split, "pets/")


def sure(labels: np.ndarray) -> np.ndarray:
    """Probabilities that each image is of the class of its label."""
    return np.full((len(labels), 3), 0.0002) + 0.9994 * np.eye(3)[labels]


def checked(train: tuple[int, ...], test: tuple[int, ...], wrong: int):
    """The outcome where one test image, at `wrong`, looks like the next class."""
    splits = Splits("pets", part("train", train), None, part("test", test))
    seen = splits.test.labels.copy()
    seen[wrong] = (seen[wrong] + 1) % 3
    return label_check(splits, {"train": sure(splits.train.labels), "test": sure(seen)})


def test_a_wrong_label_is_found_in_a_class_with_few_test_images() -> None:
    outcome = checked((100, 100, 100), (30, 30, 4), wrong=61)
    (item,) = outcome.items
    assert item.place == ("test", 61)
    assert item.new_class == "cat"
    assert outcome.summary.endswith("test: 1 of 64 labels (1.6%).")


def test_classes_with_few_training_images_are_judged_in_no_split_and_told() -> None:
    outcome = checked((100, 100, 9), (30, 30, 20), wrong=61)
    assert outcome.items == []
    assert outcome.summary.endswith("Too few training images to judge, in any split: owl.")
