"""Whether answers know more than luck alone would."""

import math
from collections.abc import Sequence

from tinyscope.evaluation.intervals import Z95


def above_chance(confusion: Sequence[Sequence[int]], *, train_accuracy: float) -> bool:
    """Whether more is known than by luck, of the training or of the held-out images.

    Of the training images more than by naming the largest class always; of the held-out images more
    than answers would by luck that name each class as often (Cohen 1960): who knows small classes
    may know fewer images than who names the largest one. "More" is what chance exceeds in one case
    of forty.

    Args:
        confusion: of held-out images, a row for each true class, a column for each answer.
        train_accuracy: of the training images.
    """
    images = sum(map(sum, confusion))
    labelled = [sum(row) / images for row in confusion]
    answered = [sum(column) / images for column in zip(*confusion, strict=True)]
    known = sum(row[k] for k, row in enumerate(confusion)) / images
    by_luck = sum(one * other for one, other in zip(labelled, answered, strict=True))
    return known > _exceeded(by_luck, images) or train_accuracy > _exceeded(max(labelled), images)


def _exceeded(share: float, images: int) -> float:
    """The share that chance exceeds in one case of forty, where it brings `share` on average."""
    return share + Z95 * math.sqrt(share * (1 - share) / images)
