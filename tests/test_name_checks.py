import numpy as np
import pytest

from tinyscope.data.dataset import ImageDataset
from tinyscope.inspection.name_checks import name_check, name_patterns

NAMES = ("cat", "dog", "owl", "bee")
LABELS = np.repeat(np.arange(4), 250)


def patterns(files: list[str], names=NAMES, labels=LABELS) -> set[str]:
    return set(name_patterns(files, labels, names).tolist())


def outcome(files: list[str], names=NAMES, labels=LABELS, *, as_files: bool = True):
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    part = ImageDataset(images, labels, tuple(names), "train", "pets/", files=tuple(files))
    return name_check(part, as_files=as_files)


def test_a_prefix_of_file_names_is_found_and_running_numbers_are_not() -> None:
    files = [f"train/{NAMES[label]}/IMG_{row:04}.png" for row, label in enumerate(LABELS)]
    assert patterns(files) == {"IMG_#"}
    assert not outcome(files).items
    files[250:500] = [f"train/dog/scan-{row}-2.png" for row in range(250)]
    (item,) = outcome(files).items
    assert item.class_name == "dog"
    assert item.place is None, "no image is blamed for its name"
    assert item.detail.startswith("files called scan-#-#: 250 of the 250 images that carry it")
    assert outcome(files).summary == "Kinds of file names by class, dog: scan-#-#."


def test_a_kind_of_names_that_two_of_four_classes_have_is_told_of_both() -> None:
    files = [f"train/{NAMES[label]}/IMG_{row:04}.png" for row, label in enumerate(LABELS)]
    files[250:750] = [f"train/dog/scan-{row}-2.png" for row in range(500)]
    found = outcome(files)
    assert [item.class_name for item in found.items] == ["cat", "bee"]
    strength = "500 of the 500 images of these 2 classes carry it, and 0 of the 500 others."
    assert {item.detail for item in found.items} == {f"files called IMG_#: {strength}"}
    assert found.summary == "Kinds of file names by class, cat and bee: IMG_#."


@pytest.mark.parametrize(
    ("names", "spelled"),
    [
        (("cat", "dog"), ("CAT.", "DOG.")),
        (("cats", "dogs"), ("cat.", "dog.")),
        (("cat", "dog"), ("cats_", "dogs_")),
        (("airplane", "automobile"), ("plane", "auto-")),
        (("wolves", "owls"), ("wolf ", "owl ")),
        (("cats", "dogs"), ("c", "d")),
        (("golden retriever", "Siamese_cat"), ("retriever_", "siamesecat")),
        (("n01440764", "n02102040"), ("n01440764_", "n02102040_")),
    ],
)
def test_file_names_that_spell_the_class_are_not_named(names, spelled) -> None:
    labels = np.repeat(np.arange(2), 100)
    files = [f"{names[k]}/{spelled[k]}{row}.jpg" for row, k in enumerate(labels.tolist())]
    assert not outcome(files, names, labels).items


def test_a_class_called_by_a_number_is_not_spelled_by_running_numbers() -> None:
    labels = np.repeat(np.arange(2), 100)
    files = [f"{'DSC' if k else 'IMG_'}{row}.jpg" for row, k in enumerate(labels.tolist())]
    assert patterns(files, ("4", "5"), labels) == {"DSC#", "IMG_#"}


def test_names_that_spell_their_class_whole_are_of_one_pattern() -> None:
    files = [f"{NAMES[label].upper()}.{row}.jpg" for row, label in enumerate(LABELS)]
    assert patterns(files) == {"*.#"}


def test_an_image_in_the_wrong_folder_does_not_make_its_name_a_pattern() -> None:
    files = [f"{NAMES[label]}.{row}.jpg" for row, label in enumerate(LABELS)]
    files[300] = "cat.9999.jpg"  # among the dogs
    assert not outcome(files).items


def test_a_class_that_spells_its_name_leaves_the_others_to_be_compared() -> None:
    starts = ("cat.", "IMG_", "IMG_", "photo ")
    files = [f"{starts[label]}{row}.png" for row, label in enumerate(LABELS)]
    assert [item.class_name for item in outcome(files).items] == ["bee"]


def test_a_class_whose_name_is_part_of_all_file_names_is_no_exception() -> None:
    files = [f"train-{n}.png" for n in range(4)]
    found = name_patterns(files, np.array([0, 0, 1, 1]), ("train", "whale"))
    assert found.tolist() == ["train-#"] * 4


def test_arrays_have_no_file_names() -> None:
    assert outcome([], as_files=False).not_applicable.startswith("because the images are stored")
