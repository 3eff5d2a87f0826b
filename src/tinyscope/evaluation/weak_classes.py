"""Which classes a model knows worse than the others, by more than chance explains."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyscope.evaluation.comparison import LEVEL, holm

_FIGURES = ("recall", "precision")


def weak_classes(per_class: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of classes whose recall or precision is below that of the other classes.

    One-sided exact tests (Fisher): the recall of a class against that of all other classes
    together, and its precision against that of all answers with other names; adjusted (Holm) over
    all of them. With few images, or few mistakes, hardly any class can be told from the others, and
    none is here. A rare class is right less often when its name is given even where all classes are
    recognised alike.

    Args:
        per_class: rows of `Evaluation.per_class`. A class without images is neither weak nor
            among the others.

    Returns:
        Those rows, lowest F1 first, each with "low": "recall", "precision" or both.

    Source: Fisher 1935, "The design of experiments"; Holm 1979.
    """
    from scipy.stats import hypergeom

    tested = [row for row in per_class if row["support"]]
    right = [round(row["recall"] * row["support"]) for row in tested]
    p_values: list[float] = []
    for of in ("support", "called"):
        totals = [row[of] for row in tested]
        # How seldom so few would be right of a class's own, were those that are right dealt out.
        p_values += hypergeom.cdf(right, sum(totals), sum(right), totals).tolist()
    adjusted = holm(p_values)
    both = zip(adjusted[: len(tested)], adjusted[len(tested) :], strict=True)
    weak = [
        {**row, "low": low}
        for row, pair in zip(tested, both, strict=True)
        if (low := [name for name, p in zip(_FIGURES, pair, strict=True) if p <= LEVEL])
    ]
    return sorted(weak, key=lambda row: row["f1"])
