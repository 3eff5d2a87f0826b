"""Whether images that have something in common are of one class."""

import numpy as np

PURE = 0.9
"""Share of the images with a value that has to be of one class for the value to give it away."""
_LIFT = 9.0  # odds of the class among them, over its odds among all images


def is_pure(inside: np.ndarray, carriers: np.ndarray, own: np.ndarray, total: int) -> np.ndarray:
    """Whether images that carry something are of one class, and by far more so than all images are.

    Nine in ten of them, and the odds of the class at least nine times those among all images: of a
    class that is nine tenths of the data set, nine in ten would be by chance. Up to a class of half
    of the images, the first says it all.

    Args:
        inside: int, images of the class that carry it; any shape that fits the next two.
        carriers: int, images of all classes that carry it.
        own: int, images of the class.
        total: images.

    Returns:
        bool, of the common shape.
    """
    outside = carriers - inside
    return (inside >= PURE * carriers) & (inside * (total - own) >= _LIFT * outside * own)
