"""Shuffled and augmented batches from images that lie in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from tinyscope.data.augmentation import cutout, flip_and_shift, rotate_and_zoom
from tinyscope.data.dataset import ImageDataset


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Which random changes a batch gets; the fields are those of a recipe."""

    horizontal_flip: bool = False
    vertical_flip: bool = False
    shift: int = 0
    rotation: float = 0.0
    zoom: float = 0.0
    cutout: int = 0


class Batches:
    """The images of one split on a device, given out in batches.

    No worker processes: cutting and changing a batch takes about a hundredth of a training step.

    Args:
        dataset: the split; memory-mapped images stay so on a CPU.
        device: where batches are to be.
    """

    def __init__(self, dataset: ImageDataset, *, device: torch.device) -> None:
        self._images = _shared(dataset.images).to(device)
        self._labels = _shared(dataset.labels).to(device)
        self._device = device

    def __len__(self) -> int:
        """Images, not batches."""
        return len(self._images)

    def steps(self, size: int) -> int:
        """How many batches `shuffled` gives."""
        return len(self._parts(torch.arange(len(self)), size))

    @staticmethod
    def _parts(order: Tensor, size: int) -> list[Tensor]:
        batches = list(order.split(size))
        if size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
            batches[-2:] = [order[-(size + 1) :]]
        return batches

    def shuffled(
        self, size: int, *, augmentation: Augmentation, fill: Tensor, generator: Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in random order; the last batch may be smaller.

        An image that would be left alone joins the batch before it: in training, batch norm cannot
        take a single vector.

        Args:
            size: images a batch.
            augmentation: the random changes.
            fill: float (C,), the colour of cut-out squares.
            generator: source of all randomness, on the CPU.

        Yields:
            Pixels (n, H, W, C), uint8 or float32 in 0 … 255, and int64 labels (n,).
        """
        order = torch.randperm(len(self), generator=generator).to(self._device)
        for rows in self._parts(order, size):
            yield (
                _changed(self._images[rows], augmentation, fill, generator),
                self._labels[rows],
            )

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, unchanged, in the data set's order."""
        yield from zip(self._images.split(size), self._labels.split(size), strict=True)


def _changed(
    images: Tensor, augmentation: Augmentation, fill: Tensor, generator: Generator
) -> Tensor:
    wanted = augmentation
    if wanted.horizontal_flip or wanted.vertical_flip or wanted.shift:
        images = flip_and_shift(
            images,
            horizontal_flip=wanted.horizontal_flip,
            vertical_flip=wanted.vertical_flip,
            shift=wanted.shift,
            generator=generator,
        )
    if wanted.rotation or wanted.zoom:
        images = rotate_and_zoom(
            images, rotation=wanted.rotation, zoom=wanted.zoom, generator=generator
        )
    if wanted.cutout:
        images = cutout(images, side=wanted.cutout, fill=fill, generator=generator)
    return images


def _shared(array: np.ndarray) -> Tensor:
    """The array's memory as a tensor; copied only where it is read-only or mirrored."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
