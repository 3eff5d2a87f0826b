"""Mean and deviation of each channel, by which pixels are normalized."""

import numpy as np


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over all images.

    Args:
        images: uint8 (N, H, W, C); a memory-mapped array is read piece by piece.

    Returns:
        Two float64 arrays (C,), in 0 … 255. A channel that never varies has deviation 1, so that
        it can be divided by.
    """
    channels = images.shape[3]
    counts = np.zeros((channels, 256), dtype=np.int64)
    for start in range(0, len(images), 4096):
        piece = np.ascontiguousarray(images[start : start + 4096]).reshape(-1, channels)
        for channel in range(channels):
            counts[channel] += np.bincount(piece[:, channel], minlength=256)
    levels = np.arange(256)
    total = counts.sum(axis=1)
    mean = counts @ levels / total
    variance = (counts * (levels[None, :] - mean[:, None]) ** 2).sum(axis=1) / total
    deviation = np.sqrt(variance)
    return mean, np.where(deviation > 0, deviation, 1.0)
