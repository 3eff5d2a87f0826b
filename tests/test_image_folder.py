import os

import numpy as np
import pytest
from PIL import Image

from tinyscope.data import image_folder
from tinyscope.data.dataset import LeftOut
from tinyscope.errors import DataError

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def put(folder, name, colour="red", size=(20, 20)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path)
    return path


def fill(folder, *classes, count=3, size=(20, 20)):
    for name in classes:
        for number in range(count):
            put(folder, f"{name}/{number}.png", size=size)


def fault(folder):
    with pytest.raises(DataError) as raised:
        image_folder.load(folder)
    return str(raised.value)


def test_class_folders_without_splits_are_all_to_train_on(photos):
    for colour in COLOURS:
        for number in range(3):
            put(photos, f"{colour}/{number}.png", colour)
    splits = image_folder.load(photos)
    assert (splits.name, splits.validation, splits.test) == ("photos", None, None)
    train = splits.train
    assert train.class_names == ("blue", "green", "red")
    assert train.images.shape == (9, 32, 32, 3)
    assert train.source == "photos/"
    assert train.files[3] == "green/0.png"
    for pixels, label in zip(train.images, train.labels, strict=True):
        assert (pixels == COLOURS[train.class_names[label]]).all()


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_split_folders_are_splits(photos, validation):
    for split, count in (("train", 3), (validation, 2), ("test", 1)):
        fill(photos / split, "cat", "dog", count=count)
    splits = image_folder.load(photos)
    assert [(part.split, part.counts()) for part in splits.parts()] == [
        ("train", [3, 3]),
        ("validation", [2, 2]),
        ("test", [1, 1]),
    ]
    assert splits.validation.files[0] == f"{validation}/cat/0.png"


def test_split_folders_by_other_names_do_not_become_classes(photos):
    fill(photos / "Training", "cat", "dog")
    fill(photos / "Testing", "cat", "dog", count=2)
    splits = image_folder.load(photos)
    assert splits.train.class_names == ("cat", "dog")
    assert splits.test.files[0] == "Testing/cat/0.png"


def test_a_class_may_be_called_train_or_valid(photos):
    fill(photos, "car", "train")
    assert image_folder.load(photos).train.class_names == ("car", "train")


def test_valid_beside_invalid_is_a_class(photos):
    fill(photos, "valid", "invalid")
    assert image_folder.load(photos).train.class_names == ("invalid", "valid")


def test_class_names_are_sorted_as_strings(photos):
    fill(photos, "10", "2", "1")
    assert image_folder.load(photos).train.class_names == ("1", "10", "2")


def test_images_may_lie_deeper_below_a_class(photos):
    fill(photos, "cat", "dog")
    put(photos, "cat/2023/may/x.png")
    assert image_folder.load(photos).train.files[:4] == (
        "cat/0.png",
        "cat/1.png",
        "cat/2.png",
        "cat/2023/may/x.png",
    )


@pytest.mark.parametrize(
    ("sizes", "side"),
    # Medians of the shorter sides: 48, 49, and 49 where a mean would be 356.
    [([(90, 48)] * 3, 32), ([(90, 49)] * 3, 64), ([(20, 40), (49, 60), (999, 1000)], 64)],
)
def test_the_default_size_goes_by_the_median_shorter_side(photos, sizes, side):
    for name in ("cat", "dog"):
        for number, size in enumerate(sizes):
            put(photos, f"{name}/{number}.png", size=size)
    assert image_folder.load(photos).train.images.shape[1:] == (side, side, 3)
    assert image_folder.load(photos, size=24).train.images.shape[1:] == (24, 24, 3)


def test_of_very_many_images_some_evenly_spread_are_measured(photos, monkeypatch):
    for number in range(12):  # in the files' order 3, 6, 9 ... are large: two of each three small
        put(
            photos,
            f"{'cat' if number < 6 else 'dog'}/{number:02}.png",
            size=(20 + 40 * (number % 3 == 0),) * 2,
        )
    assert image_folder.load(photos).train.images.shape[1] == 32
    monkeypatch.setattr(image_folder, "_MEASURED", 4)  # 0, 3, 6, 9
    put(photos, "cat/00.png", size=(60, 61))
    assert image_folder.load(photos).train.images.shape[1] == 64
    monkeypatch.setattr(image_folder, "_MEASURED", 3)  # 0, 4, 8
    put(photos, "cat/00.png", size=(61, 60))
    assert image_folder.load(photos).train.images.shape[1] == 32


def test_what_is_found_is_what_is_loaded_before_any_file_is_opened(photos):
    fill(photos / "train", "dog", "cat")
    fill(photos / "test", "cat")
    put(photos, "train/stray.png")
    (photos / "train/cat/1.png").write_bytes(b"")
    found, splits = image_folder.found(photos), image_folder.load(photos)
    assert found.source == splits.train.source
    assert found.class_names == splits.train.class_names == ("cat", "dog")
    assert [part.split for part in found.parts] == ["train", "test"]
    assert found.parts[0].files == (
        *("train/cat/0.png", "train/cat/1.png", "train/cat/2.png"),
        *("train/dog/0.png", "train/dog/1.png", "train/dog/2.png"),
    )
    assert found.parts[0].labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.odd == {"train": [("train/stray.png", "in no class folder")], "test": []}
    assert splits.train.left_out == (*found.odd["train"], ("train/cat/1.png", "empty file"))
    opened = [path for part in found.parts for path in part.sources()]
    assert list(map(str, found.files())) == list(map(str, opened))


def test_files_of_one_size_and_age_that_exchange_their_names_are_decoded_again(photos):
    fill(photos, "cat", "dog")
    for name, colour in (("cat/0.bmp", "red"), ("dog/0.bmp", "blue")):
        os.utime(put(photos, name, colour), (0, 0))
    before = image_folder.load(photos).train
    os.rename(photos / "cat/0.bmp", photos / "kept.bmp")
    os.rename(photos / "dog/0.bmp", photos / "cat/0.bmp")
    os.rename(photos / "kept.bmp", photos / "dog/0.bmp")
    after = image_folder.load(photos).train
    assert after.files == before.files
    cat, dog = (after.files.index(f"{name}/0.bmp") for name in ("cat", "dog"))
    assert (after.images[cat] == COLOURS["blue"]).all()
    assert (after.images[dog] == COLOURS["red"]).all()


def test_unreadable_images_are_listed_with_reasons_and_left_out(photos):
    fill(photos, "cat", "dog", count=4)
    whole = put(photos, "cat/big.jpg", size=(200, 200)).read_bytes()
    (photos / "cat/1.png").write_bytes(b"")
    (photos / "cat/big.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "dog/notes.doc").write_bytes(b"not a picture")
    (photos / "dog/gone.png").symlink_to("nowhere.png")
    (photos / "dog/self.png").symlink_to("self.png")
    put(photos, "stray.png")
    train = image_folder.load(photos).train
    reasons = dict(train.left_out)
    assert reasons.pop("dog/self.png").startswith(("cannot be read: ", "broken link"))
    assert reasons == {
        "cat/1.png": "empty file",
        "cat/big.jpg": "truncated",
        "dog/notes.doc": "not an image",
        "dog/gone.png": "broken link, or no regular file",
        "stray.png": "in no class folder",
    }
    assert train.counts() == [3, 4]
    assert train.found == 7 + 6
    assert "cat/1.png" not in train.files
    assert (train.images == COLOURS["red"]).all()


def test_what_is_left_out_is_the_same_from_the_cache(photos):
    fill(photos, "cat", "dog", count=4)
    (photos / "cat/1.png").write_bytes(b"")
    put(photos, "stray.png")
    first, second = image_folder.load(photos), image_folder.load(photos)
    assert first.train.left_out == second.train.left_out
    assert len(first.train.left_out) == 2
    assert first.train.files == second.train.files
    assert first.fingerprint == second.fingerprint


def test_clutter_is_neither_used_nor_counted(photos):
    fill(photos, "cat", "dog")
    for name in (".DS_Store", "cat/Thumbs.db", "cat/._0.png", "dog/labels.csv", "dog/readme.md"):
        (photos / name).write_bytes(b"clutter")
    put(photos, ".git/x.png")
    put(photos, "__MACOSX/cat/x.png")
    train = image_folder.load(photos).train
    assert train.left_out == ()
    assert train.class_names == ("cat", "dog")
    assert len(train) == 6


def test_links_in_a_circle_end_and_are_told_in_the_log_and_not_as_images(photos, caplog):
    fill(photos, "cat", "dog")
    (photos / "cat/up").symlink_to(photos, target_is_directory=True)
    (photos / "dog/here").symlink_to(".", target_is_directory=True)
    for _ in range(2):
        train = image_folder.load(photos).train
        assert train.counts() == [3, 3]
        assert train.left_out == ()
        assert train.found == 6
    assert [record.getMessage() for record in caplog.records] == [
        f"{photos}: cat/up/ is ./ under another name, and read once.",
        f"{photos}: dog/here/ is dog/ under another name, and read once.",
    ]


def test_the_name_of_a_link_cannot_forge_a_line_of_the_log(photos, caplog):
    fill(photos, "cat", "dog")
    (photos / "cat/a\nError: b").symlink_to(".", target_is_directory=True)
    image_folder.load(photos)
    assert [record.getMessage() for record in caplog.records] == [
        f"{photos}: 'cat/a\\nError: b/' is cat/ under another name, and read once."
    ]


def test_folders_that_link_to_one_another_are_read_once_under_their_own_names(
    photos, monkeypatch, caplog
):
    fill(photos, *(f"cat/{letter}" for letter in "abcdefgh"), "dog")
    for one in "abcdefgh":
        for other in "abcdefgh":
            (photos / f"cat/{one}/{other}").symlink_to(f"../{other}", target_is_directory=True)
    (photos / "cat/0").symlink_to("h", target_is_directory=True)
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    train = image_folder.load(photos).train
    assert len(listed) < 40, "their paths are more than 100,000"
    assert train.counts() == [24, 3]
    assert train.files[:24] == tuple(f"cat/{a}/{n}.png" for a in "abcdefgh" for n in range(3))
    assert train.left_out == ()
    assert [record.getMessage() for record in caplog.records] == [
        f"{photos}: cat/0/ is cat/h/ under another name, and read once; so it is with 64 more."
    ]


def test_on_a_drive_that_numbers_no_folders_none_is_taken_for_another(photos, monkeypatch):
    fill(photos, "cat/young", "cat/old", "dog")
    (photos / "cat/here").symlink_to(".", target_is_directory=True)
    stat = os.stat

    def without_numbers(path, **how):
        state = stat(path, **how)
        return os.stat_result((state.st_mode, 0, *state[2:]))

    monkeypatch.setattr(os, "stat", without_numbers)
    assert image_folder.load(photos).train.counts() == [6, 3]


def test_a_linked_class_folder_is_followed(photos, tmp_path):
    fill(photos, "cat")
    fill(tmp_path / "elsewhere", "dog")
    (photos / "dog").symlink_to(tmp_path / "elsewhere/dog", target_is_directory=True)
    assert image_folder.load(photos).train.counts() == [3, 3]


def test_a_folder_that_cannot_be_listed_is_left_out_with_its_reason(photos, monkeypatch):
    fill(photos, "cat", "dog")
    put(photos, "cat/locked/x.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    train = image_folder.load(photos).train
    assert train.left_out == (LeftOut("cat/locked/", "folder cannot be read: Permission denied"),)


def test_an_empty_folder_is_a_fault(photos):
    assert fault(photos) == (
        "photos/: no images to train on in class folders; "
        "expected <class>/<image> or train/<class>/<image>."
    )


def test_images_outside_of_class_folders_are_counted_in_the_fault(photos):
    put(photos, "a.png")
    put(photos, "b.png")
    assert fault(photos) == (
        "photos/: no images to train on in class folders (2 in none); "
        "expected <class>/<image> or train/<class>/<image>."
    )


def test_one_class_is_a_fault(photos):
    fill(photos, "cat")
    assert fault(photos) == 'photos/: only one class ("cat"); at least 2 are needed.'


def test_a_class_with_one_image_is_a_fault(photos):
    fill(photos, "cat", "dog")
    fill(photos, "owl", count=1)
    assert fault(photos) == (
        'photos/: train: too few images of "owl" (1); each class needs at least 3, '
        "one each to train and to validate and to test."
    )


def test_fewer_images_are_needed_where_the_splits_are_given(photos):
    fill(photos / "train", "cat", "dog", count=2)
    fill(photos / "train", "owl", count=1)
    fill(photos / "val", "cat", count=1)
    fill(photos / "test", "cat", count=1)
    assert fault(photos) == (
        'photos/: train: too few images of "owl" (1); each class needs at least 2.'
    )
    put(photos, "train/owl/1.png")
    assert image_folder.load(photos).train.counts() == [2, 2, 2]


def test_a_class_that_only_the_test_images_have_is_a_fault(photos):
    fill(photos / "train", "Cat", "dog")
    fill(photos / "test", "cat", "dog")
    assert fault(photos) == (
        'photos/: test: the class "cat" is not among those of train, which has "Cat".'
    )


def test_all_faults_are_in_one_line(photos):
    fill(photos / "train", "Cat", "cat")
    fill(photos / "train", "dog", count=1)
    fill(photos / "test", "zebra")
    assert fault(photos) == (
        "photos/: train: Cat/ and cat/ are one class in different case; join them; "
        'test: the class "zebra" is not among those of train; '
        "no images to test on in class folders; expected <class>/<image> or "
        'train/<class>/<image>; train: too few images of "dog" (1); '
        "each class needs at least 2, one each to train and to validate."
    )


def test_a_class_whose_images_are_all_unreadable_is_a_fault(photos):
    fill(photos / "train", "cat", "dog")
    fill(photos / "test", "cat", "dog", count=2)
    for number in range(2):
        (photos / f"test/dog/{number}.png").write_bytes(b"")
    (photos / "train/cat/0.png").write_bytes(b"?")
    (photos / "train/cat/1.png").write_bytes(b"?")
    assert fault(photos) == (
        'photos/: train: too few images of "cat" (1 readable of 3); each class needs at least 2, '
        'one each to train and to validate; test: too few images of "dog" (0 readable of 2); '
        "each class needs at least 1 (left out, for one: train/cat/0.png: not an image)."
    )


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (
            ("train/cat", "test/cat", "extra/cat"),
            "photos/: beside test/ and train/ lies extra/, which is no split. Move it away, or put "
            "all classes into one folder.",
        ),
        (("test/cat", "val/cat"), "photos/: found test/ and val/ but no train/."),
        (
            ("train/cat", "val/cat", "valid/cat"),
            "photos/: train/ and val/ and valid/ are not one folder a split. Leave one of each.",
        ),
    ],
)
def test_unclear_split_folders_are_a_fault(photos, folders, expected):
    for name in folders:
        put(photos, f"{name}/0.png")
    assert fault(photos) == expected


def test_pixels_are_those_of_the_files(photos):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        path = photos / ("cat" if number < 3 else "dog") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    np.testing.assert_array_equal(image_folder.load(photos).train.images, pixels)


ACCENT = "cafe\u0301"  # as some disks and archives store "caf\xe9"


@pytest.mark.parametrize(
    "twin", [ACCENT, "caf\xe9 ", " caf\xe9", "caf\xe9\u200b", "\ufeffcaf\xe9", f"Caf{ACCENT[3:]}"]
)
def test_class_folders_that_look_the_same_are_a_fault_that_tells_them_apart(photos, twin):
    fill(photos, "caf\xe9", "dog", twin)
    if len([each for each in photos.iterdir() if each.name != "dog"]) < 2:
        pytest.skip("this disk takes both for one")
    first, second = sorted(["caf\xe9", twin])
    assert fault(photos) == (
        f"photos/: train: the folders {first!a} and {second!a} look like one class; join "
        "or rename them."
    )


def test_splits_whose_folders_spell_an_accent_in_another_way_have_the_same_class(photos):
    fill(photos / "train", ACCENT, "dog")
    fill(photos / "test", "caf\xe9", "dog")
    splits = image_folder.load(photos)
    assert splits.train.class_names == splits.test.class_names == ("caf\xe9", "dog")
    assert splits.train.counts() == splits.test.counts() == [3, 3]
    if (photos / "train" / "caf\xe9").exists():
        pytest.skip("this disk takes both for one")
    assert splits.train.files[0] == f"train/{ACCENT}/0.png", "as its folder is called"


def test_a_class_that_only_looks_like_one_of_train_is_spelled_out(photos):
    fill(photos / "train", "cat", "dog")
    fill(photos / "test", "cat ", "dog")
    assert fault(photos) == (
        "photos/: test: the class 'cat ' is not among those of train, which has 'cat'."
    )
