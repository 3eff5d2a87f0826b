import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.exploration import explore
from tinyscope.data.image_quality import image_properties
from tinyscope.inspection.class_checks import class_checks

NAMES = ("a", "b", "c")


def splits(train: tuple[int, ...], test: tuple[int, ...]) -> Splits:
    def part(split: str, counts: tuple[int, ...]) -> ImageDataset:
        labels = np.repeat(np.arange(3), counts)
        images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
        return ImageDataset(images, labels, NAMES, split, "letters")

    return Splits("letters", part("train", train), None, part("test", test))


def checked(train: tuple[int, ...], test: tuple[int, ...]):
    images = splits(train, test)
    properties = {part.split: image_properties(part.images) for part in images.parts()}
    return class_checks(images, explore(images, properties=properties)["balance"])


def test_classes_with_few_images_in_a_split_are_named_with_their_number():
    small = checked((20, 19, 40), (10, 0, 1))["TS013"]
    assert [(one.class_name, one.split, one.detail) for one in small.items] == [
        ("b", "train", "19 images in the train split; 20 are few"),
        ("b", "test", "no images in the test split; 10 are few"),
        ("c", "test", "1 image in the test split; 10 are few"),
    ]


def test_enough_images_of_every_class_are_no_finding():
    assert checked((20, 20, 20), (10, 10, 10))["TS013"].items == []


def test_equal_classes_are_not_called_unequal():
    assert checked((100, 100, 100), (10, 10, 10))["TS014"].items == ()


def test_a_difference_that_chance_explains_is_not_called_unequal():
    assert checked((20, 31, 26), (10, 10, 10))["TS014"].items == ()


def test_the_smallest_and_the_largest_of_unequal_classes_are_named():
    unequal = checked((100, 400, 100), (10, 10, 10))["TS014"]
    assert [(one.class_name, one.detail) for one in unequal.items] == [
        ("a", "100 training images, 0.50 times the mean"),
        ("b", "400 training images, 2.00 times the mean"),
    ]
    assert unequal.summary
