"""Coded findings on a finished study: what its curves, answers and seeds say, with the figures."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tinyscope.diagnosis.answer_checks import (
    behind,
    confused_classes,
    diverged,
    neglected_classes,
    one_look,
    seeds_apart,
    unfit_augmentations,
)
from tinyscope.diagnosis.curve_checks import (
    Outcome,
    constant_rate,
    nothing_learnt,
    overfitting,
    plain_images,
    too_few_epochs,
    too_small,
)


class StudyCheck(NamedTuple):
    """What a code stands for; `docs/checks.md` says more of each."""

    title: str
    """What was found, as a heading."""
    severity: str
    """ "error": figures say nothing; "warning": a model could be better; "note": worth a look."""
    why: str
    """Why it matters, in a sentence."""
    remedy: str
    """What to do about it, in a sentence."""


STUDY_CHECKS: dict[str, StudyCheck] = {
    "TS101": StudyCheck(
        "Training images known by heart (overfitting)",
        "warning",
        "What was learnt beyond the validation accuracy does not hold for new images.",
        "Augment where the data bear it, smooth labels, stop earlier, or collect images.",
    ),
    "TS102": StudyCheck(
        "Training ended too early",
        "warning",
        "The network was still getting better, so it is judged below its worth.",
        "Train for more epochs.",
    ),
    "TS103": StudyCheck(
        "Classes that are taken for one another",
        "note",
        "A few pairs of classes make a large share of the errors.",
        "Look at their images first: wrong labels, small differences; then a larger network.",
    ),
    "TS104": StudyCheck(
        "Augmentations that this data does not bear",
        "warning",
        "They show the network images as no photo of the class looks, and take up its capacity.",
        "Switch them off.",
    ),
    "TS105": StudyCheck(
        "Network too small",
        "warning",
        "It does not even know its training images, and knows new ones as well as those.",
        "Use a wider or another network; with a short schedule, also more epochs.",
    ),
    "TS106": StudyCheck(
        "No augmentation in spite of overfitting",
        "warning",
        "Changed copies of the training images are the cheapest new ones.",
        "Mirror and shift the images where the data bear it.",
    ),
    "TS107": StudyCheck(
        "Seeds that disagree more than images do",
        "note",
        "Another training of the same recipe gives another accuracy, so small differences between "
        "variations say nothing.",
        "Run more seeds, or let the learning rate end near 0.",
    ),
    "TS108": StudyCheck(
        "Trainings that diverged",
        "error",
        "The loss grew without bound, and the figures are those of an unfinished network.",
        "Divide the learning rate by four.",
    ),
    "TS109": StudyCheck(
        "Small classes that are neglected",
        "note",
        "The network leans to the large classes, and accuracy hides it.",
        'Try class_weights = "balanced", and judge by balanced accuracy.',
    ),
    "TS110": StudyCheck(
        "A learning rate that never falls",
        "note",
        "The accuracy of the last epoch is then a matter of luck.",
        'Let it end near 0: schedule = "cosine".',
    ),
    "TS111": StudyCheck(
        "One look at an image, where several cost no training",
        "note",
        "A network that was trained on mirrored images can look at both sides of a new one.",
        'Set test_views = "mirrored-and-moved"; answers then take six times as long.',
    ),
    "TS112": StudyCheck(
        "Behind what is known to be possible at that size",
        "note",
        "A recipe that comes along is more accurate in less time.",
        'Try recipe = "quick".',
    ),
    "TS113": StudyCheck(
        "Answers that cannot be told from guesses",
        "error",
        "Guessing would bring such figures too; they say nothing of the network.",
        "Divide the learning rate by four; or train longer, if there were few steps.",
    ),
}
"""By code, in the order of a report. A code never changes its meaning; new ones follow."""


def study_findings(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every check's outcome for a summary, in the order of the codes.

    Only validation figures are looked at: what is done about a finding must not rest on the test
    images.

    Args:
        summary: as `summary.summarise` makes it.

    Returns:
        Dictionaries with "code", "title", "severity", "why", "remedy", "outcome" ("found", "clear"
        or "not applicable"), "reason" ("because …", empty unless not applicable) and "items":
        dictionaries with "variation", "evidence" (one sentence with its figures), and the figures
        themselves.
    """
    found = []
    for code, check in STUDY_CHECKS.items():
        outcome = _CHECKS[code](summary)
        word = "not applicable" if outcome.not_applicable else "clear"
        found.append(
            {
                "code": code,
                "title": check.title,
                "severity": check.severity,
                "why": check.why,
                "remedy": check.remedy,
                "outcome": "found" if outcome.items else word,
                "reason": "" if outcome.items else outcome.not_applicable,
                "items": outcome.items,
            }
        )
    return found


_CHECKS: dict[str, Callable[[Mapping[str, Any]], Outcome]] = {
    "TS101": overfitting,
    "TS102": too_few_epochs,
    "TS103": confused_classes,
    "TS104": unfit_augmentations,
    "TS105": too_small,
    "TS106": plain_images,
    "TS107": seeds_apart,
    "TS108": diverged,
    "TS109": neglected_classes,
    "TS110": constant_rate,
    "TS111": one_look,
    "TS112": behind,
    "TS113": nothing_learnt,
}
