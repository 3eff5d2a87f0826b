"""Groups of images that are exact or near copies of one another.

Near copies are found in two steps:

1. *Candidates.* Every image, in grey and at most 32 pixels wide and high, becomes 35 numbers: its
   6 x 6 lowest cosine frequencies without the mean, each times its frequency, which makes them
   about equally strong in photos. All pairs are compared by the angle between these; mirroring
   only flips the sign of the odd horizontal ones.
2. *Agreement* of the pair's gradients at half the size, then at full size, within a shift of a
   tenth of the image either way.

Gradients are compressed by d / (|d| + 6 grey levels) first: otherwise two ships on two calm seas,
each one strong line, agree like copies. From their correlation comes off what chance alone
explains, which shrinks with the square root of the number of strong gradients.

Measured (two cores, shared with another program; 2026-11):

- CIFAR-10, training and test images together: 93 of 117 known twins across the two ("same shot" of
  Barz and Denzler 2020, arXiv 1902.00423, their even test images) are found, a recall of 0.79.
  Of 40 found groups drawn at random and looked at, 40 are copies; in CIFAR-100, 39.
- Training images in a group of two or more: 1,677 of CIFAR-10 (largest groups 74, 33 and 10, each
  one photo), 1,897 of CIFAR-100 (largest 11: apples and oranges before black), none of the 1,797
  digits of 8 x 8 pixels.
- Of 3,000 CIFAR-10 images and a changed copy of each, found: mirrored 1.00, JPEG of quality 50
  0.99, of quality 20 0.94, brighter by 40 levels 1.00, contrast x 0.6 0.99, shifted by 1 pixel
  0.98, by 2 0.88, by 3 0.39, by 2 along both axes 0.37; cropped by 1 pixel 0.99, by 2 0.05.
- 50,000 images of 32 x 32 take 7 to 10 s and 240 MB beside the images.
"""

import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.dataset import ImageDataset
from tinyscope.errors import StorageError
from tinyscope.files import replacing

VERSION = 1  # raise it with every change that can change a group

_SIDE = 32  # pixels; larger images are compared at this size
_GREY = np.array([77, 150, 29], np.float32) / 256  # ITU-R BT.601
_FREQUENCIES = 6
_SIMILAR = 0.75  # cosine above which a pair is a candidate
_CANDIDATES_EACH = 8  # on average, at most; images that all look alike have millions of pairs
_SOFT = 6.0  # grey levels; the gradient that is compressed to one half
_CHANCE = 5.0  # deviations of a correlation by chance
_COARSE, _AGREE = 0.2, 0.48  # correlation above chance that a pair needs
_NEIGHBOURS, _ABOVE_NEIGHBOURS = 8, 0.12
_ROWS, _COLUMNS, _PAIRS = 1000, 2000, 512  # of a block


def duplicate_groups(images: np.ndarray) -> np.ndarray:
    """A number for each image that exact and near copies share.

    Near copies are a photo and its mirror image, its recompression, another brightness or contrast
    of it, or one shifted by a few pixels. The rule is strict: far more near copies are missed than
    images grouped wrongly, and pictures with little in them (a silhouette, 8 x 8 pixels) hardly
    ever count as near copies. Time grows with the square of N.

    Args:
        images: uint8 (N, H, W, C); a memory-mapped array is read piece by piece.

    Returns:
        int64 (N,): the row of the first image of the group, so an image without copies has its own.
    """
    groups = _exact_groups(images)
    rows = np.flatnonzero(groups == np.arange(len(images)))
    if len(rows) < 2:
        return groups
    pairs = _near_pairs(_grey(images, rows))
    return _joined(groups, rows[pairs.left], rows[pairs.right])


def cached_groups(dataset: ImageDataset) -> np.ndarray:
    """`duplicate_groups` of a data set, kept in the cache folder under its fingerprint.

    Returns:
        int64 (N,).
    """
    path = cache_folder() / "duplicates" / f"{dataset.fingerprint}-{VERSION}.npy"
    groups = _stored(path, len(dataset))
    if groups is None:
        groups = duplicate_groups(dataset.images)
        try:
            with replacing(path) as file:
                np.save(file, groups)
        except StorageError:
            pass  # they are computed again next time
    return groups


def _stored(path: Path, count: int) -> np.ndarray | None:
    try:
        groups = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None
    return groups if groups.shape == (count,) and groups.dtype == np.int64 else None


def _exact_groups(images: np.ndarray) -> np.ndarray:
    """The first row with the same pixels, for each row."""
    first: dict[bytes, int] = {}
    digests = (hashlib.sha256(image.tobytes()).digest() for image in images)
    return np.array([first.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64)


def _grey(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """uint8 (n, h, w): the images at `rows` in grey, at most 32 x 32."""
    height, width, channels = images.shape[1:]
    down, across = _averaging(height), _averaging(width)
    grey = np.empty((len(rows), len(down), len(across)), np.uint8)
    for start in range(0, len(rows), _ROWS):
        piece = images[rows[start : start + _ROWS]]
        plane = piece @ _GREY if channels == 3 else piece[..., 0].astype(np.float32)
        if plane.shape[1:] != grey.shape[1:]:
            plane = down @ plane @ across.T
        grey[start : start + _ROWS] = np.rint(plane)
    return grey


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


class _Pairs(NamedTuple):
    """Pairs of rows; the left one is the lower."""

    left: np.ndarray
    right: np.ndarray
    mirrored: np.ndarray
    """bool: whether the right image is to be mirrored to be like the left one."""

    def where(self, chosen: np.ndarray) -> "_Pairs":
        return _Pairs(*(part[chosen] for part in self))


def _near_pairs(grey: np.ndarray) -> _Pairs:
    """The near copies among images of which no two are equal."""
    pairs = _candidates(grey)
    reach = min(grey.shape[1:]) // 10
    if reach:
        pairs = pairs.where(_agreement(_halved(grey), pairs, reach=reach // 2) > _COARSE)
    agreement = _agreement(grey, pairs, reach=reach)
    alike = _look_alike(pairs, agreement, len(grey))
    return pairs.where(agreement > max(_AGREE, alike + _ABOVE_NEIGHBOURS))


def _look_alike(pairs: _Pairs, agreement: np.ndarray, count: int) -> float:
    """How much images agree that are merely of one kind, as one tenth of them do with eight others.

    Handwritten digits, say, or X-rays. -inf where there is no such tenth.
    """
    image = np.concatenate([pairs.left, pairs.right])
    value = np.concatenate([agreement, agreement])
    order = np.lexsort((-value, image))
    image, value = image[order], value[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    eighth = np.sort(value[rank == _NEIGHBOURS - 1])[::-1]
    tenth = count // 10
    return float(eighth[tenth]) if tenth < len(eighth) else -math.inf


def _candidates(grey: np.ndarray) -> _Pairs:
    even, odd = _spectra(grey)
    count = len(grey)
    evenly = np.linspace(0, count - 1, min(count, 256)).astype(np.int64)
    sample = (even[evenly] @ even.T + np.abs(odd[evenly] @ odd.T)).ravel()
    allowed = 2 * _CANDIDATES_EACH * len(evenly)  # a pair is seen from both of its images
    threshold = _SIMILAR
    if allowed < len(sample):
        threshold = max(threshold, float(np.partition(sample, -allowed)[-allowed]))

    def strip(top: int) -> list[_Pairs]:
        """The candidates of which the left one is in the block of rows that begins at `top`."""
        found = []
        buffers = np.empty((2, _ROWS * _COLUMNS), np.float32)  # fresh memory costs as a product
        for side in range(top, count, _COLUMNS):
            rows, columns = slice(top, top + _ROWS), slice(side, side + _COLUMNS)
            shape = len(even[rows]), len(even[columns])
            same, turned = (buffer[: math.prod(shape)].reshape(shape) for buffer in buffers)
            np.matmul(odd[rows], odd[columns].T, out=turned)
            np.matmul(even[rows], even[columns].T, out=same)
            same += np.abs(turned)
            left, right = np.divmod(np.flatnonzero(same > threshold), shape[1])
            mirrored = turned[left, right] < 0
            below = left + top < right + side
            found.append(_Pairs(left + top, right + side, mirrored).where(below))
        return found

    # A thread for each core, but none inside the short products, whose threads would mostly wait
    # for one another once another program runs (23 s instead of 6 s).
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        strips = list(pool.map(strip, range(0, count, _ROWS)))
    found = list(chain.from_iterable(strips))
    return _Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _spectra(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, 17) and (n, 18): the horizontally even and odd frequencies of each image.

    Together of length 1, or 0 for an image of one colour.
    """
    down, across = _cosines(grey.shape[1]), _cosines(grey.shape[2])
    frequency = np.hypot(np.arange(len(down))[:, None], np.arange(len(across)))
    spectrum = np.empty((len(grey), len(down), len(across)), np.float32)
    for start in range(0, len(grey), _ROWS):
        piece = grey[start : start + _ROWS].astype(np.float64)
        weighted = (down @ piece @ across.T) * frequency
        length = np.sqrt((weighted**2).sum((1, 2), keepdims=True))
        spectrum[start : start + _ROWS] = weighted / np.where(length > 1e-6, length, np.inf)
    even, odd = spectrum[:, :, 0::2], spectrum[:, :, 1::2]
    return even.reshape(len(grey), -1)[:, 1:].copy(), odd.reshape(len(grey), -1).copy()


def _cosines(length: int) -> np.ndarray:
    """float64 (6, length): the first rows of the orthonormal cosine transform (DCT-II)."""
    frequency = np.arange(min(length, _FREQUENCIES))[:, None]
    rows = np.cos(np.pi * frequency * (2 * np.arange(length) + 1) / (2 * length))
    return rows * np.sqrt(np.where(frequency, 2, 1) / length)


def _halved(grey: np.ndarray) -> np.ndarray:
    """float32 (n, h/2, w/2): means of 2 x 2 pixels; an odd last row or column is left off."""
    height, width = grey.shape[1] // 2, grey.shape[2] // 2
    half = np.zeros((len(grey), height, width), np.float32)
    for down in (0, 1):
        for across in (0, 1):
            half += grey[:, down : 2 * height : 2, across : 2 * width : 2]
    return half / 4


def _agreement(grey: np.ndarray, pairs: _Pairs, *, reach: int) -> np.ndarray:
    """Correlation of the gradients of each pair above chance, at the best shift.

    Args:
        grey: (n, h, w).
        pairs: rows of `grey`.
        reach: pixels by which the right image is moved, at most, along either axis.

    Returns:
        float32, one a pair, in -inf … 1.
    """
    best = np.full(len(pairs.left), -np.inf, np.float32)
    for start in range(0, len(best), _PAIRS):
        left, right, mirrored = (part[start : start + _PAIRS] for part in pairs)
        other = np.where(mirrored[:, None, None], grey[right, :, ::-1], grey[right])
        fixed, moved = _gradients(grey[left]), _gradients(other)
        height, width = fixed.shape[2] - 2 * reach, fixed.shape[3] - 2 * reach
        fixed = fixed[:, :, reach : reach + height, reach : reach + width].copy()
        power = _product(fixed, fixed)
        for down in range(2 * reach + 1):
            for across in range(2 * reach + 1):
                window = moved[:, :, down : down + height, across : across + width].copy()
                # The geometric mean of the numbers of strong gradients in the two images.
                strong = np.sqrt(power * _product(window, window)) + 1e-6
                above = _product(fixed, window) / strong - _CHANCE / np.sqrt(strong)
                piece = best[start : start + _PAIRS]
                np.maximum(piece, above, out=piece)
    return best


def _gradients(grey: np.ndarray) -> np.ndarray:
    """float32 (n, 2, h-2, w-2): differences of smoothed pixels along both axes, in -1 … 1.

    Smoothed over 2 x 2 pixels, so that a shift by half a pixel costs little.
    """
    grey = grey.astype(np.float32)
    grey = grey[:, 1:] + grey[:, :-1]
    grey = (grey[:, :, 1:] + grey[:, :, :-1]) / 4
    steps = np.stack([np.diff(grey, axis=2)[:, :-1], np.diff(grey, axis=1)[:, :, :-1]], axis=1)
    return steps / (np.abs(steps) + _SOFT)


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    flat = (len(left), -1)  # einsum is fast along one long axis
    return np.einsum("nk,nk->n", left.reshape(flat), right.reshape(flat))


def _joined(groups: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Groups in which `left` and `right` share one; each is named by its first row."""
    first = np.arange(len(groups)).tolist()

    def find(row: int) -> int:
        while first[row] != row:
            first[row] = row = first[first[row]]
        return row

    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        low, high = sorted((find(one), find(other)))
        first[high] = low
    return np.array([find(row) for row in groups.tolist()], np.int64)
