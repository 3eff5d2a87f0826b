"""Mean and deviation of each channel, by which pixels are normalized."""

import numpy as np

_PIXELS_AT_A_TIME = 2**18


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over all images.

    Args:
        images: uint8 (N, H, W, C); a memory-mapped array is read piece by piece.

    Returns:
        Two float64 arrays (C,), in 0 … 255. A channel that never varies has deviation 1, so that
        it can be divided by.
    """
    _, height, width, channels = images.shape
    counts = np.zeros((channels, 256), dtype=np.int64)
    step = max(1, _PIXELS_AT_A_TIME // (height * width))
    for start in range(0, len(images), step):
        piece = images[start : start + step].reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += _histogram(np.ascontiguousarray(piece[:, channel]))
    levels = np.arange(256)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    variance = (counts * (levels[None, :] - mean[:, None]) ** 2).sum(axis=1) / total
    deviation = np.sqrt(variance)
    return mean, np.where(deviation > 0, deviation, 1.0)


def _histogram(values: np.ndarray) -> np.ndarray:
    """How often each of 256 values occurs in a uint8 vector.

    Two values are counted at a time, as one of 65,536 pairs: four times as fast as one by one.
    """
    even = len(values) // 2 * 2
    pairs = np.bincount(values[:even].view(np.uint16), minlength=65536).reshape(256, 256)
    counts: np.ndarray = pairs.sum(axis=0) + pairs.sum(axis=1)
    return counts + np.bincount(values[even:], minlength=256)
