"""Suggestions: what to try next of a study, ranked by what `ideas` expect of it."""

from collections.abc import Callable, Mapping
from typing import Any

from tinyscope.diagnosis.ideas import PRICED, Idea, Ideas
from tinyscope.diagnosis.learning_curves import learnt_by_those_that_know
from tinyscope.errors import InputError
from tinyscope.plan.recipe import faults

Price = Callable[[Mapping[str, Any]], int | None]
"""FLOP of the training of a recipe on the study's data, as `training.price.price_for` tells it."""
MOST = 8
"""Suggestions, at most."""


def suggestions(
    summary: Mapping[str, Any], findings: list[dict[str, Any]], *, price: Price
) -> list[dict[str, Any]]:
    """What to try next, the most promising first; see `ideas` for the rules.

    Nothing is suggested that the recipe already does, that its model does not read, that
    contradicts its other keys, that a variation of the study has tried already, or of which no gain
    is expected.

    Args:
        summary: as `summary.summarise` makes it.
        findings: of `study_checks.study_findings` on it.
        price: of a recipe on this data.

    Returns:
        At most `MOST` dictionaries with "rank" (from 1), "code" (the check that it answers),
        "title", "why" (a sentence with figures), "variation" (whose recipe it starts from: the
        recommended one), "changes" (recipe keys with their values), "expected_gain" (of validation
        accuracy, as a fraction, by the rules) and "cost" (FLOP of its training, as a multiple of
        that variation's; None where nothing is known). Empty without validation images:
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
        if idea.gain <= 0 or faults(recipe) or _known(recipe) in tried:
            continue
        if idea.cost == PRICED:
            try:
                idea = idea._replace(cost=_cost(start, recipe, price))
            except InputError:  # such a network does not fit these images
                continue
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
            "cost": None if idea.cost is None else round(float(idea.cost), 3),
        }
        for rank, idea in enumerate(ideas[:MOST], start=1)
    ]


def _cost(start: Mapping[str, Any], recipe: Mapping[str, Any], price: Price) -> float | None:
    """Of a recipe's training, as a multiple of that of the variation; None where it is not known.

    Raises:
        InputError: its network does not fit the images.
    """
    new, patience = price(recipe), "early_stopping_patience"
    # Where both may stop early, they are taken to do so alike. A backbone is priced by what it was.
    alike = recipe[patience] == start["recipe"][patience]
    own = (price(start["recipe"]) if alike else None) or start["train_flop"]
    return new / own if new is not None and own else None


def _known(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a recipe another one; the machine decides the precision."""
    return {key: value for key, value in recipe.items() if key != "precision"}
