"""How well two pictures agree once one is moved and stretched onto the other.

The right picture of a pair is shifted and stretched along both axes, each by its own amount, by
Gauss-Newton steps on the difference of the two, from coarse to fine (Lucas and Kanade 1981, "An
iterative image registration technique with an application to stereo vision"; here with the mean
gradient of both pictures, and both brought to mean 0 and deviation 1 where they overlap). Then
their gradients are correlated. Gradients are compressed by d / (|d| + 6 grey levels) first:
otherwise two ships on two calm seas, each one strong line, agree like copies.
"""

import numpy as np

_SMALLEST = 8  # pixels of the coarsest level
_LEVELS = 3
_STEPS = 5
_STRETCH, _SHIFT = 0.3, 0.2  # at most; the shift as a share of the side
_SOFT = 6.0  # grey levels; the gradient that is compressed to one half
_CHANCE = 10.0  # deviations of a correlation by chance


def agreement(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The correlation of the gradients of each pair, less what chance can explain.

    Chance explains the more, the fewer strong gradients there are: atanh of the correlation goes
    down by 10 over the square root of their number (a standard deviation would be 1 over it, were
    pixels independent of their neighbours).

    Args:
        left: float32 (n, h, w), grey levels; sides of at least 8.
        right: float32 (n, h, w).

    Returns:
        float32 (n,): atanh of the correlation, so reduced; at most 3.8.
    """
    place = _aligned(left, right)
    rows, inside_rows = resampling(place[:, 0], place[:, 1], left.shape[1])
    columns, inside_columns = resampling(place[:, 2], place[:, 3], left.shape[2])
    moved = rows @ right @ columns.transpose(0, 2, 1)
    inside = _product(_inner(inside_rows), _inner(inside_columns))[:, None]
    one = (_gradients(left) * inside).reshape(len(left), -1)
    other = (_gradients(moved) * inside).reshape(len(left), -1)
    # The geometric mean of the numbers of strong gradients in the two pictures.
    strong = np.sqrt(_dot(one, one) * _dot(other, other)) + np.float32(1e-6)
    correlation = np.clip(_dot(one, other) / strong, -0.999, 0.999)
    return np.arctanh(correlation) - np.float32(_CHANCE) / np.sqrt(strong)


def resampling(
    stretch: np.ndarray, shift: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices that take pixel y of a line from (1 + stretch) (y - middle) + middle + shift.

    Args:
        stretch: float32 (n,).
        shift: float32 (n,), pixels.
        length: of the line.

    Returns:
        float32 (n, length, length), linear interpolation, the edge repeated beyond it; and float32
        (n, length), 1 for pixels that come from within the line, else 0.
    """
    pixel = np.arange(length, dtype=np.float32)
    middle = np.float32((length - 1) / 2)
    source = (pixel - middle) * (1 + stretch[:, None]) + middle + shift[:, None]
    inside = ((source >= 0) & (source <= length - 1)).astype(np.float32)
    distance = np.abs(np.clip(source, 0, length - 1)[:, :, None] - pixel)
    return np.maximum(0, 1 - distance), inside


def _aligned(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float32 (n, 4): stretch and shift along the height, stretch and shift along the width."""
    levels = [(left, right)]
    while len(levels) < _LEVELS and min(levels[-1][0].shape[1:]) >= 2 * _SMALLEST:
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    place = np.zeros((len(left), 4), np.float32)
    for level, (one, other) in reversed(list(enumerate(levels))):
        one, other = _smoothed(one), _smoothed(other)
        for _ in range(_STEPS if level else _STEPS - 1):
            place = _stepped(one, other, place)
        if level:
            place[:, [1, 3]] *= 2
    return place


def _stepped(left: np.ndarray, right: np.ndarray, place: np.ndarray) -> np.ndarray:
    """One Gauss-Newton step from `place`."""
    height, width = left.shape[1:]
    rows, inside_rows = resampling(place[:, 0], place[:, 1], height)
    columns, inside_columns = resampling(place[:, 2], place[:, 3], width)
    inside = _product(inside_rows, inside_columns)
    one = _standardized(left, inside)
    other = _standardized(rows @ right @ columns.transpose(0, 2, 1), inside)
    inner = _product(_inner(inside_rows), _inner(inside_columns))
    mean = (one + other) / 2
    down = (mean[:, 2:, 1:-1] - mean[:, :-2, 1:-1]) * inner / 2
    across = (mean[:, 1:-1, 2:] - mean[:, 1:-1, :-2]) * inner / 2
    y = (np.arange(1, height - 1) - (height - 1) / 2).astype(np.float32)[:, None]
    x = (np.arange(1, width - 1) - (width - 1) / 2).astype(np.float32)
    slopes = np.stack([down * y, down, across * x, across], axis=1).reshape(len(left), 4, -1)
    rest = ((one - other)[:, 1:-1, 1:-1] * inner).reshape(len(left), -1, 1)
    squares = slopes @ slopes.transpose(0, 2, 1)
    # Flat pictures have no slopes to go by: they stay where they are.
    damping = np.array([height**2 / 16, 1, width**2 / 16, 1], np.float32) * np.float32(5e-4)
    squares[:, range(4), range(4)] += damping * (inside.sum((1, 2)) + 1)[:, None]
    step = np.linalg.solve(squares, slopes @ rest)[..., 0]
    widest = np.array([0.1, 1.5, 0.1, 1.5], np.float32)
    limit = np.array([_STRETCH, _SHIFT * height, _STRETCH, _SHIFT * width], np.float32)
    return np.clip(place + np.clip(step, -widest, widest), -limit, limit)


def _standardized(pictures: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 where `inside` is 1; 0 elsewhere."""
    count = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    pictures = pictures * inside
    pictures -= pictures.sum((1, 2), keepdims=True) / count * inside
    flat = pictures.reshape(len(pictures), -1)
    deviation = np.sqrt(_dot(flat, flat)[:, None, None] / count)
    return pictures / (deviation + 1)  # a grey level more: noise alone is no structure


def _halved(pictures: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column is left off."""
    height, width = pictures.shape[1] // 2 * 2, pictures.shape[2] // 2 * 2
    pairs = pictures[:, 0:height:2] + pictures[:, 1:height:2]
    return (pairs[:, :, 0:width:2] + pairs[:, :, 1:width:2]) / 4


def _smoothed(pictures: np.ndarray) -> np.ndarray:
    """Weights 1, 2, 1 along both axes, the edge repeated beyond it."""
    wide = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge")
    wide = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    return (wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]) / 16


def _gradients(pictures: np.ndarray) -> np.ndarray:
    """float32 (n, 2, h-2, w-2): differences of smoothed pixels along both axes, in -1 … 1.

    Smoothed over 2 x 2 pixels, so that a shift by half a pixel costs little.
    """
    smooth = pictures[:, 1:] + pictures[:, :-1]
    smooth = (smooth[:, :, 1:] + smooth[:, :, :-1]) / 4
    steps = np.stack([np.diff(smooth, axis=2)[:, :-1], np.diff(smooth, axis=1)[:, :, :-1]], axis=1)
    return steps / (np.abs(steps) + np.float32(_SOFT))


def _inner(inside: np.ndarray) -> np.ndarray:
    """(n, length - 2): 1 for pixels both of whose neighbours are inside too."""
    return inside[:, :-2] * inside[:, 1:-1] * inside[:, 2:]


def _product(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return rows[:, :, None] * columns[:, None, :]


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("nk,nk->n", left, right)  # fast along one long axis
