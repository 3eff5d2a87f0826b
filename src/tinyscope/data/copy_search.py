"""The most likely pairs of copies among images, by their descriptors.

Up to 65,536 images are compared each with each. More of them are first sorted into cells of about
256 (k-means), and an image is compared with those in the 8 cells next to it and to its mirror
image, so that time grows with N^1.5 or so rather than with the square.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tinyscope.cores import usable_cores
from tinyscope.data.copy_descriptors import Descriptors

_EACH = 4  # pairs an image, on average, at most
_EXHAUSTIVE = 65_536  # images
_CELL, _PROBES = 256, 8
_ROUNDS = 6  # of k-means
_ROWS, _COLUMNS = 1000, 2000  # of a block


class Candidates(NamedTuple):
    """Pairs of rows, the likeliest first; the left one is the lower."""

    left: np.ndarray
    """int64."""
    right: np.ndarray
    mirrored: np.ndarray
    """bool: whether the right image is to be mirrored to be like the left one."""
    likeness: np.ndarray
    """float32."""

    def where(self, chosen: np.ndarray | slice) -> "Candidates":
        """Those chosen by a mask, by positions or by a slice."""
        return Candidates(*(part[chosen] for part in self))


def likely_pairs(descriptors: Descriptors) -> Candidates:
    """The pairs of greatest likeness: four or more for each image."""
    threshold = _threshold(descriptors)
    search = _exhaustive if len(descriptors.own) <= _EXHAUSTIVE else _in_cells
    found = search(descriptors, threshold)
    return found.where(np.lexsort((found.right, found.left, -found.likeness)))


def _threshold(descriptors: Descriptors) -> float:
    """The likeness that four pairs an image exceed, estimated from 256 images."""
    rows = _evenly(len(descriptors.own))
    allowed = (2 * _EACH + 1) * len(rows)  # a pair is seen from both sides, and each is like itself
    top = np.empty(0, np.float32)
    for _, likeness in _likeness(descriptors, rows):
        top = np.concatenate([top, likeness.ravel()])
        if len(top) > allowed:
            top = np.partition(top, -allowed)[-allowed:]
    return float(top.min()) if len(top) == allowed else -math.inf


def bystanders(descriptors: Descriptors, place: int) -> Candidates:
    """At most 256 images, evenly spread, each with one that is like it.

    Args:
        descriptors: of all images.
        place: of that one in likeness; of fewer than twice as many images, it is in the middle.
    """
    rows = _evenly(len(descriptors.own))
    place = min(place, len(descriptors.own) // 2)
    likeness: np.ndarray = np.empty((len(rows), 0), np.float32)
    others: np.ndarray = np.empty((len(rows), 0), np.int64)
    for start, new in _likeness(descriptors, rows):
        columns = np.broadcast_to(np.arange(start, start + new.shape[1]), new.shape)
        likeness = np.concatenate([likeness, new], axis=1)
        others = np.concatenate([others, columns], axis=1)
        if likeness.shape[1] > place + 1:
            kept = np.argpartition(-likeness, place, axis=1)[:, : place + 1]
            likeness, others = (np.take_along_axis(part, kept, 1) for part in (likeness, others))
    last = likeness.argmin(axis=1)[:, None]
    likeness, found = (np.take_along_axis(part, last, 1)[:, 0] for part in (likeness, others))
    mirrored = np.einsum("nk,nk->n", descriptors.odd[rows], descriptors.odd[found]) < 0
    return Candidates(rows, found, mirrored, likeness)


def _evenly(count: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, 256)).astype(np.int64)


def _likeness(descriptors: Descriptors, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The likeness of `rows` to all images, a few thousand at a time, and the first of these."""
    even, odd, own = descriptors
    for start in range(0, len(own), 10_000):
        piece = slice(start, start + 10_000)
        likeness = even[rows] @ even[piece].T + np.abs(odd[rows] @ odd[piece].T)
        likeness += own[rows, None] + own[piece]
        yield start, likeness


def _exhaustive(descriptors: Descriptors, threshold: float) -> Candidates:
    even, odd, own = descriptors
    count = len(own)

    def strip(top: int) -> list[Candidates]:
        """The pairs of which the left one is in the block of rows that begins at `top`."""
        found = []
        buffers = np.empty((2, _ROWS * _COLUMNS), np.float32)  # fresh memory costs as a product
        rows = slice(top, top + _ROWS)
        for side in range(top, count, _COLUMNS):
            columns = slice(side, side + _COLUMNS)
            shape = len(own[rows]), len(own[columns])
            likeness, turned = (buffer[: math.prod(shape)].reshape(shape) for buffer in buffers)
            np.matmul(odd[rows], odd[columns].T, out=turned)
            np.matmul(even[rows], even[columns].T, out=likeness)
            np.abs(turned, out=turned)
            likeness += turned
            likeness += own[columns]
            above = likeness > (threshold - own[rows])[:, None]
            left, right = np.divmod(np.flatnonzero(above), shape[1])
            value = likeness[left, right] + own[rows][left]
            left, right = left + top, right + side
            mirrored = np.einsum("nk,nk->n", odd[left], odd[right]) < 0
            found.append(Candidates(left, right, mirrored, value).where(left < right))
        return found

    return _joined(strip, range(0, count, _ROWS))


def _in_cells(descriptors: Descriptors, threshold: float) -> Candidates:
    even, odd, own = descriptors
    count = len(own)
    points = np.concatenate([even, odd], axis=1)
    centres = _centres(points)
    flip = np.repeat(np.array([1, -1], np.float32), [even.shape[1], odd.shape[1]])

    def nearest(start: int) -> np.ndarray:
        piece = points[start : start + _COLUMNS]
        return np.stack([_nearest(piece * sign, centres) for sign in (np.float32(1), flip)])

    with ThreadPoolExecutor(usable_cores()) as pool:
        parts = list(pool.map(nearest, range(0, count, _COLUMNS)))
    probes = np.concatenate(parts, axis=1).astype(np.int32)  # (2, N, probes), nearest first
    own_cell = probes[0, :, 0]
    members = _by_cell(own_cell, len(centres))
    visitors = _by_cell(probes.reshape(-1), len(centres))

    def cell(number: int) -> list[Candidates]:
        """The pairs of an image in a cell and one that has it among its nearest."""
        inside = members[number]
        turned, outside = np.divmod(visitors[number] // probes.shape[2], count)
        found = []
        for start in range(0, len(outside), _COLUMNS):
            rows, mirrored = outside[start : start + _COLUMNS], turned[start : start + _COLUMNS] > 0
            signs = np.where(mirrored[:, None], flip, np.float32(1))
            likeness = (points[rows] * signs) @ points[inside].T
            likeness += own[inside]
            likeness += own[rows][:, None]
            one, other = np.nonzero(likeness > threshold)
            value, mirrored = likeness[one, other], mirrored[one]
            one, other = rows[one], inside[other]
            low, high = np.minimum(one, other), np.maximum(one, other)
            found.append(Candidates(low, high, mirrored, value).where(low < high))
        return found

    return _once(_joined(cell, range(len(centres))), count)


def _once(found: Candidates, count: int) -> Candidates:
    """Each pair once, mirrored or not, whichever is likelier."""
    found = found.where(np.lexsort((found.mirrored, -found.likeness, found.right, found.left)))
    pair = found.left * count + found.right
    return found.where(np.flatnonzero(np.diff(pair, prepend=-1)))


def _centres(points: np.ndarray) -> np.ndarray:
    """float32 (cells, d): k-means of an evenly spread sample, 32 points a cell."""
    cells = len(points) // _CELL
    sample = points[np.linspace(0, len(points) - 1, min(len(points), 32 * cells)).astype(np.int64)]
    centres = sample[np.linspace(0, len(sample) - 1, cells).astype(np.int64)]
    for _ in range(_ROUNDS):

        def closest(start: int, centres: np.ndarray = centres) -> np.ndarray:
            return _nearest(sample[start : start + _COLUMNS], centres, count=1)[:, 0]

        with ThreadPoolExecutor(usable_cores()) as pool:
            cell = np.concatenate(list(pool.map(closest, range(0, len(sample), _COLUMNS))))
        order = np.argsort(cell, kind="stable")
        filled, first = np.unique(cell[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        sizes = np.diff(first, append=len(sample))
        centres = centres.copy()  # an empty cell keeps its centre
        centres[filled] = sums / sizes[:, None].astype(np.float32)
    return centres


def _nearest(points: np.ndarray, centres: np.ndarray, *, count: int = _PROBES) -> np.ndarray:
    """int64 (n, count): the centres at the smallest distance, nearest first."""
    far = (centres**2).sum(axis=1) / 2 - points @ centres.T
    if count == 1:
        return far.argmin(axis=1)[:, None]
    count = min(count, len(centres))
    some = np.argpartition(far, count - 1, axis=1)[:, :count]
    order = np.argsort(np.take_along_axis(far, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _by_cell(cells: np.ndarray, count: int) -> list[np.ndarray]:
    """For each of `count` cells, the places in `cells` that name it, ascending."""
    order = np.argsort(cells, kind="stable")
    return np.split(order, np.searchsorted(cells[order], np.arange(1, count)))


def _joined(work: Callable[[int], list[Candidates]], tasks: Iterable[int]) -> Candidates:
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = [part for parts in pool.map(work, tasks) for part in parts]
    return Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
