"""Suggestions: what to try next of a study, ranked by what `ideas` expect of it."""

from collections.abc import Mapping
from typing import Any

from tinyscope.diagnosis.ideas import Idea, Ideas
from tinyscope.diagnosis.learning_curves import learnt_by_those_that_know
from tinyscope.plan.recipe import faults

MOST = 8
"""Suggestions, at most."""


def suggestions(summary: Mapping[str, Any], findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What to try next, the most promising first; see `ideas` for the rules.

    Nothing is suggested that the recipe already does, that its model does not read, that
    contradicts its other keys, that a variation of the study has tried already, or of which no gain
    is expected.

    Args:
        summary: as `summary.summarise` makes it.
        findings: of `study_checks.study_findings` on it.

    Returns:
        At most `MOST` dictionaries with "rank" (from 1), "code" (the check that it answers),
        "title", "why" (a sentence with figures), "variation" (whose recipe it starts from: the
        recommended one), "changes" (recipe keys with their values), "expected_gain" (of validation
        accuracy, as a fraction, by the rules) and "cost" (FLOP of its training, as a multiple of
        that variation's, by rule; None where nothing is known). Empty without validation images:
        nothing could say what a suggestion has brought.
    """
    name = summary["recommended"]["variation"]
    start = next(one for one in summary["variations"] if one["name"] == name)
    dense = start["recipe"]["classifier"] == "dense"
    seen = learnt_by_those_that_know(start) if dense else None
    if start["validation"] is None:
        return []
    of_start = {
        one["code"]: [item for item in one["items"] if item["variation"] == name]
        for one in findings
    }
    tried = [_known(one["recipe"]) for one in summary["variations"]]
    ideas: list[Idea] = []
    for idea in Ideas(summary, start, seen, of_start).all():
        recipe = {**start["recipe"], **idea.changes}
        if idea.gain > 0 and not faults(recipe) and _known(recipe) not in tried:
            tried.append(_known(recipe))
            ideas.append(idea)
    ideas.sort(key=lambda idea: -idea.gain)
    return [
        {
            "rank": rank,
            "code": idea.code,
            "title": idea.title,
            "why": idea.why,
            "variation": name,
            "changes": idea.changes,
            "expected_gain": round(idea.gain, 4),
            "cost": None if idea.cost is None else round(idea.cost, 3),
        }
        for rank, idea in enumerate(ideas[:MOST], start=1)
    ]


def _known(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a recipe another one; the machine decides the precision."""
    return {key: value for key, value in recipe.items() if key != "precision"}
