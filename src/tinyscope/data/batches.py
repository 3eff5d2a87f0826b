"""Shuffled and augmented batches from images in memory or memory-mapped."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from tinyscope.data.augmentation import cutout, flip_and_shift, rotate_and_zoom
from tinyscope.data.dataset import ImageDataset
from tinyscope.data.mapped_rows import MappedRows

_PIECE = 10_000  # rows that are read from the disk at once on their way to another device


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Which random changes a batch gets; the fields are those of a recipe."""

    horizontal_flip: bool = False
    vertical_flip: bool = False
    shift: int = 0
    rotation: float = 0.0
    zoom: float = 0.0
    cutout: int = 0


def batches_of(examples: int, size: int) -> int:
    """How many batches of `size`, at most, so many examples are cut into."""
    # In training, batch norm cannot take a single vector: with size > 1, two examples at least.
    most = examples if size == 1 else max(1, examples // 2)
    return min(math.ceil(examples / size), most)


class Batches:
    """The images of one split on a device, given out in batches.

    No worker processes: cutting and changing a batch takes about a hundredth of a training step.

    Args:
        dataset: the split; memory-mapped images, and rows of them, stay on disk with a CPU.
        device: where batches are to be.
    """

    def __init__(self, dataset: ImageDataset, *, device: torch.device) -> None:
        self._images, self._rows = _placed(dataset.images, device)
        self._labels = _shared(dataset.labels).to(device)
        self._device = device

    def __len__(self) -> int:
        """Images, not batches."""
        return len(self._labels)

    @property
    def labels(self) -> Tensor:
        """int64 (N,), on the device."""
        return self._labels

    def steps(self, size: int) -> int:
        """How many batches `shuffled` gives."""
        return batches_of(len(self), size)

    def shuffled(
        self,
        size: int,
        *,
        augmentation: Augmentation,
        fill: Tensor,
        generator: Generator,
        mirrored: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in random order, in batches as equal as can be.

        Equal, because a small batch at the end would count as much as the others do, in batch
        norm's statistics and in the optimizer's step.

        Args:
            size: images a batch, at most (an image that would be left alone joins a full batch).
            augmentation: the random changes.
            fill: float (C,), the colour of cut-out squares.
            generator: source of all randomness, on the CPU.
            mirrored: bool (N,) on the CPU, see `flip_and_shift`; by chance where it is None.

        Yields:
            Pixels (n, H, W, C), uint8 or float32 in 0 … 255, and int64 labels (n,).
        """
        order = torch.randperm(len(self), generator=generator)
        for rows in order.tensor_split(self.steps(size)):
            chosen = None if mirrored is None else mirrored[rows]
            there = rows.to(self._device)
            yield (
                changed(self._pixels(there), augmentation, fill, generator, chosen),
                self._labels[there],
            )

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, unchanged, in the data set's order."""
        if self._rows is None:
            pieces: Iterable[Tensor] = self._images.split(size)
        else:
            pieces = (self._images[rows] for rows in self._rows.split(size))
        yield from zip(pieces, self._labels.split(size), strict=True)

    def _pixels(self, rows: Tensor) -> Tensor:
        return self._images[rows if self._rows is None else self._rows[rows]]


def changed(
    images: Tensor,
    augmentation: Augmentation,
    fill: Tensor,
    generator: Generator,
    mirrored: Tensor | None = None,
) -> Tensor:
    """Images after one draw of the random changes; the arguments are those of `Batches.shuffled`.

    Args:
        images: (n, H, W, C) of 0 … 255.

    Returns:
        The same shape, uint8 or float32.
    """
    wanted = augmentation
    if wanted.horizontal_flip or wanted.vertical_flip or wanted.shift:
        images = flip_and_shift(
            images,
            horizontal_flip=wanted.horizontal_flip,
            vertical_flip=wanted.vertical_flip,
            shift=wanted.shift,
            generator=generator,
            mirrored=mirrored,
        )
    if wanted.rotation or wanted.zoom:
        images = rotate_and_zoom(
            images, rotation=wanted.rotation, zoom=wanted.zoom, generator=generator
        )
    if wanted.cutout:
        images = cutout(images, side=wanted.cutout, fill=fill, generator=generator)
    return images


def _placed(images: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The images on the device, and which rows of them are meant where it is not all in order."""
    if not isinstance(images, MappedRows):
        return _shared(images).to(device), None
    if device.type == "cpu":
        return _shared(images.base), torch.from_numpy(images.rows)
    there = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(images), _PIECE):
        there[start : start + _PIECE] = torch.from_numpy(images[start : start + _PIECE])
    return there, None


def _shared(array: np.ndarray) -> Tensor:
    """The array's memory as a tensor; copied only where it is read-only or mirrored."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
