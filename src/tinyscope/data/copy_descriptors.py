"""A few numbers for each image, by which a copy of it is told from all other images.

What is measured of an image: its brightness in 8 x 8 cells, its gradients in eight directions in
6 x 6 cells, its two colour differences in 4 x 4 cells. Which combinations of these tell a copy
from another image is found out from the images themselves: a sample of them is shifted, stretched,
brightened and coloured at random, and linear discriminant analysis takes the 64 directions in
which images differ most compared with how far a change carries them.

Two Gaussian distributions, of images and of changes, then give the *likeness* of two images: the
logarithm of how much more probable the pair is if one is a copy of the other than if they have
nothing to do with each other (Ioffe 2006, "Probabilistic linear discriminant analysis"). It is a
scalar product and one term for each image. The directions are even or odd under mirroring, so the
likeness with the mirror image costs no more than a sign.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinyscope.data.copy_alignment import resampling

_DIRECTIONS = 64
_SAMPLE = 2000  # images; of fewer, several changed copies each
_PIECE = 250  # images
_BRIGHTNESS, _GRADIENTS, _COLOURS = 8, 6, 4  # cells along an axis
_SOFT = 6.0  # grey levels; the gradient that is compressed to one half
GREY = np.array([77, 150, 29], np.float32) / 256  # ITU-R BT.601


class Descriptors(NamedTuple):
    """Of n images: the likeness of two is even·even + |odd·odd| + own + own."""

    even: np.ndarray
    """float32 (n, d)."""
    odd: np.ndarray
    """float32 (n, 64 - d); the sign of the mirror image's is opposite."""
    own: np.ndarray
    """float32 (n,)."""


class Projection(NamedTuple):
    """From measurements to `Descriptors`."""

    even: np.ndarray
    odd: np.ndarray
    offset: np.ndarray
    even_own: np.ndarray
    odd_own: np.ndarray

    def describe(self, pictures: np.ndarray) -> Descriptors:
        """Descriptors of float32 (n, h, w, C)."""
        measured = _measured(pictures)
        even = measured @ self.even - self.offset
        odd = measured @ self.odd
        return Descriptors(even, odd, -(even**2 @ self.even_own) - (odd**2 @ self.odd_own))


def sample_rows(count: int) -> np.ndarray:
    """int64: which of `count` images to find the projection from, evenly spread."""
    return np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64)


def projection(sample: np.ndarray) -> Projection:
    """The directions that tell copies from other images.

    Args:
        sample: float32 (n, h, w, C) in 0 … 255, n at least 2, sides of at least 8.
    """
    random = np.random.default_rng(0)
    measured = _measured(sample)
    row = np.arange(-(-_SAMPLE // len(sample)) * len(sample)) % len(sample)
    pieces = np.split(row, range(_PIECE, len(row), _PIECE))
    changed = np.concatenate([_measured(_changed(sample[piece], random)) for piece in pieces])
    mirror = _mirroring(*sample.shape[1:])
    parts = []
    for sign in (1, -1):
        images = (measured + sign * measured[:, mirror]).astype(np.float64)
        copies = (changed + sign * changed[:, mirror]).astype(np.float64)
        parts.append(_discriminants(images, copies))
    ratios = np.concatenate([part.ratio for part in parts])
    least = np.sort(ratios)[::-1][: _DIRECTIONS + 1][-1]
    found = []
    for sign, part in zip((1, -1), parts, strict=True):
        chosen = part.ratio > max(least, 1e-3)
        ratio = part.ratio[chosen]
        directions = part.directions[:, chosen] * np.sqrt(ratio / (2 * ratio + 1))
        found.append(
            (
                (directions + sign * directions[mirror]).astype(np.float32),
                (part.mean @ directions).astype(np.float32),
                (ratio / (ratio + 1) / 2).astype(np.float32),
            )
        )
    (even, offset, even_own), (odd, _, odd_own) = found
    return Projection(even, odd, offset, even_own, odd_own)


class _Discriminants(NamedTuple):
    directions: np.ndarray
    ratio: np.ndarray
    """Variance of the images over that of the changes."""
    mean: np.ndarray


def _discriminants(images: np.ndarray, copies: np.ndarray) -> _Discriminants:
    """All directions, scaled so that a change has variance 1."""
    differences = copies - np.tile(images, (len(copies) // len(images), 1))
    within = differences.T @ differences / (2 * len(differences))
    # Directions that no change moves are no evidence: every change moves each by a little.
    within += np.eye(len(within)) * (1e-3 * np.trace(within) / len(within) + 1e-9)
    mean = images.mean(axis=0)
    centred = np.concatenate([images, copies]) - mean
    total = centred.T @ centred / len(centred)
    values, vectors = np.linalg.eigh(within)
    whitening = vectors / np.sqrt(values)
    values, vectors = np.linalg.eigh(whitening.T @ total @ whitening)
    return _Discriminants(whitening @ vectors, np.maximum(values - 1, 0), mean)


def _changed(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A copy of each picture, changed as copies on the web are, but for mirroring."""
    count, height, width, channels = pictures.shape
    zoom, aspect = random.normal(0, 0.08, count), random.normal(0, 0.04, count)
    down, across = random.uniform(-0.08, 0.08, (2, count))
    rows, _ = _stretched(np.expm1(zoom + aspect), down * height, height)
    columns, _ = _stretched(np.expm1(zoom - aspect), across * width, width)
    planes = rows[:, None] @ pictures.transpose(0, 3, 1, 2) @ columns.transpose(0, 2, 1)[:, None]
    one, each = (count, 1, 1, 1), (count, channels, 1, 1)
    contrast = np.exp(random.normal(0, 0.1, one) + random.normal(0, 0.04, each))
    brighter = random.normal(0, 10, one) + random.normal(0, 4, each)
    mean = planes.mean((1, 2, 3), keepdims=True)
    planes = (planes - mean) * contrast.astype(np.float32) + mean + brighter.astype(np.float32)
    planes += random.standard_normal(planes.shape, np.float32) * 3
    return np.clip(planes, 0, 255).transpose(0, 2, 3, 1)


def _stretched(
    stretch: np.ndarray, shift: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    return resampling(stretch.astype(np.float32), shift.astype(np.float32), length)


def _measured(pictures: np.ndarray) -> np.ndarray:
    """float32 (n, k): brightness, gradients and colours of float32 (n, h, w, C)."""
    count, height, width, channels = pictures.shape
    grey = pictures @ GREY if channels == 3 else pictures[..., 0]
    brightness = grey.reshape(count, -1) @ _pooling(height, width, _BRIGHTNESS)
    brightness -= brightness.mean(axis=1, keepdims=True)
    brightness /= brightness.std(axis=1, keepdims=True) + 5
    smooth = grey[:, 1:] + grey[:, :-1]
    smooth = (smooth[:, :, 1:] + smooth[:, :, :-1]) / 4
    across, down = np.diff(smooth, axis=2), np.diff(smooth, axis=1)
    across = (across[:, 1:] + across[:, :-1]) / 2
    down = (down[:, :, 1:] + down[:, :, :-1]) / 2
    half = np.float32(np.sqrt(0.5))
    # In this order mirroring exchanges the first two, and the last two.
    four = (across, down, (across + down) * half, (down - across) * half)
    pooling = _pooling(height - 2, width - 2, _GRADIENTS)
    directions = np.empty((count, 4, 2, pooling.shape[1]), np.float32)
    for direction, plane in enumerate(four):
        plane = (plane / (np.abs(plane) + np.float32(_SOFT))).reshape(count, -1)
        forth = np.maximum(plane, 0) @ pooling
        directions[:, direction] = np.stack([forth, forth - plane @ pooling], axis=1)
    gradients = directions.reshape(count, -1)
    gradients /= np.sqrt((gradients**2).mean(axis=1, keepdims=True)) + np.float32(0.02)
    if channels == 1:
        return np.concatenate([brightness, gradients], axis=1)
    red, green, blue = (pictures[..., channel].reshape(count, -1) for channel in range(3))
    pooling = _pooling(height, width, _COLOURS)
    colours = np.concatenate([(blue - red) @ pooling, (green - (red + blue) / 2) @ pooling], axis=1)
    colours /= (np.abs(colours) + 20) / 2
    return np.concatenate([brightness, gradients, colours], axis=1)


def _mirroring(height: int, width: int, channels: int) -> np.ndarray:
    """int64 (k,): where in the measurements of an image those of its mirror image stand."""
    parts: list[np.ndarray] = []
    cells = [_BRIGHTNESS, _GRADIENTS, _COLOURS]
    planes = [[0], [1, 0, 2, 3, 6, 7, 4, 5], [0, 1]]
    sizes = [(height, width), (height - 2, width - 2), (height, width)]
    start = 0
    for most, order, size in zip(cells, planes, sizes, strict=True):
        down, across = (min(most, length) for length in size)
        places = np.arange(len(order) * down * across).reshape(-1, down, across)
        parts.append(start + places[order][:, :, ::-1].ravel())
        start += places.size
    return np.concatenate(parts if channels == 3 else parts[:2])


@lru_cache
def _pooling(height: int, width: int, cells: int) -> np.ndarray:
    """float32 (h * w, cells): weighted means over overlapping cells that fall off to the sides."""
    down, across = _tents(height, cells), _tents(width, cells)
    return np.kron(down, across).T.copy()


def _tents(length: int, cells: int) -> np.ndarray:
    count = min(cells, length)
    middle = (np.arange(count) + 0.5) * length / count - 0.5
    distance = np.abs(np.arange(length) - middle[:, None]) * count / length
    weights = np.maximum(0, 1 - distance)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
