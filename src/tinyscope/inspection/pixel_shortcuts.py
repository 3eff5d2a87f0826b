"""Traces in the pixels themselves that give a class away: shared marks, and levels never used.

Nothing is found in the training images of CIFAR-10 and CIFAR-100 and in digits. Of 10,000 CIFAR-10
images, a patch of 3 x 3 random or red pixels in 30 of one class's 1,022 is found with all 30 and
no other image, a white one in a corner with 29 and one other; a black frame of 2 pixels with all
997 and no other; a class times 1.3 or 0.75 with an area under the ROC curve of 1.000. 50,000 images
of 32 x 32 take 4.8 and 0.9 s of one core.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tinyscope.inspection.purity import PURE, is_pure
from tinyscope.inspection.shortcuts import Shortcut

_PIECE = 2**22  # values of images that are read at a time
_BLOCK = 2**26  # digests that are held at a time: 256 MB
_FEWEST = 10  # images with the same mark; fewer teach a model little
_AGREEING = 0.9  # share of them that agree in a pixel of the mark; and of its pixels in an image
_TOLD = 0.95  # or: area under the ROC curve of "carries the mark" for the class
_P_VALUE = 1e-6  # by chance, after Bonferroni's correction for all cells, patterns and classes
_NEAR = 8  # levels; a pixel next to the mark that is no further off continues it
_LARGEST = 0.6  # share of the picture; what agrees in more of it are copies of a picture
_SMALLEST = 9  # pixels
_OUTSIDE = 0.5  # share that agrees just outside; what fades out slowly is a background
_OTHERS, _COMMON = 2000, 0.25  # images of other classes; share of them that has a mark's pixel
_CONTINUES = 0.8  # share of the pixels around that look like the mark: then it is a background
_MOST_MARKS = 20
_SAME = 0.5  # share of the images, above which two cells are of one thing
_TEMPLATE = 200  # images that a mark's outline is taken from

_GAP = 1.5  # factor by which a level is rarer or more frequent than its neighbours
_ROUGH = 0.05  # share of the pixels that lies on such levels
_LEVELS_AUC = 0.99


_Cell = tuple[slice, slice]


class _Mark(NamedTuple):
    """A patch that images of one class share."""

    label: int
    area: np.ndarray
    """bool (H, W)."""
    around: np.ndarray
    """bool (H, W): the pixels next to it."""
    template: np.ndarray
    """uint8 (H, W, C): the pixels of `area`; elsewhere those of the nearest pixel of it."""


def shared_marks(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> list[Shortcut]:
    """Patches of identical pixels at a fixed place that images of one class share and others lack.

    A watermark, a coloured frame, a time stamp, a ruler. The picture is cut into cells of 2 x 2
    pixels, of which every patch of 3 x 3 holds at least one. Cells are equal where their pixels
    are, and where the same of the 32 pixels around, two deep, have the colour of the first one:
    that tells a patch of one colour from a plain background. Where at least ten images share a
    cell, nine in ten of them of one class, or where a whole class does and the others do not, the
    pixels around it on which these images agree make the mark: nine at least, with a sharp outline,
    and of colours that are rare there in the other classes (a digit's background is no mark). What
    agrees in more than 60% of the picture are copies of one picture.

    A mark is missed where its pixels differ from image to image by recompression, resizing or
    because what lies below shines through.

    Args:
        images: uint8 (N, H, W, C), read piece by piece.
        labels: int (N,), in 0 … K-1.
        class_names: K names.
    """
    if min(images.shape[1:3]) < 3:
        return []
    marks: list[_Mark] = []
    for mark in _marks(images, labels, len(class_names)):
        marks.append(mark)
        if len(marks) == _MOST_MARKS:
            break
    carried = _carriers(images, marks)
    found = []
    for mark, rows in zip(marks, carried, strict=True):
        inside = int((labels[rows] == mark.label).sum())
        own = int((labels == mark.label).sum())
        if inside < _FEWEST or not _tells(inside, len(rows), own, len(labels)):
            continue
        down, across = (np.flatnonzero(mark.area.any(axis)) for axis in (1, 0))
        name = class_names[mark.label]
        found.append(
            Shortcut(
                "mark",
                f"{mark.area.sum()} pixels in rows {down[0]} to {down[-1]}, "
                f"columns {across[0]} to {across[-1]}",
                (name,),
                f"{inside:,} of the {len(rows):,} images that share these pixels are {name}, "
                f"which has {own:,} of all {len(labels):,} images; by chance "
                f"{len(rows) * own / len(labels):,.1f} would be.",
                rows,
            )
        )
    return found


def _tells(inside: int, carriers: int, own: int, total: int) -> bool:
    elsewhere = (carriers - inside) / max(total - own, 1)
    pure = is_pure(np.asarray(inside), np.asarray(carriers), np.asarray(own), total)
    return bool(pure) or (1 + inside / own - elsewhere) / 2 >= _TOLD


class _Looked(NamedTuple):
    """What images that share a cell agree on around it, whether that is a mark or not."""

    label: int
    area: np.ndarray
    """bool (H, W)."""
    template: np.ndarray
    """uint8 (H, W, C): of the images' middle one at each pixel."""
    members: np.ndarray
    """bool (N,): the images."""

    def is_of(self, label: int, part: np.ndarray | _Cell, rows: np.ndarray) -> bool:
        """Whether a part of the picture touches the area and most of these images are members."""
        return self.label == label and bool(
            self.area[part].any() and self.members[rows].mean() > _SAME
        )

    def is_again(self, label: int, cell: _Cell, rows: np.ndarray, pixels: np.ndarray) -> bool:
        """Whether another cell, with these images and pixels, would show the same area again."""
        return (
            self.is_of(label, cell, rows)
            and len(rows) > _SAME * self.members.sum()
            and bool((self.template[cell] == pixels).all())
        )


def _marks(images: np.ndarray, labels: np.ndarray, classes: int) -> Iterator[_Mark]:
    """Marks, those of most images first, each once."""
    from scipy import ndimage

    marks: list[_Looked] = []
    # A plain background is shared cell by cell by about the same images: it is looked at once.
    refused: list[_Looked] = []
    for label, row, column, rows in _shared_cells(images, labels, classes):
        cell = np.s_[row : row + 2, column : column + 2]
        own = rows[labels[rows] == label]
        if any(mark.is_of(label, cell, rows) for mark in marks):
            continue
        if any(each.is_again(label, cell, rows, images[own[0]][cell]) for each in refused):
            continue
        pixels = images[_spread(own, _TEMPLATE)]
        template = np.sort(pixels, axis=0)[len(pixels) // 2]
        agreement = (pixels == template).all(3).mean(0)
        parts, _ = ndimage.label(agreement >= _AGREEING)
        area = (parts == parts[row, column]) & (parts > 0)
        members = np.zeros(len(images), bool)
        members[rows] = True
        looked = _Looked(label, area, template, members)
        around = ndimage.binary_dilation(area, np.ones((3, 3))) & ~area
        if (
            not _SMALLEST <= area.sum() <= _LARGEST * area.size
            or agreement[around].mean() > _OUTSIDE
            or any(mark.is_of(label, area, rows) for mark in marks)
            or _is_common(images[_spread(np.flatnonzero(labels != label), _OTHERS)], looked)
        ):
            refused.append(looked)
            continue
        nearest = ndimage.distance_transform_edt(~area, return_distances=False, return_indices=True)
        marks.append(looked)
        yield _Mark(label, area, around, template[tuple(nearest)])


def _is_common(others: np.ndarray, looked: _Looked) -> bool:
    """Whether images of other classes have the colours of an area at its place, too."""
    same = (others[:, looked.area] == looked.template[looked.area]).all(2)
    return not len(others) or float(same.mean()) > _COMMON


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def _shared_cells(
    images: np.ndarray, labels: np.ndarray, classes: int
) -> list[tuple[int, int, int, np.ndarray]]:
    """Class, top row, left column and images of the cells that suspiciously many of them share."""
    from scipy.stats import hypergeom

    count, height, width = images.shape[:3]
    high, wide = height // 2, width // 2
    in_class = np.bincount(labels, minlength=classes)
    strip = max(1, min(high, _BLOCK // max(1, count * wide)))
    found = []
    tests = 0
    for top in range(0, high, strip):
        digests = _digests(images, top, min(strip, high - top))
        for place, column in enumerate(digests.reshape(len(digests), -1).T):
            keys = np.sort(
                column.astype(np.uint64) << np.uint64(32) | np.arange(count, dtype=np.uint64)
            )
            values, rows = keys >> np.uint64(32), (keys & np.uint64(2**32 - 1)).astype(np.int64)
            starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
            lengths = np.diff(np.append(starts, count))
            many = lengths >= _FEWEST
            starts, lengths = starts[many], lengths[many]
            if not len(starts):
                continue
            run = np.repeat(np.arange(len(starts)), lengths)
            inside = np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            member = rows[np.repeat(starts, lengths) + inside]
            counts = np.bincount(run * classes + labels[member], minlength=len(starts) * classes)
            counts = counts.reshape(-1, classes)
            tests += counts.size
            label = counts.argmax(1)
            most = counts[np.arange(len(label)), label]
            for each in np.flatnonzero(most >= PURE * _FEWEST).tolist():
                own = int(in_class[label[each]])
                if not _tells(int(most[each]), int(lengths[each]), own, count):
                    continue
                p_value = hypergeom.sf(most[each] - 1, count, own, lengths[each])
                row, left = divmod(place, wide)
                shared = member[run == each]
                found.append((p_value, int(label[each]), 2 * (top + row), 2 * left, shared))
    likely = [rest for p_value, *rest in found if p_value * tests <= _P_VALUE]
    likely.sort(key=lambda each: -len(each[3]))
    return [(label, row, column, rows) for label, row, column, rows in likely]


def _digests(images: np.ndarray, top: int, high: int) -> np.ndarray:
    """uint32 (N, high, W // 2): equal where cells are, from the cell row `top` on."""
    count, height, width, channels = images.shape
    wide = width // 2
    random = np.random.default_rng(0)
    odd = random.integers(0, 2**31, 36, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = np.uint32(1) << (np.uint32(8) * np.arange(channels, dtype=np.uint32))
    digests = np.empty((count, high, wide), np.uint32)
    first = max(0, 2 * top - 2)
    last = min(height, 2 * (top + high) + 2)
    piece = max(1, _PIECE // ((last - first) * width * channels))
    for start in range(0, count, piece):
        pixels = images[start : start + piece, first:last].astype(np.uint32) @ shifts
        outside = np.uint32(2**32 - 1)  # no colour: there is no pixel
        before, after = first - (2 * top - 2), 2 * (top + high) + 2 - last
        pixels = np.pad(pixels, ((0, 0), (before, after), (2, 2)), constant_values=outside)

        def at(down: int, across: int, pixels: np.ndarray = pixels) -> np.ndarray:
            return pixels[:, down : down + 2 * high : 2, across : across + 2 * wide : 2]

        corner = at(2, 2)
        total = np.zeros(corner.shape, np.uint32)
        for number in range(36):
            down, across = divmod(number, 6)
            value = at(down, across)
            if down not in (2, 3) or across not in (2, 3):
                value = (value == corner).astype(np.uint32)
            total += value * odd[number]
        digests[start : start + piece] = total
    return digests


def _carriers(images: np.ndarray, marks: Sequence[_Mark]) -> list[np.ndarray]:
    """Rows of all images that carry each mark, by nine in ten of its pixels, and where it ends."""
    carries = np.zeros((len(marks), len(images)), bool)
    piece = max(1, _PIECE // images[:1].size)
    for start in range(0, len(images) if marks else 0, piece):
        pixels = images[start : start + piece]
        for number, mark in enumerate(marks):
            inside = (pixels[:, mark.area] == mark.template[mark.area]).all(2).mean(1)
            apart = pixels[:, mark.around].astype(np.int16) - mark.template[mark.around]
            outside = (np.abs(apart) <= _NEAR).all(2).mean(1)
            carries[number, start : start + piece] = (inside >= _AGREEING) & (outside < _CONTINUES)
    return [np.flatnonzero(each) for each in carries]


def odd_levels(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> list[Shortcut]:
    """Classes whose images were processed unlike the others, as their pixel values show.

    Brightening by 30% spreads 256 levels over more than there are, so that about every fourth is
    never used any more; darkening lays levels together. For each class the levels are found that
    are rarer or more frequent than their neighbours, compared with the other classes. A class is
    named where its images tell from the others by these levels alone, with an area under the ROC
    curve of 0.99 at least on the half of the images that the levels were not taken from. Honest
    data show 0.5 to 0.7.

    It is missed where the images were saved as JPEG or resized afterwards: that levels all values.

    Args:
        images: uint8 (N, H, W, C), read piece by piece.
        labels: int (N,), in 0 … K-1.
        class_names: K names.
    """
    halves = _halves(labels)
    counts = np.zeros((2, len(class_names), 256))
    piece = max(1, _PIECE // images[:1].size)
    for start in range(0, len(images), piece):
        pixels = images[start : start + piece].reshape(-1, images[:1].size)
        group = halves[start : start + piece] * len(class_names) + labels[start : start + piece]
        flat = (group[:, None] * 256 + pixels).reshape(-1)
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
    found = []
    for label, name in enumerate(class_names):
        weights = np.stack([_oddness(half, label) for half in counts])
        rest = counts.sum(1) - counts[:, label]
        odd = np.abs(weights) > np.log(_GAP)
        on_odd = [(odd * _shares(part)).sum(1) for part in (counts[:, label], rest)]
        if np.maximum(*on_odd).min() < _ROUGH:
            continue
        scores = _scores(images, halves, weights)
        area = _area(scores, labels == label)
        if area >= _LEVELS_AUC:
            rows = np.flatnonzero(labels == label)
            many = int(odd.all(0).sum())
            found.append(
                Shortcut(
                    "pixel levels",
                    f"{many} levels rarer or more frequent than their neighbours",
                    (name,),
                    f"How often {many} of the 256 pixel values occur tells {name} from the rest "
                    f"with an area under the ROC curve of {area:.3f}: its {len(rows):,} images "
                    "were brightened, darkened or otherwise processed and the others were not.",
                    rows,
                )
            )
    return found


def _halves(labels: np.ndarray) -> np.ndarray:
    """int64 (N,), 0 or 1: two halves with as many images of each class."""
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    halves = np.empty(len(labels), np.int64)
    halves[order] = np.arange(len(labels)) % 2
    return halves


def _oddness(counts: np.ndarray, label: int) -> np.ndarray:
    """float64 (256,): how much more frequent each level is than its neighbours, as a logarithm.

    In the class, less the same in the others; 0 for the ends, where clipped values lie.
    """
    used = np.flatnonzero(counts.sum(0))
    own = counts[label, used]
    rest = counts[:, used].sum(0) - own
    result = np.zeros(256)
    if len(used) < 5:
        return result
    logs = []
    for part in (own, rest):
        share = (part + 0.5) / (part.sum() + 0.5 * len(part))
        padded = np.pad(share, 2, mode="edge")
        around = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
        logs.append(np.log(share / around))
    ends = (used > used[1]) & (used < used[-2])
    result[used] = np.where(ends, np.clip(logs[0] - logs[1], -3, 3), 0)
    return result


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return shares


def _scores(images: np.ndarray, halves: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64 (N,): the mean weight of an image's pixels, by the weights of the other half."""
    scores = np.empty(len(images))
    piece = max(1, _PIECE // images[:1].size)
    other = weights[::-1].astype(np.float32)
    for start in range(0, len(images), piece):
        pixels = images[start : start + piece].reshape(-1, images[:1].size)
        which = halves[start : start + piece]
        for half in (0, 1):
            scores[start : start + piece][which == half] = other[half][pixels[which == half]].mean(
                1, dtype=np.float64
            )
    return scores


def _area(scores: np.ndarray, own: np.ndarray) -> float:
    """Area under the ROC curve of the scores for `own` images."""
    from scipy.stats import rankdata

    many = int(own.sum())
    wins = rankdata(scores)[own].sum() - many * (many + 1) / 2
    return float(wins / max(many * (len(own) - many), 1))
