"""Which variation of a study to use, and why, from validation predictions only."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np

from tinyscope.evaluation.comparison import Comparison, against, compare_all
from tinyscope.evaluation.intervals import mean_of_differences
from tinyscope.wording import listed

TOLERANCE = 0.02
"""Of validation accuracy: what a smaller variation may surely be behind and be a fair choice."""


Standing = Literal["recommended", "unchosen", "guesses", "diverged"]
"""Of the variation that a choice gives: it was chosen; there was nothing to choose by; or nothing
can be recommended, and of the seed that ships its answers cannot be told from guesses, or its
training diverged."""


class Candidate(NamedTuple):
    """What the choice may know of one variation."""

    variation: str
    parameters: int
    seeds: tuple[int, ...]
    """In ascending order; the first is the one that ships."""
    accuracies: tuple[float, ...]
    """Validation accuracy of each seed, or empty where the study keeps no validation images."""
    right: np.ndarray | None
    """bool (N,): the lowest seed's answers to the validation images; None without them."""
    diverged: tuple[int, ...] = ()
    """Those of the seeds with which the training diverged."""
    guessing: tuple[int, ...] = ()
    """Those of the seeds with which it learnt nothing: its answers are no better than luck."""


class Choice(NamedTuple):
    """The recommended variation."""

    variation: str
    seed: int
    """Seed of the run that ships: the lowest, never the best."""
    reason: str
    """Why, in plain words."""
    cannot_be_told_apart_from: tuple[str, ...]
    """Variations whose lowest seed answers the validation images neither better nor worse."""
    comparisons: tuple[Comparison, ...]
    """The recommended variation against every other on the validation images."""
    standing: Standing
    """Whether it can be recommended; where not, the reason says why."""


def choose(candidates: Sequence[Candidate]) -> Choice:
    """The variation with the highest mean validation accuracy over its seeds.

    Equal means go to fewer parameters, then to the study's order. Variations of which a training
    diverged or learnt nothing come after all others, and last those whose lowest seed did: their
    accuracy is a matter of when they were cut off, or of the largest class. Without validation
    images nothing is chosen: the first variation is given, of those that stand first in this
    respect, and the reason says so.

    Args:
        candidates: at least one, in the study's order.
    """
    if any(candidate.right is None for candidate in candidates):
        first = min(candidates, key=_unsound)
        reason = _unchosen(first, candidates)
        standing: Standing = "diverged" if _lost(first) else "unchosen"
        return Choice(first.variation, first.seeds[0], reason, (), (), standing)
    ranked = sorted(candidates, key=lambda one: (_unsound(one), -_mean(one), one.parameters))
    best = ranked[0]
    right = {one.variation: one.right for one in candidates if one.right is not None}
    comparisons = against(best.variation, compare_all(right))
    level = [one.second for one in comparisons if one.verdict == "cannot be told apart"]
    return Choice(
        variation=best.variation,
        seed=best.seeds[0],
        reason=_reason(ranked, comparisons),
        cannot_be_told_apart_from=tuple(level),
        comparisons=tuple(comparisons),
        standing=_standing(best),
    )


def _unsound(candidate: Candidate) -> int:
    """From 0, where there is nothing against it, to 2, where the run that ships is no good."""
    if _lost(candidate) or _guesses(candidate):
        return 2
    return 1 if candidate.diverged or candidate.guessing else 0


def _standing(best: Candidate) -> Standing:
    if _lost(best):
        return "diverged"
    return "guesses" if _guesses(best) else "recommended"


def _lost(candidate: Candidate) -> bool:
    return candidate.seeds[0] in candidate.diverged


def _guesses(candidate: Candidate) -> bool:
    return candidate.seeds[0] in candidate.guessing and not _lost(candidate)


def _mean(candidate: Candidate) -> float:
    return round(fmean(candidate.accuracies), 12)  # the order of summing must not break a tie


def _quoted(candidate: Candidate) -> str:
    return f"“{candidate.variation}”"


def _listed(names: Sequence[str]) -> str:
    return listed([f"“{name}”" for name in names])


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {listed([str(seed) for seed in seeds])}"


def _nothing_sound(candidates: Sequence[Candidate]) -> str:
    with_seed = f"with {_seeds(candidates[0].seeds[:1])}, the one that ships,"
    if all(map(_lost, candidates)):
        return f"Nothing can be recommended: every training {with_seed} diverged."
    if all(map(_guesses, candidates)):
        return (
            f"Nothing can be recommended: {with_seed} even the best answers cannot be told from "
            "guesses."
        )
    return f"Nothing can be recommended: every training {with_seed} diverged or learnt nothing."


def _sound(best: Candidate, apart: Sequence[Candidate]) -> str:
    """What keeps the best, and those that it is compared with, from those that stand behind."""
    if best.diverged or best.guessing:  # with another seed; those behind have lost the lowest one
        which = f" with {_seeds(best.seeds[:1])}"
        calm, knowing = any(map(_lost, apart)), any(map(_guesses, apart))
    else:
        which, calm = "", any(one.diverged for one in apart)
        knowing = any(one.guessing and not one.diverged for one in apart)
    did = ["did not diverge"] * calm + ["learnt something"] * knowing
    return f"whose training{which} {' and '.join(did)}"


def _against(candidate: Candidate) -> str:
    """Why a candidate was passed over that has more right."""
    if candidate.diverged and not _guesses(candidate):
        return f"its training with {_seeds(candidate.diverged)} diverged"
    return f"its answers with {_seeds(candidate.guessing)} cannot be told from guesses"


def _unchosen(first: Candidate, candidates: Sequence[Candidate]) -> str:
    """Why this one is given where the study keeps no validation images."""
    if _lost(first):
        return f"{_nothing_sound(candidates)} {_quoted(first)} is the study's first variation."
    of_those = (
        ""
        if first is candidates[0]
        else f" {_sound(first, [one for one in candidates if one.diverged])}"
    )
    return (
        f"The study keeps no validation images, so nothing was chosen: {_quoted(first)} is its "
        f"first variation{of_those}. The test images are never used to choose."
    )


def _reason(ranked: Sequence[Candidate], comparisons: Sequence[Comparison]) -> str:
    best = ranked[0]
    over = (
        "validation accuracy"
        if len(best.seeds) == 1
        else f"mean validation accuracy over {len(best.seeds)} seeds"
    )
    if _standing(best) != "recommended":
        has = f"the highest {over}:" if len(ranked) > 1 else f"a {over} of"
        return f"{_nothing_sound(ranked)} {_quoted(best)} has {has} {_mean(best):.2%}."
    sentences = _lead(ranked, over)
    if best.diverged:
        sentences.append(
            f"The training of {_quoted(best)} with {_seeds(best.diverged)} diverged; the one that "
            f"ships, with {_seeds(best.seeds[:1])}, did not."
        )
    if best.guessing:
        sentences.append(
            f"The answers of {_quoted(best)} with {_seeds(best.guessing)} cannot be told from "
            f"guesses; those of the one that ships, with {_seeds(best.seeds[:1])}, can."
        )
    if comparisons:
        sentences += _judged(best, ranked, comparisons)
    return " ".join(sentences)


def _lead(ranked: Sequence[Candidate], over: str) -> list[str]:
    """By how much the best is ahead, and what was passed over for it."""
    best = ranked[0]
    if len(ranked) == 1:
        return [
            f"{_quoted(best)} is the only variation of the study, so there was nothing to choose; "
            f"its {over} is {_mean(best):.2%}."
        ]
    apart = [one for one in ranked[1:] if _unsound(one) > _unsound(best)]
    passed = [one for one in apart if _mean(one) >= _mean(best)]
    # Where nothing more accurate was passed over, it is compared with all.
    rivals = [one for one in ranked[1:] if one not in apart] if passed else ranked[1:]
    told = [f"{_quoted(one)} has {_mean(one):.2%}, but {_against(one)}." for one in passed]
    if not rivals:
        return [
            f"{_quoted(best)} is the only variation {_sound(best, apart)}; its {over} is "
            f"{_mean(best):.2%}.",
            *told,
        ]
    second = max(rivals, key=_mean)
    among = f"Of the variations {_sound(best, apart)}, " if passed else ""
    if _mean(best) > _mean(second):
        gap = 100 * (_mean(best) - _mean(second))
        lead = (
            f"{_quoted(best)} has the highest {over}: {_mean(best):.2%}, {gap:.2f} points above "
            f"{_quoted(second)}."
        )
    else:
        smaller = best.parameters < second.parameters
        why = "it has fewer parameters" if smaller else "the study names it first"
        lead = (
            f"{_quoted(best)} and {_quoted(second)} share the highest {over}, {_mean(best):.2%}; "
            f"{_quoted(best)} is taken because {why}."
        )
    return [among + lead, *told]


def _judged(
    best: Candidate, ranked: Sequence[Candidate], comparisons: Sequence[Comparison]
) -> list[str]:
    """What the paired tests say of the best one's run that ships, and other seeds of the rest."""
    by_name = {one.variation: one for one in ranked}
    by_verdict: dict[str, list[str]] = {}
    for comparison in comparisons:
        by_verdict.setdefault(comparison.verdict, []).append(comparison.second)
    better, level = by_verdict.get("better", []), by_verdict.get("cannot be told apart", [])
    all_better = len(better) == len(comparisons) > 1
    said = []
    if better:
        others = "all others" if all_better else _those_of(better)
        said.append(f"is better than {others} by more than chance explains")
    if level:
        said.append(f"cannot be told apart from {_those_of(level)}")
    worse = by_verdict.get("worse", [])
    on_average = [name for name in worse if _mean(by_name[name]) < _mean(best)]
    if behind := [name for name in worse if name not in on_average]:
        said.append(f"is behind {_those_of(behind)}")
    if on_average:
        said.append(f"is behind {_those_of(on_average)}, but not on average")
    images = comparisons[0].test.images
    sentences = [
        f"Of the runs with {_seeds(best.seeds[:1])}, on the same {images:,} validation images, "
        f"that of {_quoted(best)} {listed(said)}."
    ]
    agreed = [name for name in better if _ahead_with_other_seeds(best, by_name[name])]
    if len(best.seeds) > 1 and agreed:
        others = "every other variation" if all_better and agreed == better else _listed(agreed)
        agree = "The other seed agrees" if len(best.seeds) == 2 else "All other seeds agree"
        sentences.append(f"{agree}: {_quoted(best)} is better than {others}.")
    if doubtful := [name for name in better if name not in agreed]:
        sentences.append(
            f"With other seeds it is not always ahead of {_listed(doubtful)}: whether it is better "
            "is not known."
        )
    return sentences + _smaller(best, [by_name[name] for name in level], comparisons)


def _those_of(names: Sequence[str]) -> str:
    return f"{'that' if len(names) == 1 else 'those'} of {_listed(names)}"


def _ahead_with_other_seeds(best: Candidate, other: Candidate) -> bool:
    theirs = dict(zip(other.seeds, other.accuracies, strict=True))
    ours = dict(zip(best.seeds, best.accuracies, strict=True))
    return all(ours[seed] > theirs[seed] for seed in best.seeds[1:] if seed in theirs)


def _smaller(
    best: Candidate, level: Sequence[Candidate], comparisons: Sequence[Comparison]
) -> list[str]:
    """What a smaller variation costs that cannot be told apart; one that costs little first.

    That no difference was found does not say that there is none: with few images, none is found
    where there is a large one. Of a single seed, or of seeds that are all as far apart, only the
    two models themselves are judged.
    """
    tests = {one.second: one.test for one in comparisons}
    variations = len(comparisons) + 1
    pairs = variations * (variations - 1) // 2  # that the verdicts are adjusted over

    def at_most(one: Candidate) -> float:
        """What it may be behind, in accuracy."""
        ends = [_mean(best) - _mean(one), tests[one.variation].interval_of_one_of(pairs)[1]]
        over_seeds = mean_of_differences(_behind(best, one))
        return max(ends if over_seeds is None else [*ends, over_seeds[1]])

    smaller = [
        one for one in level if one.parameters < best.parameters and _unsound(one) == _unsound(best)
    ]
    if not smaller:
        return []
    small = min(smaller, key=lambda one: (at_most(one) > TOLERANCE, one.parameters))
    test, over_seeds = tests[small.variation], mean_of_differences(_behind(best, small))
    adjusted = f", adjusted over {pairs} pairs" if pairs > 1 else ""
    interval = _range(test.interval_of_one_of(pairs))
    seed = f"with {_seeds(best.seeds[:1])} (95% interval {interval}{adjusted})"
    behind = f"{_points(_mean(best) - _mean(small))} points behind"
    if len(best.seeds) > 1:
        spread = "" if over_seeds is None else f" (95% over seeds {_range(over_seeds)})"
        behind += f" on average{spread}, {_points(test.difference)}"
    limit = f"{100 * TOLERANCE:g} points"
    ships = "" if over_seeds else "between the two models that would ship "
    so = f"{ships}at most {limit}, a fair choice where size matters"
    if at_most(small) > TOLERANCE:
        so = f"it may cost more than {limit}"
    return [
        f"{_quoted(small)} is smaller ({small.parameters:,} parameters against "
        f"{best.parameters:,}) and {behind} {seed}: {so}."
    ]


def _behind(best: Candidate, other: Candidate) -> list[float]:
    """What the other is behind with each seed that both were trained with."""
    theirs = dict(zip(other.seeds, other.accuracies, strict=True))
    # Rounded, so that equal differences are equal.
    return [
        round(accuracy - theirs[seed], 12)
        for seed, accuracy in zip(best.seeds, best.accuracies, strict=True)
        if seed in theirs
    ]


def _range(interval: tuple[float, float]) -> str:
    return f"{_points(interval[0])} to {_points(interval[1])}"


def _points(difference: float) -> str:
    return f"{100 * difference:.2f}".replace("-", "\N{MINUS SIGN}")
