"""The images of several arrays under common row numbers, as stored or reduced to 32 x 32."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

_SIDE = 32  # pixels; larger images are compared at this size
_BYTES = 1 << 22  # of the images that are read at a time


class Pictures:
    """Arrays (N_i, H, W, C) of uint8, one after another; never more than a piece is read of them.

    Attributes:
        shape: (h, w, C) of the reduced pictures.
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        height, width, channels = parts[0].shape[1:]
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])
        self._down, self._across = _averaging(height), _averaging(width)
        self.shape = len(self._down), len(self._across), channels

    def __len__(self) -> int:
        return int(self._ends[-1])

    def stored(self) -> Iterator[np.ndarray]:
        """Each image as it is stored."""
        for part in self._parts:
            yield from part

    def pieces(self, rows: np.ndarray) -> list[slice]:
        """Slices of `rows` with a few megabytes of images each."""
        step = max(1, _BYTES // int(np.prod(self._parts[0].shape[1:])))
        return [slice(start, start + step) for start in range(0, len(rows), step)]

    def reduced(self, rows: np.ndarray) -> np.ndarray:
        """float32 (n, h, w, C), 0 … 255: the images at `rows`, in their order."""
        reduced = np.empty((len(rows), *self.shape), np.float32)
        for piece in self.pieces(rows):
            reduced[piece] = self._reduced(rows[piece])
        return reduced

    def _reduced(self, rows: np.ndarray) -> np.ndarray:
        stored = np.empty((len(rows), *self._parts[0].shape[1:]), np.uint8)
        place = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(place).tolist():
            part, inside = self._parts[number], place == number
            stored[inside] = part[rows[inside] - (self._ends[number] - len(part))]
        images = stored.astype(np.float32)
        if images.shape[1:] == self.shape:
            return images
        planes = self._down @ images.transpose(0, 3, 1, 2) @ self._across.T
        return planes.transpose(0, 2, 3, 1)


def _averaging(length: int) -> np.ndarray:
    """float32 (h, length): each output pixel is the mean of the stretch of input it covers."""
    short = min(length, _SIDE)
    edges = np.linspace(0, length, short + 1)
    pixel = np.arange(length)
    shares = [
        np.clip(np.minimum(end, pixel + 1) - np.maximum(start, pixel), 0, 1)
        for start, end in pairwise(edges)
    ]
    return np.array(shares, np.float32) * np.float32(short / length)
