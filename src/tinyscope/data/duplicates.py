"""Pairs and groups of images that are exact or near copies of one another.

Near copies are found in two steps: *candidates* are the pairs of greatest likeness
(`copy_descriptors`, `copy_search`), and copies among them are those that *agree* once one is moved
and stretched onto the other (`copy_alignment`).

Measured (two cores, shared with other programs; 2026-11):

- CIFAR-10, 50,000 training and 10,000 test images: 113 of 117 known twins across the two ("same
  shot" of Barz and Denzler 2020, arXiv 1902.00423, their even test images) are found, a recall of
  0.966 (0.915 to 0.987). 1,792 pairs across the two are found, of 608 test images. 200 pairs were
  drawn at random of the 1,783 above the higher threshold (the nine others were looked at too): all
  are the same picture or the same shot, a precision of 0.981 to 1; of the surest pair of each of
  100 test images drawn from 602, 99 are.
- CIFAR-100: 1,020 pairs of 613 test images; of the surest pair of each of 100 drawn from the 603
  above the higher threshold, 96 are the same. The others are clocks and plates of one series.
  Pairs above the lower threshold alone are worse there: about one in four shows another product.
- None of the 1,797 digits of 8 x 8 pixels, or enlarged to 28 x 28, is paired with another, nor any
  of 40 to 800 of the latter (eight draws each); of 20 or 30, one to four pairs are in five of 16
  draws. Of 30 planted mirror images 27 to 30 are found at 8 pixels, all at 28; of 40 darker copies
  11 and 40.
- Of 300 CIFAR-10 images and a changed copy of each, for each change, found: mirrored 1.00, JPEG of
  quality 50 0.98, of quality 20 0.69, brighter by 40 levels 1.00, contrast x 0.6 1.00, grey 0.99,
  shifted along both axes by 2 pixels 1.00, by 3 0.94; cropped by 1 pixel on each side 1.00, by 2
  0.99, by 3 0.98.
- 60,000 images take 55 s while other programs use the cores, 35 s of processor time, and 331 MB
  beside the images; 500,000 take 136 s of processor time (272 s so) and 1.1 GB.
- Sorted into cells, as more than 65,536 images are, the search misses 0.4% of CIFAR-10's pairs.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tinyscope.cores import usable_cores
from tinyscope.data.cache_folder import entry
from tinyscope.data.copy_alignment import agreement
from tinyscope.data.copy_descriptors import GREY, Descriptors, projection, sample_rows
from tinyscope.data.copy_pictures import Pictures
from tinyscope.data.copy_search import Candidates, bystanders, likely_pairs
from tinyscope.data.dataset import ImageDataset
from tinyscope.errors import StorageError
from tinyscope.files import replacing

VERSION = 4  # raise it with every change that can change a pair

_SMALLEST = 8  # pixels; of smaller images only exact copies are found
_AGREE = 0.8  # agreement that a pair needs; a score of 0.66
_AGREE_IF_LIKELY = 0.6  # where its likeness is above 0; a score of 0.54
_ABOVE_BYSTANDERS = 6.0  # deviations
_BYSTANDERS = (50, 200, 800, 3200)  # places in likeness
_OF_FEW, _LEAST = 16, 6  # of fewer than 800 images the first is a 16th of them, or the 6th
_FEW = 0.01  # of a batch of candidates; with fewer copies in it, the less likely are not compared
_BATCH = 1024  # candidates, at least
_PAIRS = 128  # that are aligned at a time


_STORED = np.dtype(
    [("left", "i8"), ("right", "i8"), ("mirrored", "?"), ("score", "f4"), ("exact", "?")]
)


class Copies(NamedTuple):
    """Pairs of images that are copies, by ascending left, then right row."""

    left: np.ndarray
    """int64: rows over all parts, one after another; lower than the right ones."""
    right: np.ndarray
    """int64."""
    mirrored: np.ndarray
    """bool: whether the right image is the mirror image of the left one, or near it."""
    score: np.ndarray
    """float32: 1 where pixels are equal, else below 1; the higher, the surer."""
    exact: np.ndarray
    """bool: whether all pixels are equal."""


def find_copies(parts: Sequence[np.ndarray]) -> Copies:
    """The pairs of images that are copies of one another, within a part and across parts.

    A near copy is the same picture mirrored, recompressed, brighter, of more or less contrast, in
    other colours, shifted or cropped by up to a fifth of its side, or stretched by up to a third.
    Frames of one scene shot in close succession count as copies too.

    Images with equal pixels are each paired with the first of them, and only that one is compared
    with others: what its near copies are, they are as well (`copy_groups` joins them all). Images
    with sides below 8 pixels have exact copies only. Of up to 2,000 different images the pairs do
    not depend on their order.

    Args:
        parts: uint8 (N_i, H, W, C) each, all of the same H, W, C (1 or 3); memory-mapped arrays
            are read piece by piece.
    """
    pictures = Pictures(parts)
    first, digests = _exact_groups(pictures)
    copy = np.flatnonzero(first != np.arange(len(first)))
    rows = np.flatnonzero(first == np.arange(len(first)))
    if len(rows) == len(sample_rows(len(rows))):
        # What tells copies apart is found out from random changes, dealt out row by row: of so few
        # images others would count as copies in another order, after a cut into splits, say.
        rows = rows[sorted(range(len(rows)), key=digests.__getitem__)]
    # A thread for each core, but none inside the short products, whose threads would mostly wait
    # for one another once another program runs (23 s instead of 6 s).
    with threadpool_limits(1, user_api="blas"):
        near = _near_pairs(pictures, rows)
    one, other = rows[near.left], rows[near.right]
    left = np.concatenate([first[copy], np.minimum(one, other)])
    right = np.concatenate([copy, np.maximum(one, other)])
    order = np.lexsort((right, left))
    exact = np.arange(len(left)) < len(copy)
    score = np.concatenate([np.ones(len(copy), np.float32), near.score])
    mirrored = np.concatenate([np.zeros(len(copy), bool), near.mirrored])
    return Copies(left[order], right[order], mirrored[order], score[order], exact[order])


def copy_groups(copies: Copies, count: int) -> np.ndarray:
    """A number for each of `count` images that those share which pairs join, in whatever steps.

    Returns:
        int64 (count,): the row of the first image of the group, so an image without copies has its
        own.
    """
    first = np.arange(count).tolist()

    def find(row: int) -> int:
        while first[row] != row:
            first[row] = row = first[first[row]]
        return row

    for one, other in zip(copies.left.tolist(), copies.right.tolist(), strict=True):
        low, high = sorted((find(one), find(other)))
        first[high] = low
    return np.array([find(row) for row in range(count)], np.int64)


def cached_groups(dataset: ImageDataset) -> np.ndarray:
    """`copy_groups` of a data set, int64 (N,); its copies are kept in the cache folder."""
    return copy_groups(cached_copies([dataset]), len(dataset))


def cached_copies(datasets: Sequence[ImageDataset]) -> Copies:
    """`find_copies` of data sets, or splits, kept in the cache folder under their fingerprints."""
    path = _place(datasets)
    copies = _stored(path)
    if copies is None:
        copies = find_copies([dataset.images for dataset in datasets])
        try:
            with replacing(path) as file:
                np.save(file, _packed(copies))
        except StorageError:
            pass  # they are computed again next time
    return copies


def _place(datasets: Sequence[ImageDataset]) -> Path:
    prints = [dataset.fingerprint for dataset in datasets]
    return entry("duplicates", prints, versions=[VERSION]).with_suffix(".npy")


def _packed(copies: Copies) -> np.ndarray:
    packed = np.empty(len(copies.left), _STORED)
    for name, values in copies._asdict().items():
        packed[name] = values
    return packed


def _stored(path: Path) -> Copies | None:
    try:
        packed = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None
    return _copies(packed) if packed.dtype == _STORED else None


def _copies(packed: np.ndarray) -> Copies:
    return Copies(*(packed[name].copy() for name in Copies._fields))


def _exact_groups(pictures: Pictures) -> tuple[np.ndarray, list[bytes]]:
    """The first row with the same pixels, for each row; and the digests of all those first ones."""
    first: dict[bytes, int] = {}
    digests = (hashlib.sha256(image.tobytes()).digest() for image in pictures.stored())
    rows = [first.setdefault(digest, row) for row, digest in enumerate(digests)]
    return np.array(rows, np.int64), list(first)


def _near_pairs(pictures: Pictures, rows: np.ndarray) -> Copies:
    """The near copies among the images at `rows`, of which no two are equal; rows of `rows`."""
    if len(rows) < 2 or min(pictures.shape[:2]) < _SMALLEST:
        return _copies(np.empty(0, _STORED))
    descriptors, grey = _described(pictures, rows)
    candidates = likely_pairs(descriptors)
    enough = np.where(candidates.likeness > 0, _AGREE_IF_LIKELY, _AGREE)
    enough = np.maximum(enough, _merely_alike(grey, descriptors))
    value = _compared(grey, candidates, enough)
    chosen = np.flatnonzero(value > enough[: len(value)])
    found = candidates.where(chosen)
    return Copies(
        found.left,
        found.right,
        found.mirrored,
        np.tanh(value[chosen]),
        np.zeros(len(chosen), bool),
    )


def _described(pictures: Pictures, rows: np.ndarray) -> tuple[Descriptors, np.ndarray]:
    """What is measured of the images at `rows`, and uint8 (n, h, w), they in grey."""
    found = projection(pictures.reduced(rows[sample_rows(len(rows))]))
    grey = np.empty((len(rows), *pictures.shape[:2]), np.uint8)

    def piece(part: slice) -> Descriptors:
        colour = pictures.reduced(rows[part])
        grey[part] = np.rint(colour @ GREY if colour.shape[3] == 3 else colour[..., 0])
        return found.describe(colour)

    with ThreadPoolExecutor(usable_cores()) as pool:
        parts = list(pool.map(piece, pictures.pieces(rows)))
    return Descriptors(*(np.concatenate(each) for each in zip(*parts, strict=True))), grey


def _compared(grey: np.ndarray, candidates: Candidates, enough: np.ndarray) -> np.ndarray:
    """float32, the agreement of the likelier candidates; the others are hardly ever copies.

    The likeliest are compared first. Once few of a batch are copies, the rest are left.
    """
    count = len(candidates.left)
    batch = max(_BATCH, -(-count // (32 * _PAIRS)) * _PAIRS)
    values = [np.empty(0, np.float32)]
    for start in range(0, count, batch):
        values.append(_agreement(grey, candidates.where(slice(start, start + batch))))
        if (values[-1] > enough[start : start + batch]).mean() < _FEW:
            break
    return np.concatenate(values)


def _agreement(grey: np.ndarray, pairs: Candidates) -> np.ndarray:
    def piece(start: int) -> np.ndarray:
        left, right, mirrored, _ = pairs.where(slice(start, start + _PAIRS))
        other = np.where(mirrored[:, None, None], grey[right, :, ::-1], grey[right])
        return agreement(grey[left].astype(np.float32), other.astype(np.float32))

    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.concatenate(list(pool.map(piece, range(0, len(pairs.left), _PAIRS))))


def _merely_alike(grey: np.ndarray, descriptors: Descriptors) -> float:
    """The agreement up to which two images may merely be of one kind.

    Where all look alike, handwritten digits, say, or X-rays, copies have to agree clearly better
    than images do that are alike and no copies: each image and its 50th in likeness, a nearer one
    where there are few, or it would be of another kind. Where these agree as copies do, most images
    have many copies, frames of a video, say, and one further on stands for them; where those do
    too, all images are alike indeed.
    """
    place = min(_BYSTANDERS[0], max(_LEAST, len(grey) // _OF_FEW))
    nearest = _agreement(grey, bystanders(descriptors, place))
    if np.median(nearest) > _AGREE:
        for place in _BYSTANDERS[1:]:
            further = _agreement(grey, bystanders(descriptors, place))
            if np.median(further) <= _AGREE:
                return _limit(further)
    return _limit(nearest)


def _limit(bystanders: np.ndarray) -> float:
    """What agreements stay below, by their quartiles; by the lower ones where copies are above."""
    low, middle, high = np.percentile(bystanders, [25, 50, 75])
    copies = middle <= _AGREE < high
    # Of a normal distribution with these quartiles.
    deviation = (middle - low) / 0.6745 if copies else (high - low) / 1.349
    return float(middle + _ABOVE_BYSTANDERS * deviation)
