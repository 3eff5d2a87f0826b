"""What was measured of augmentations of a data set: whether each is valid, and for what classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class ClassEffect(NamedTuple):
    """What a change does to the held-out images of one class."""

    class_name: str
    images: int
    before: float
    """Accuracy on the unchanged images, 0 … 1."""
    after: float
    difference: float
    interval: tuple[float, float]
    """95%, of the difference, paired over the images."""
    taken_for: str
    """The other class that its changed images are taken for most often."""
    taken: float
    """Share of its images, 0 … 1."""
    looks_like: float
    """Share of its images that became taken for that class as certainly as three of four of that
    class's own images are, less the share that were before; -1 … 1."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was measured of one augmentation."""

    name: str
    settings: Mapping[str, Any]
    """Of a recipe; empty where no key switches it on."""
    verdict: str
    """ "valid", "costly", "invalid", or "unclear" where there are not enough images to tell."""
    reason: str
    """One sentence with the figures."""
    accuracy: float
    """On the changed held-out images."""
    difference: float
    """That, less the accuracy on the unchanged ones."""
    interval: tuple[float, float]
    """95%, of the difference, paired over the images."""
    kept: float
    """Share of the skill that is left; about 1 where nothing changes."""
    classes: tuple[ClassEffect, ...]
    """Those that fall most, five at most, the worst first."""
    examples: tuple[tuple[int, str], ...]
    """Rows of the data set for pictures, and what the changed image is taken for: images that were
    known and are now another class, the most certain first."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All augmentations, and the small model that judged them."""

    judgements: tuple[Judgement, ...]
    """In the order of `augmentations`."""
    accuracy: float
    """Of the model on unchanged held-out images."""
    not_applicable: str
    """Why nothing could be judged; empty where it could: "because …"."""
