"""Whether answers know more than luck alone would."""

from collections.abc import Sequence

_SELDOM = 0.025
"""How often luck alone knows as much, at most, where something is said to be known."""


def above_chance(
    confusion: Sequence[Sequence[int]], *, train_accuracy: float, train_counts: Sequence[int]
) -> bool:
    """Whether more is known than by luck, of the training or of the held-out images.

    Of the training images more than by naming the largest class always; of the held-out images more
    than answers would by luck that name each class as often (Cohen 1960): who knows small classes
    may know fewer images than who names the largest one. "More" is what luck reaches in one case of
    forty (exact, one-sided binomial tails).

    Args:
        confusion: of held-out images, a row for each true class, a column for each answer.
        train_accuracy: of the training images.
        train_counts: of the training images of each class.
    """
    images = sum(map(sum, confusion))
    pairs = zip(confusion, zip(*confusion, strict=True), strict=True)
    by_luck = sum(sum(row) * sum(column) for row, column in pairs) / images**2
    known = sum(row[k] for k, row in enumerate(confusion))
    learnt_from = sum(train_counts)
    learnt = round(train_accuracy * learnt_from)
    return _beyond(known, images, by_luck) or _beyond(
        learnt, learnt_from, max(train_counts) / learnt_from
    )


def _beyond(right: int, images: int, by_luck: float) -> bool:
    """Whether luck, right in that share, is right so often in one case of forty at most."""
    from scipy.special import bdtrc

    if right == 0 or by_luck >= 1:
        return False
    return float(bdtrc(right - 1, images, by_luck)) <= _SELDOM
