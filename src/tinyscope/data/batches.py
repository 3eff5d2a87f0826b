"""Shuffled and augmented batches from images in memory or memory-mapped."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from tinyscope.batch_count import batch_count
from tinyscope.data.augmentation import cutout, flip_and_shift, rotate_and_zoom
from tinyscope.data.dataset import ImageDataset
from tinyscope.data.mapped_rows import MappedRows

_USUAL_PIXELS = 64 * 64
"""Of an image, at most, for what is computed at once to be as many as usual."""

_STORED = 16
"""Pixels as they are stored that take the memory of one that is computed on: three numbers stand
against the tens of channels of a network's first maps."""

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


class Source(ABC):
    """Labelled examples of one split on a device, given out in batches.

    Args:
        labels: int64 (N,).
        device: where batches are to be.
    """

    def __init__(self, labels: np.ndarray, device: torch.device) -> None:
        own = labels if labels.flags.writeable else labels.copy()
        self.labels = _shared(own).to(device)
        """int64 (N,), on the device."""
        self._device = device

    def __len__(self) -> int:
        """Examples, not batches."""
        return len(self.labels)

    def steps(self, size: int) -> int:
        """How many batches `shuffled` gives."""
        return batch_count(len(self), size)

    def at_once(self, usual: int, *, side: int | None = None) -> int:
        """How many examples a network answers at once, of `usual` ones of a usual size.

        Args:
            usual: how many small ones.
            side: that the network brings images to, see `models.transfer.side_of`.
        """
        return usual

    def shuffled(
        self,
        size: int,
        *,
        augmentation: Augmentation,
        fill: Tensor,
        generator: Generator,
        mirrored: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every example once, in random order, in batches as equal as can be.

        Equal, because a small batch at the end would count as much as the others do, in batch
        norm's statistics and in the optimizer's step.

        Args:
            size: examples a batch, at most (one that would be left alone joins a full batch).
            augmentation: the random changes of images.
            fill: float (C,), the colour of cut-out squares.
            generator: source of all randomness, on the CPU.
            mirrored: bool (N,) on the CPU, see `flip_and_shift`; by chance where it is None.

        Yields:
            What the network takes, (n, ...), and int64 labels (n,).
        """
        draw = Draw(augmentation, fill, generator, mirrored)
        order = torch.randperm(len(self), generator=generator)
        for rows in order.tensor_split(self.steps(size)):
            yield self._drawn(rows, draw), self.labels[rows.to(self._device)]

    @abstractmethod
    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every example once, unchanged, in the data set's order."""

    @abstractmethod
    def _drawn(self, rows: Tensor, draw: "Draw") -> Tensor:
        """The examples of a batch, changed at random; `rows` are on the CPU."""


class Draw(NamedTuple):
    """How the examples of an epoch are changed; see `Source.shuffled`."""

    augmentation: Augmentation
    fill: Tensor
    generator: Generator
    mirrored: Tensor | None


class Batches(Source):
    """The images of one split on a device: pixels (n, H, W, C), uint8 or float32 in 0 … 255.

    No worker processes: cutting and changing a batch takes about a hundredth of a training step.

    Args:
        dataset: the split; memory-mapped images, and rows of them, stay on disk with a CPU.
        device: where batches are to be.
    """

    def __init__(self, dataset: ImageDataset, *, device: torch.device) -> None:
        super().__init__(dataset.labels, device)
        self._images, self._rows = _placed(dataset.images, device)
        # Who writes to a piece of read-only memory would end the process.
        self._protected = not isinstance(dataset.images, MappedRows) and (
            not dataset.images.flags.writeable
        )

    def at_once(self, usual: int, *, side: int | None = None) -> int:
        """Fewer images where the network computes at more than 64x64 pixels."""
        return images_at_once(usual, *self._images.shape[1:3], side=side)

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, unchanged, in the data set's order."""
        if self._rows is None:
            pieces: Iterable[Tensor] = self._images.split(size)
            if self._protected:
                pieces = (piece.clone() for piece in pieces)
        else:
            pieces = (self._images[rows] for rows in self._rows.split(size))
        yield from zip(pieces, self.labels.split(size), strict=True)

    def _drawn(self, rows: Tensor, draw: Draw) -> Tensor:
        chosen = None if draw.mirrored is None else draw.mirrored[rows]
        there = rows.to(self._device)
        pixels = self._images[there if self._rows is None else self._rows[there]]
        return changed(pixels, draw.augmentation, draw.fill, draw.generator, chosen)


def images_at_once(usual: int, height: int, width: int, *, side: int | None = None) -> int:
    """How many images a network answers at once, of `usual` ones up to 64x64 pixels.

    The maps of its layers take memory by an image's pixels, whatever its channels: 512 images of
    512x512 would take sixty-four times what 512 of 64x64 do. A network that brings images to
    another size by itself takes memory by that one, and some for the pixels that it is given.

    Args:
        usual: how many of them.
        height: of an image as it is stored.
        width: likewise.
        side: that the network brings the shorter one to; None where it leaves images as they are.
    """
    pixels = height * width
    if side is not None:
        longer = round(side * max(height, width) / min(height, width))
        pixels = max(side * longer, -(-pixels // _STORED))
    return max(1, min(usual, usual * _USUAL_PIXELS // pixels))


def changed(
    images: Tensor,
    augmentation: Augmentation,
    fill: Tensor,
    generator: Generator,
    mirrored: Tensor | None = None,
) -> Tensor:
    """Images after one draw of the random changes; the arguments are those of `Source.shuffled`.

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
    """The array's memory as a tensor, not to be written to; copied only where it is mirrored."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Unprotected(array)))


class _Unprotected:
    """An array's memory that is said to be writeable: of other memory torch warns, process-wide.

    A copy would hold a memory-mapped array whole, once for every split that is cut from it.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # whose memory lives as long as this does
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}
