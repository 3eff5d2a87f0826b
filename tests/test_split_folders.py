import pytest

from tinyscope.data.split_folders import split_folders
from tinyscope.errors import DataError


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def put(folder, *names):
    for name in names:
        path = folder / f"{name}/0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder, *names):
    put(folder, *names)
    return split_folders(folder, "photos/")


def fault(folder, *names):
    with pytest.raises(DataError) as raised:
        found(folder, *names)
    return str(raised.value)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "Validation", "Testing"),
        ("train_set", "val_set", "test_set"),
        ("training_set", "dev", "test_set"),
        ("trainset", "evalset", "testset"),
        ("seg_train", "seg_val", "seg_test"),
        ("train-images", "eval images", "test images"),
    ],
)
def test_splits_are_known_by_their_usual_names(photos, train, validation, test):
    given = [f"{split}/{name}" for split in (train, validation, test) for name in ("cat", "dog")]
    expected = {"train": train, "validation": validation, "test": test}
    assert found(photos, *given) == expected
    assert list(split_folders(photos, "photos/")) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    "classes",
    [
        ("training", "sleeping"),
        ("dev", "prod"),
        ("test_cat", "test_dog"),
        ("set", "data"),
        ("attest", "reset"),
        ("train wheels", "test tubes"),
    ],
)
def test_classes_may_be_called_somewhat_like_splits(photos, classes):
    assert found(photos, *classes) == {"train": ""}


def test_a_split_that_is_packed_in_a_folder_of_its_own_name_is_unpacked(photos):
    names = [f"seg_{split}/seg_{split}/{name}" for split in ("train", "test") for name in "ab"]
    assert found(photos, *names) == {"train": "seg_train/seg_train", "test": "seg_test/seg_test"}


def test_a_class_called_like_its_split_is_a_class(photos):
    assert found(photos, "train/test", "train/rest", "test/test") == {
        "train": "train",
        "test": "test",
    }


def test_folders_that_hold_the_same_folders_are_no_classes(photos):
    names = [f"{part}/{name}" for part in ("first", "second", "third") for name in ("cat", "dog")]
    assert fault(photos, *names) == (
        "photos/: first/, second/ and 1 more hold the same folders (cat, dog), so they look like "
        "splits, not classes. Call them train/, val/ and test/, or give the path of one; if they "
        "are the classes, put images straight into them."
    )


def test_many_folders_that_hold_the_same_folders_are_classes(photos):
    """Five kinds of birds, each sorted by year."""
    names = [f"{kind}/{year}" for kind in "abcde" for year in ("2023", "2024")]
    assert found(photos, *names) == {"train": ""}


def test_two_alike_among_other_folders_are_enough(photos):
    names = [f"{part}/{name}" for part in ("old", "new") for name in ("cat", "dog", "owl")]
    assert fault(photos, *names, "more").startswith(
        "photos/: new/ and old/ hold the same folders (cat, dog …), so they look like splits"
    )


@pytest.mark.parametrize(
    "names",
    [
        ("cat/2023", "cat/2024", "dog/2023", "dog/2025"),
        ("cat/indoors", "dog/indoors"),
        ("cat", "cat/2023", "cat/2024", "dog", "dog/2023", "dog/2024"),
    ],
)
def test_classes_may_hold_folders_that_differ_or_lie_beside_images(photos, names):
    assert found(photos, *names) == {"train": ""}


def test_a_folder_that_links_to_itself_ends(photos):
    put(photos, "train/cat", "test/cat")
    (photos / "val").mkdir()
    (photos / "val/val").symlink_to(photos / "val")
    assert split_folders(photos, "photos/")["validation"] in ("val", "val/val")
