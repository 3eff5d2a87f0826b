import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from tinyscope.data import array_file
from tinyscope.errors import DataError


def pixels(count, *shape):
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count):
    return np.arange(count) % 2


def fault(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError) as raised:
        array_file.load(path)
    return str(raised.value).replace(f"{path}: ", "")


def test_keras_spelling_gives_the_splits(tmp_path):
    arrays = {
        **{"x_train": pixels(6, 8, 9, 3), "y_train": labels(6).astype(np.uint8)[:, np.newaxis]},
        **{"x_val": pixels(4, 8, 9, 3), "y_val": labels(4)},
        **{"x_test": pixels(2, 8, 9, 3), "y_test": labels(2)},
    }
    np.savez(tmp_path / "set.npz", **arrays, class_names=np.array(["cat", "dog"]))
    splits = array_file.load(tmp_path / "set.npz")
    assert splits.name == "set"
    assert splits.train.class_names == ("cat", "dog")
    for part, name in zip(splits.parts(), ("train", "val", "test"), strict=True):
        np.testing.assert_array_equal(part.images, arrays[f"x_{name}"])
        np.testing.assert_array_equal(part.labels, arrays[f"y_{name}"].ravel())


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1)])
def test_images_and_labels_without_splits_are_to_train_on(tmp_path, shape):
    np.savez_compressed(tmp_path / "set.npz", images=pixels(6, *shape), labels=labels(6))
    splits = array_file.load(tmp_path / "set.npz")
    assert (splits.validation, splits.test) == (None, None)
    assert splits.train.images.shape == (6, 8, 9, 1)
    assert splits.train.class_names == ("0", "1")


X, Y = pixels(6, 8, 8), labels(6)
KEYS = (
    "Expected x_train and y_train, or images and labels; optional are "
    "x_val, y_val, x_test, y_test, class_names."
)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        (
            {"images": (X / 255).astype(np.float32), "labels": Y},
            "images is float32; expected uint8, 0 to 255. "
            "Store np.rint(images * 255).astype(np.uint8).",
        ),
        ({"images": X.astype(int), "labels": Y}, "images is int64; expected uint8, 0 to 255."),
        (
            {"images": pixels(6, 3, 8, 8), "labels": Y},
            "images has the shape (6, 3, 8, 8); expected (N, H, W), (N, H, W, 1) or (N, H, W, 3). "
            "Store images.transpose(0, 2, 3, 1).",
        ),
        ({"images": X, "labels": Y / 2}, "labels is float64; expected integers, 0 to K-1."),
        (
            {"images": X, "labels": np.eye(6, dtype=int)},
            "labels has the shape (6, 6); expected (N,) or (N, 1).",
        ),
        ({"images": X, "labels": Y[:5]}, "train has 6 images, 5 labels."),
        ({"images": X, "y": Y}, f"images, y not understood. {KEYS}"),
        ({"x_test": X, "y_test": Y}, f"no training images. {KEYS}"),
        ({"images": X, "labels": Y, "x_valid": X}, f"x_valid not understood. {KEYS}"),
        (
            {"x_train": X, "y_train": Y, "x_test": pixels(6, 9, 8), "y_test": Y},
            "test images are (9, 8, 1) but those to train on (8, 8, 1) (height, width, channels).",
        ),
        (
            {"images": X, "labels": Y, "class_names": np.array([1, 2])},
            "class_names is int64 (2,); expected K strings, shape (K,).",
        ),
        ({"images": X, "labels": Y * 0}, 'only one class ("0"); at least 2 are needed.'),
        (
            {"images": X, "labels": Y + 1},
            'train: too few images of "0" (0); each class needs at least 3, '
            "one each to train and to validate and to test.",
        ),
    ],
)
def test_what_does_not_fit_is_a_fault(tmp_path, arrays, expected):
    assert fault(tmp_path, **arrays) == expected


def test_a_label_beyond_the_class_names_is_a_fault(tmp_path):
    names = np.array(["cat", "dog"])
    assert fault(tmp_path, images=X, labels=Y + 1, class_names=names) == (
        "set.npz: label 2 of image 1 (train) is not in 0 to 1, the 2 classes."
    )


def test_a_pickled_object_is_never_loaded(tmp_path):
    objects = np.array([{"a": 1}] * 6, dtype=object)
    line = fault(tmp_path, images=X, labels=objects)
    assert line.startswith("damaged, or no .npz file of plain arrays (labels: Object arrays ")


@pytest.mark.parametrize("damage", ["cut", "text", "npy"])
def test_a_damaged_file_is_a_fault_of_one_line(tmp_path, damage):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=X, labels=Y)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "text":
        path.write_bytes(b"hello")
    else:
        with path.open("wb") as file:
            np.save(file, X)
    with pytest.raises(DataError) as raised:
        array_file.load(path)
    assert str(raised.value).startswith(f"{path}: damaged, or no .npz file of plain arrays (")
    assert "\n" not in str(raised.value)


def test_labels_that_are_ids_are_a_fault_before_names_are_made_for_all_numbers(tmp_path):
    told = fault(tmp_path, x_train=pixels(6, 8, 8), y_train=labels(6) + 2**31)
    assert told.startswith("a label is 2147483649, and there are 6 training images; expected 0 to")


def zipped(path, members, *, damage=lambda content: content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as raised:
        array_file.load(path)
    return str(raised.value).replace(f"{path}: ", "")


def stored(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape):
    file = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def test_a_member_that_is_no_array_is_a_fault(tmp_path):
    members = {"images.npy": b"hello", "labels.npy": stored(Y)}
    assert zipped(tmp_path / "set.npz", members) == (
        "damaged, or no .npz file of plain arrays (images: EOF: reading magic string, expected 8 "
        "bytes got 5)."
    )


def test_a_header_that_states_more_than_the_member_holds_is_believed_nothing(tmp_path):
    members = {"images.npy": header((10**12, 32, 32, 3)) + b"0" * 9, "labels.npy": stored(Y)}
    assert zipped(tmp_path / "set.npz", members) == (
        "images is damaged: by its header it is uint8 (1000000000000, 32, 32, 3), "
        "3,072,000,000,000,000 bytes, and it holds 9."
    )


def test_arrays_above_the_memory_are_told_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(array_file, "_memory", lambda: 400)
    assert fault(tmp_path, images=X, labels=Y) == (
        "its arrays take 0.0 GB and this computer has 0.0 GB of memory. Store fewer images, or "
        "make a folder of them."
    )


def test_arrays_of_other_names_are_not_unpacked(tmp_path):
    members = {"x.npy": header((10**8,)) + bytes(10**8), "y.npy": stored(Y)}
    tracemalloc.start()
    told = zipped(tmp_path / "set.npz", members)
    tracemalloc.clear_traces()
    with pytest.raises(DataError):
        array_file.load(tmp_path / "set.npz")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert told == f"x, y not understood. {KEYS}"


def flagged(at, value):
    """Changes a field of every member's two headers."""

    def damage(content):
        changed = bytearray(content)
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = changed.find(mark)
            while place >= 0:
                changed[place + offset + at] = value
                place = changed.find(mark, place + 1)
        return bytes(changed)

    return damage


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (flagged(0, 1), "images is encrypted; expected a file without a password."),
        (
            flagged(2, 77),
            "damaged, or no .npz file of plain arrays (images: That compression method is not "
            "supported).",
        ),
    ],
)
def test_what_no_array_can_be_read_from_is_a_fault(tmp_path, damage, told):
    members = {"images.npy": stored(X), "labels.npy": stored(Y)}
    assert zipped(tmp_path / "set.npz", members, damage=damage) == told


@pytest.mark.parametrize("shape", [(6, 0, 0), (6, 0, 8, 3), (6, 8, 0, 1)])
def test_images_without_a_pixel_are_a_fault(tmp_path, shape):
    assert fault(tmp_path, images=np.zeros(shape, np.uint8), labels=Y) == (
        f"images has the shape {shape}; expected images of 1 pixel or more."
    )
