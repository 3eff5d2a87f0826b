import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator

from tinyscope.data.batches import Augmentation, Batches
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.mapped_rows import MappedRows, is_mapped, taken
from tinyscope.data.normalization import channel_statistics
from tinyscope.data.splitting import complete
from tinyscope.plan.recipe import Recipe
from tinyscope.training.trainer import train

ROWS = np.array([5, 2, 2, 39, 0, 17, 16])
CPU = torch.device("cpu")


def noise(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)


def on_disk(path, array: np.ndarray) -> np.ndarray:
    np.save(path, array)
    return np.load(path, mmap_mode="c")


@pytest.fixture
def held():
    return noise(40, 8, 8, 3)


@pytest.fixture
def mapped(held, tmp_path):
    return on_disk(tmp_path / "images.npy", held)


def data(images: np.ndarray, split: str = "train") -> ImageDataset:
    labels = np.arange(len(images)) % 3
    return ImageDataset(images, labels, ("a", "b", "c"), split, "noise")


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(1, 5),
        slice(None, None, -2),
        slice(5, 2),
        [6, 0, 0],
        np.array([-1, 2]),
        np.array([], np.int64),
        np.array([True, False, True, True, False, False, True]),
        (2, 1),
        (2, slice(1, 3), 0),
        (slice(1, 4), ..., 0),
        (slice(None), slice(None, None, -1)),
        (np.array([1, 5]), 2, slice(3), 1),
    ],
    ids=str,
)
def test_rows_are_chosen_as_from_an_array_in_memory(held, mapped, index):
    view = MappedRows(mapped, ROWS)
    got = view[index]
    np.testing.assert_array_equal(got, held[ROWS][index])
    assert type(got) is np.ndarray
    assert got.dtype == np.uint8


def test_a_view_describes_itself_as_an_array_does(held, mapped):
    view, same = MappedRows(mapped, ROWS), held[ROWS]
    for name in ("shape", "dtype", "ndim", "nbytes"):
        assert getattr(view, name) == getattr(same, name)
    assert len(view) == len(same)
    assert repr(view) == "MappedRows(uint8 (7, 8, 8, 3) of (40, 8, 8, 3))"
    np.testing.assert_array_equal(list(view), same)


@pytest.mark.parametrize("index", [7, -8, [0, 7], (0, 8), (0, 0, 0, 0, 0)])
def test_what_lies_outside_is_an_index_error(mapped, index):
    with pytest.raises(IndexError):
        MappedRows(mapped, ROWS)[index]


@pytest.mark.parametrize("index", [..., None, (..., 0), (0, np.array([1, 2])), (0, None), (0, [1])])
def test_an_index_that_would_read_everything_or_pair_rows_is_refused(mapped, index):
    with pytest.raises(TypeError) as raised:
        MappedRows(mapped, ROWS)[index]
    assert str(raised.value) == (
        f"[{index!r}]: of rows on disk, the first index says which ones; those after it are "
        "numbers, slices or '...'."
    )


def test_numpy_reads_all_rows_where_it_is_told_to(held, mapped):
    view = MappedRows(mapped, ROWS)
    np.testing.assert_array_equal(np.asarray(view), held[ROWS])
    assert np.asarray(view, np.float32).dtype == np.float32
    assert view[2:4].mean() == held[ROWS][2:4].mean()
    with pytest.raises(ValueError, match=r"^Rows on disk cannot become an array without being "):
        np.array(view, copy=False)


def test_what_lies_on_disk_is_told_from_what_does_not(held, mapped):
    view = MappedRows(mapped, ROWS)
    on_the_disk = [mapped, mapped[:3], np.asarray(mapped), np.asarray(mapped)[::2], view]
    in_memory = [held, held[:3], mapped[ROWS], view[:], np.asarray(view), np.array(mapped)]
    assert [is_mapped(array) for array in on_the_disk] == [True] * 5
    assert [is_mapped(array) for array in in_memory] == [False] * 6


def test_rows_of_an_array_in_memory_are_copied(held):
    got = taken(held, ROWS)
    np.testing.assert_array_equal(got, held[ROWS])
    assert type(got) is np.ndarray
    assert not np.shares_memory(got, held)


def test_rows_of_rows_are_rows_of_what_lies_on_disk(held, mapped):
    first = taken(mapped, ROWS)
    second = taken(first, np.array([6, 1, 3]))
    third = taken(second, np.array([True, False, True]))
    assert [type(view) for view in (first, second, third)] == [MappedRows] * 3
    assert third.base is mapped
    assert third.rows.tolist() == [16, 39]
    np.testing.assert_array_equal(third[:], held[[16, 39]])


def test_what_is_given_out_may_be_changed_and_a_change_of_the_base_is_seen(held, mapped, tmp_path):
    view = MappedRows(mapped, ROWS)
    for piece in (view[0], view[:], view[[0, 1]]):
        piece[:] = 0
    np.testing.assert_array_equal(view[:], held[ROWS])
    mapped[5] = 7  # copy-on-write: this process alone sees it
    assert (view[0] == 7).all()
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), held)


def test_a_selection_of_a_mapped_data_set_stays_on_disk_and_is_the_same(held, mapped):
    one, other = data(held).select(ROWS, split="test"), data(mapped).select(ROWS, split="test")
    assert isinstance(other.images, MappedRows)
    assert type(one.images) is np.ndarray
    assert one.fingerprint == other.fingerprint
    assert one.preprocessing == other.preprocessing
    assert repr(one) == repr(other)
    again = other.select(np.array([3, 1]), split="train")
    assert isinstance(again.images, MappedRows)
    assert again.fingerprint == one.select(np.array([3, 1]), split="train").fingerprint


def test_the_fingerprint_of_many_rows_is_theirs_in_memory(tmp_path):
    images = noise(25_000, 2, 2, 1)
    rows = np.random.default_rng(1).permutation(25_000)
    mapped = on_disk(tmp_path / "images.npy", images)
    view = data(mapped).select(rows, split="train")
    assert view.fingerprint == data(images).select(rows, split="train").fingerprint


def test_batches_of_rows_on_disk_are_bit_for_bit_those_of_rows_in_memory(held, mapped):
    rows = np.random.default_rng(2).permutation(40)[:33]
    augmentation = Augmentation(horizontal_flip=True, shift=2, rotation=10.0, cutout=3)
    given = []
    for images in (held, mapped):
        batches = Batches(data(images).select(rows, split="train"), device=CPU)
        generator = Generator().manual_seed(5)
        epoch = batches.shuffled(
            8, augmentation=augmentation, fill=torch.zeros(3), generator=generator
        )
        given.append([*epoch, *batches.in_order(10)])
        assert len(batches) == 33
    assert len(given[0]) == 5 + 4
    for (pixels, labels), (same_pixels, same_labels) in zip(*given, strict=True):
        assert torch.equal(pixels, same_pixels)
        assert torch.equal(labels, same_labels)


def test_on_another_device_only_the_chosen_rows_are_placed(mapped):
    batches = Batches(data(mapped).select(ROWS, split="train"), device=torch.device("meta"))
    assert [tuple(pixels.shape) for pixels, _ in batches.in_order(4)] == [
        (4, 8, 8, 3),
        (3, 8, 8, 3),
    ]


def test_neither_a_selection_nor_its_batches_hold_the_images_in_memory(tmp_path):
    mapped = on_disk(tmp_path / "images.npy", noise(20_000, 16, 16, 3))  # 15 MB
    dataset = data(mapped)
    tracemalloc.start()
    view = dataset.select(np.arange(0, 20_000, 2), split="train")
    batches = Batches(view, device=CPU)
    for _ in batches.in_order(500):
        pass
    channel_statistics(view.images)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_splits_of_a_mapped_data_set_stay_on_disk_and_are_those_of_one_in_memory(tmp_path):
    images = noise(120, 8, 8, 1)
    mapped = on_disk(tmp_path / "images.npy", images)
    in_memory = complete(Splits("noise", data(images)))
    on_the_disk = complete(Splits("noise", data(mapped)))
    assert in_memory.fingerprint == on_the_disk.fingerprint
    for part in on_the_disk.parts():
        assert isinstance(part.images, MappedRows)
        assert part.images.base is mapped
    assert [len(part) for part in on_the_disk.parts()] == [len(part) for part in in_memory.parts()]


def test_training_and_validation_images_that_are_joined_are_read(tmp_path):
    images = noise(60, 8, 8, 1)
    first, second = (on_disk(tmp_path / f"{k}.npy", images[k * 30 :][:30]) for k in (0, 1))
    splits = Splits("noise", data(first), data(second, "validation"), data(first, "test"))
    joined = complete(splits, validation=0)
    np.testing.assert_array_equal(joined.train.images, images)


def test_a_training_from_rows_on_disk_ends_with_the_same_bits(world, tmp_path):
    """With the whitened filters, the mean colour and the validation of a real one."""
    recipe = Recipe(
        model="whitened-cnn",
        widths=(8, 12),
        optimizer="muon",
        learning_rate=0.1,
        horizontal_flip=True,
        shift=1,
        epochs=1,
        batch_size=70,
        precision="fp32",
    )
    rows = np.random.default_rng(0).permutation(256)
    ended = []
    for place in ("memory", "disk"):
        images = world.train.images
        if place == "disk":
            images = on_disk(tmp_path / "train.npy", images)
        whole = replace(world.train, images=images)
        parts = [
            whole.select(rows[:200], split="train"),
            whole.select(rows[200:], split="validation"),
        ]
        assert isinstance(parts[0].images, MappedRows) == (place == "disk")
        trained = train(Splits("world", parts[0], parts[1], None), recipe)
        ended.append(
            {name: each.numpy().tobytes() for name, each in trained.network.state_dict().items()}
        )
    assert ended[0] == ended[1]
