"""How blurred images are, read from how steeply their cosine spectrum falls.

Its power falls with frequency in every photo, and by much the same factor: in CIFAR-10 by 10^1.7
from the second quarter of the frequencies to their upper half, with a deviation of 10^0.2. Blur
takes the upper half away almost wholly and leaves what lies below; strong blur takes half of that
too.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np

_BANDS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1)  # of the highest frequency
_DROPS = {  # between which bands power is compared: mild blur is seen in the first, strong in both
    "fine": (slice(1, 3), slice(4, 8)),
    "coarse": (slice(0, 2), slice(2, 6)),
}
_FLOOR = 0.02  # levels squared: half of what rounding three channels to 8 bits adds
_USUAL = np.array([[1.66, 0.22], [1.54, 0.25], [1.79, 0.24], [1.68, 0.27]])
"""Median and robust deviation, over CIFAR-10, of the mean of both axes' drops ("fine", "coarse"),
then of the larger of the two."""

_VARIES = 8  # levels that a row or column spans which is not of one colour
_LINES = 8  # fewer that vary say nothing


def blur_score(small: np.ndarray) -> np.ndarray:
    """How much more steeply than usual the spectrum falls: the worst of four measures.

    They are two drops of power, each of both axes together and of the axis where it is larger, for
    motion blurs one.

    Args:
        small: float32 (n, h, w), levels less the mean of each image; h and w from 8 up.

    Returns:
        float64 (n,), in deviations over CIFAR-10's images: 0 is usual there.
    """
    power = _spectrum(small)
    drops = np.array([_drops(power), _drops(power.transpose(0, 2, 1))])  # (axis, drop, n)
    together = np.concatenate([drops.mean(0), drops.max(0)])
    unusual: np.ndarray = ((together - _USUAL[:, :1]) / _USUAL[:, 1:]).max(0)
    return unusual


def _drops(power: np.ndarray) -> list[np.ndarray]:
    """The two drops along x (log10), from frequencies that are not higher in y than in x."""
    height, width = power.shape[1:]
    down, across = np.arange(height)[:, None] / height, np.arange(width) / width
    bands = np.full((len(power), len(_BANDS) - 1), np.nan)
    for band, (low, high) in enumerate(pairwise(_BANDS)):
        chosen = (across >= low) & (across < high) & (down <= across)
        if chosen.any():  # 8 pixels have no frequency in the lowest one
            bands[:, band] = np.log10(power[:, chosen].mean(1) + _FLOOR)
    return [
        np.nanmean(bands[:, below], 1) - np.nanmean(bands[:, above], 1)
        for below, above in _DROPS.values()
    ]


def _spectrum(small: np.ndarray) -> np.ndarray:
    """float32 (n, h, w): squares of the orthonormal cosine transform (DCT-II)."""
    down, across = (_cosines(side) for side in small.shape[1:])
    return (down @ small @ across.T) ** 2


@lru_cache(maxsize=8)
def _cosines(length: int) -> np.ndarray:
    frequency = np.arange(length)[:, None]
    rows = np.cos(np.pi * frequency * (2 * np.arange(length) + 1) / (2 * length))
    return (rows * np.sqrt(np.where(frequency, 2, 1) / length)).astype(np.float32)


def pixelation(luma: np.ndarray) -> np.ndarray:
    """The share of neighbouring lines that are equal, as when pixels were repeated to enlarge.

    Args:
        luma: float32 (n, H, W), levels.

    Returns:
        float64 (n,), in 0 … 1: of rows or of columns, where it is smaller, among those that are not
        of one colour; 0 where fewer than 8 are.
    """
    least = np.ones(len(luma))
    for axis in (1, 2):
        lines = luma if axis == 1 else luma.transpose(0, 2, 1)
        varied = lines.max(2) - lines.min(2) > _VARIES
        varied = varied[:, 1:] & varied[:, :-1]
        equal = (np.abs(lines[:, 1:] - lines[:, :-1]).max(2) < 1) & varied
        number = varied.sum(1)
        least = np.minimum(
            least, np.where(number >= _LINES, equal.sum(1) / np.maximum(number, 1), 0)
        )
    return least
