"""Digits, the data set that comes along with scikit-learn."""

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits


def digits() -> Splits:
    """1,797 scans of handwritten digits, uint8 (1797, 8, 8, 1), all in the training split.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998, its test
    part as scikit-learn carries it. Its values, 0 to 16, are scaled to 0 to 255 and rounded.
    """
    from sklearn.datasets import load_digits

    stored = load_digits()
    images = np.rint(stored.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    names = tuple(str(name) for name in stored.target_names)
    train = ImageDataset(images, stored.target.astype(np.int64), names, "train", "digits")
    return Splits("digits", train)
