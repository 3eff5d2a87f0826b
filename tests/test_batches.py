import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from tinyscope.data.batches import Augmentation, Batches, images_at_once
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.plan.recipe import Recipe

CPU = torch.device("cpu")
FILL = torch.tensor([128.0, 128.0, 128.0])


def numbered(count: int) -> ImageDataset:
    """Images whose pixels, and whose labels, are their row."""
    rows = np.arange(count)
    images = np.broadcast_to(rows[:, None, None, None], (count, 2, 2, 3)).astype(np.uint8)
    names = tuple(f"c{row}" for row in rows)
    return ImageDataset(images, rows.astype(np.int64), names, "train", "numbers")


@pytest.mark.parametrize(
    ("side", "at_once"),
    [(8, 512), (32, 512), (64, 512), (65, 496), (128, 128), (512, 8), (4096, 1)],
)
def test_fewer_images_are_answered_at_once_where_they_are_large(side, at_once):
    """Of up to 64 pixels as many as ever, or answers would differ in their last bits."""
    assert images_at_once(512, side, side) == at_once
    images = np.zeros((1, side, side, 1), np.uint8)
    part = ImageDataset(images, np.zeros(1, np.int64), ("a",), "train", "one")
    assert Batches(part, device=CPU).at_once(512) == at_once


def shuffled(
    batches: Batches, size: int, *, seed: int = 0, **changes: object
) -> list[tuple[Tensor, Tensor]]:
    return list(
        batches.shuffled(
            size,
            augmentation=Augmentation(**changes),
            fill=FILL,
            generator=Generator().manual_seed(seed),
        )
    )


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (20, 5, [5, 5, 5, 5]),
        (20, 8, [7, 7, 6]),  # not 8, 8, 4: each batch is a step, and counts like the others
        (20, 32, [20]),
        (20, 1, [1] * 20),
        (21, 5, [5, 4, 4, 4, 4]),
        (97, 48, [33, 32, 32]),
        (5, 4, [3, 2]),
        (5, 2, [3, 2]),  # one image alone would leave batch norm nothing to average
        (3, 2, [3]),
        (2, 2, [2]),
        (1, 4, [1]),
    ],
)
def test_every_image_comes_once_an_epoch_with_its_label(
    count: int, size: int, sizes: list[int]
) -> None:
    stored = Batches(numbered(count), device=CPU)
    batches = shuffled(stored, size)
    assert stored.steps(size) == len(sizes)
    assert [len(labels) for _, labels in batches] == sizes
    for pixels, labels in batches:
        assert pixels.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert torch.equal(pixels[:, 1, 0, 2].long(), labels)
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(count))


def test_one_seed_gives_one_order_and_another_seed_another() -> None:
    batches = Batches(numbered(100), device=CPU)
    first, second, other = (
        torch.cat([labels for _, labels in shuffled(batches, 16, seed=seed)]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert not torch.equal(first, torch.arange(100))


def test_images_come_in_order_where_that_is_asked() -> None:
    batches = Batches(numbered(21), device=CPU)
    given = list(batches.in_order(8))
    assert [len(labels) for _, labels in given] == [8, 8, 5]
    assert torch.cat([labels for _, labels in given]).tolist() == list(range(21))
    assert torch.cat([pixels[:, 0, 0, 0] for pixels, _ in given]).tolist() == list(range(21))
    assert len(batches) == 21


@pytest.mark.parametrize(
    "changes",
    [
        {"horizontal_flip": True},
        {"vertical_flip": True},
        {"shift": 3},
        {"rotation": 20.0},
        {"zoom": 0.2},
        {"cutout": 8},
        {
            "horizontal_flip": True,
            "vertical_flip": True,
            "shift": 2,
            "rotation": 10.0,
            "zoom": 0.1,
            "cutout": 4,
        },
    ],
)
def test_each_change_is_made_to_what_is_given_out_and_never_to_what_is_stored(
    world: Splits, changes: dict[str, object]
) -> None:
    train = world.train
    before = train.images.copy()
    batches = Batches(train, device=CPU)
    plain = shuffled(batches, 64)
    changed = shuffled(batches, 64, **changes)
    for (pixels, labels), (other, same) in zip(plain, changed, strict=True):
        assert other.shape == pixels.shape
        assert torch.equal(labels, same)
        assert other.min() >= 0
        assert other.max() <= 255
        assert (other.float() - pixels).abs().max() > 20
    again = shuffled(batches, 64, **changes)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(changed, again, strict=True))
    np.testing.assert_array_equal(train.images, before)


def test_those_that_are_to_be_mirrored_are_found_again_after_shuffling(world: Splits) -> None:
    train = world.train
    images = {image.tobytes() for image in train.images}
    assert len(images) == len(train)
    mirrored = torch.rand(len(train), generator=Generator().manual_seed(1)) < 0.3
    given = Batches(train, device=CPU).shuffled(
        32,
        augmentation=Augmentation(horizontal_flip=True),
        fill=FILL,
        generator=Generator().manual_seed(0),
        mirrored=mirrored,
    )
    expected = {
        (image[:, ::-1] if turned else image).tobytes()
        for image, turned in zip(train.images, mirrored, strict=True)
    }
    assert {image.numpy().tobytes() for pixels, _ in given for image in pixels} == expected


@pytest.mark.parametrize("count", [2, 3, 7, 50, 101])
def test_batches_differ_by_one_image_at_most_and_none_holds_a_single_one(count: int) -> None:
    stored = Batches(numbered(count), device=CPU)
    for size in range(2, count + 2):
        sizes = [len(labels) for _, labels in shuffled(stored, size)]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 2
        assert len(sizes) == stored.steps(size)
        assert max(sizes) <= size or (size, max(sizes)) == (2, 3)


def test_without_changes_a_batch_is_a_copy_that_may_be_overwritten() -> None:
    data = numbered(10)
    for pixels, labels in shuffled(Batches(data, device=CPU), 4):
        pixels.zero_()
        labels.zero_()
    assert data.images[9, 0, 0, 0] == 9
    assert data.labels[9] == 9


def test_the_blanked_squares_have_the_given_colour() -> None:
    data = numbered(10)
    fill = torch.tensor([250.0, 251.0, 252.0])
    given = Batches(data, device=CPU).shuffled(
        10, augmentation=Augmentation(cutout=9), fill=fill, generator=Generator().manual_seed(0)
    )
    pixels, _ = next(given)
    assert pixels[:, 0, 0].tolist() == [[250, 251, 252]] * 10


def test_a_memory_mapped_array_is_not_read_into_memory(tmp_path: Path) -> None:
    data = numbered(50)
    np.save(tmp_path / "images.npy", data.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="c")
    batches = Batches(
        ImageDataset(mapped, data.labels, data.class_names, "train", "mapped"), device=CPU
    )
    (pixels, _), *_ = batches.in_order(10)
    assert np.shares_memory(pixels.numpy(), mapped)
    assert [labels.tolist() for _, labels in batches.in_order(50)] == [list(range(50))]


@pytest.mark.parametrize("rows", [None, np.array([3, 1, 40, 7])])
def test_a_read_only_mapped_array_is_neither_copied_nor_written_to(
    tmp_path: Path, rows: np.ndarray | None
) -> None:
    held = np.random.default_rng(0).integers(0, 256, (50, 100, 100, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", held)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    data = ImageDataset(mapped, np.arange(50), tuple(map(str, range(50))), "train", "mapped")
    if rows is not None:
        data, held = data.select(rows, split="train"), held[rows]
    tracemalloc.start()
    batches = Batches(data, device=CPU)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < mapped.nbytes / 10
    for given in (batches.in_order(2), shuffled(batches, 2)):
        for pixels, labels in given:
            first = labels[0] if rows is None else rows.tolist().index(labels[0])
            np.testing.assert_array_equal(pixels[0].numpy(), held[first])
            pixels.zero_()


def test_arrays_in_memory_are_not_copied_either() -> None:
    data = numbered(10)
    pixels, labels = next(Batches(data, device=CPU).in_order(10))
    assert np.shares_memory(pixels.numpy(), data.images)
    assert np.shares_memory(labels.numpy(), data.labels)


def test_read_only_and_mirrored_arrays_are_taken_too() -> None:
    data = numbered(10)
    data.images.flags.writeable = False
    data.labels.flags.writeable = False
    pixels, _ = next(Batches(data, device=CPU).in_order(10))
    np.testing.assert_array_equal(pixels.numpy(), data.images)
    swapped = np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3)[..., ::-1]  # BGR to RGB
    mirrored = ImageDataset(swapped, data.labels[:4], data.class_names, "train", "bgr")
    pixels, _ = next(Batches(mirrored, device=CPU).in_order(10))
    np.testing.assert_array_equal(pixels.numpy(), swapped)


def test_every_change_is_a_key_of_a_recipe_and_off_by_default_in_both() -> None:
    values = Recipe().as_dict()
    for key, entry in Augmentation.__dataclass_fields__.items():
        assert values[key] == entry.default
