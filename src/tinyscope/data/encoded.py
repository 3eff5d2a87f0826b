"""Images as a source holds them, not yet decoded: what is found, and whether it suffices."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyscope.data.dataset import LeftOut


class Encoded(NamedTuple):
    """The image files of one split and their labels."""

    split: str
    """ "train", "validation" or "test"."""
    files: tuple[str, ...]
    """N names, as in `LeftOut.file`."""
    labels: np.ndarray
    """int64 (N,), in 0 … K-1."""
    sources: Callable[[], Iterable[bytes | Path]]
    """Gives the N images, in the order of `files`, anew at each call."""


class Found(NamedTuple):
    """What lies in a folder, before anything of it is decoded."""

    source: str
    """The data set's name for people: "photos/"."""
    class_names: tuple[str, ...]
    """K names."""
    parts: list[Encoded]
    """The splits that it has, "train" first."""
    odd: dict[str, list[LeftOut]]
    """What can be no image of a class, by split: links to nowhere, files in no class folder."""
    files: Callable[[], Iterable[str | Path]]
    """Gives every file that the images are read from, anew at each call."""


def usual_side(sizes: Iterable[tuple[int, int]]) -> int:
    """The side that photos are brought to where nobody names one: 64, or 32 for small ones.

    Args:
        sizes: width and height of each; 64 is for a median of their shorter sides above 48.
    """
    shorter = [min(size) for size in sizes]
    return 64 if shorter and statistics.median(shorter) > 48 else 32


def class_faults(
    class_names: Sequence[str],
    labels: dict[str, np.ndarray],
    *,
    readable: dict[str, np.ndarray] | None = None,
) -> list[str]:
    """What is wrong with the number of classes and of the images in each, as phrases.

    Each class needs an image in every split that is still to be cut from the training images, and
    never fewer than two to train on. A class may be absent from the source's validation and test
    images, but not because none of its images there can be read.

    Args:
        class_names: K names.
        labels: int (N,) of all images that were found, by split; "train" among them.
        readable: the same of those that can be read; all where it is not given.

    Returns:
        An empty list where nothing is wrong.
    """
    faults = []
    if len(class_names) < 2:
        names = " ".join(f'("{name}")' for name in class_names)
        faults.append(f"only one class {names}; at least 2 are needed")
    for split, found in labels.items():
        at_hand = found if readable is None else readable[split]
        counts = np.bincount(at_hand, minlength=len(class_names))
        found_counts = np.bincount(found, minlength=len(class_names))
        uses = [verb for part, verb in _USES.items() if part not in labels]
        needed = max(2, 1 + len(uses)) if split == "train" else 1
        few = [
            f'"{class_names[k]}" ({_of(counts[k], found_counts[k])})'
            for k in range(len(class_names))
            if counts[k] < needed and (split == "train" or found_counts[k])
        ]
        if few:
            more = f" and {len(few) - 5} more" if len(few) > 5 else ""
            why = (
                f", one each to {' and to '.join(['train', *uses])}"
                if split == "train" and uses
                else ""
            )
            faults.append(
                f"{split}: too few images of {', '.join(few[:5])}{more}; "
                f"each class needs at least {needed}{why}"
            )
    return faults


# What a missing split is cut from the training images for.
_USES = {"validation": "validate", "test": "test"}


def _of(count: int, found: int) -> str:
    return f"{count}" if count == found else f"{count} readable of {found}"
