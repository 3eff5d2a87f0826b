"""Whether data bears the augmentations of a recipe: what was measured of each, and by what."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tinyscope.data.families import families_of
from tinyscope.plan.contradictions import AUGMENTATIONS

CIFAR10 = frozenset(
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
)
"""Class names of CIFAR-10, whose images show things upright and from either side."""


class Verdict(NamedTuple):
    """What was measured of one augmentation in one variation."""

    key: str
    """Of the recipe: "vertical_flip"."""
    harmful: bool
    evidence: str
    """One or two sentences with the figures, without a full stop at the end."""
    cost: float
    """Validation accuracy that it is likely to take: measured by a pair of variations, else a
    quarter of what a small model that never saw it loses by it; 0 where it is not harmful."""


def used(recipe: Mapping[str, Any]) -> list[str]:
    """The keys of the augmentations that a recipe switches on."""
    return [key for key in AUGMENTATIONS if recipe[key]]


def verdicts(summary: Mapping[str, Any], variation: Mapping[str, Any]) -> Iterator[Verdict]:
    """What was measured of each augmentation of a variation; nothing of those that were not.

    By a pair of variations that differ in that key alone, which decides where there is one, and by
    the small model that an inspection of the data asks.
    """
    for key in used(variation["recipe"]):
        pair = _pair(summary, variation, key)
        seen = measured(summary, key, variation["recipe"][key])
        harmful, cost, said = False, 0.0, []
        if seen is not None:
            harmful = seen["verdict"] != "valid"
            cost = max(0.0, seen["drop"]) / 4
            said.append(f"{seen['name']} is {seen['verdict']} for this data: {seen['reason'][:-1]}")
        if pair is not None:
            other, row = pair
            loses = row["verdict"] == "worse" or (harmful and row["verdict"] != "better")
            harmful, cost = loses, max(0.0, -row["difference"])
            low, high = (100 * end for end in row["interval"])
            said.append(
                f"without it “{other}”, which is the same otherwise, knows "
                f"{100 * -row['difference']:+.1f} points more of the {row['images']:,} validation "
                f"images (95% interval {-high:+.1f} to {-low:+.1f})"
            )
        if said:
            yield Verdict(key, harmful, "; ".join(said), cost if harmful else 0.0)


def measured(summary: Mapping[str, Any], key: str, amount: Any) -> Mapping[str, Any] | None:
    """The row of the inspection that says something of an augmentation of that strength, if any.

    What harms in a small dose harms in a larger one, and what is harmless in a large dose is in a
    smaller one; of the rest nothing is known.
    """
    inspection = summary.get("inspection") or {}
    for row in inspection.get("augmentations") or ():
        if row["recipe_key"] != key or row["verdict"] == "unclear":
            continue
        dose = _dose(key, row["name"])
        if row["verdict"] == "valid" and amount <= dose:
            return row  # type: ignore[no-any-return]
        if row["verdict"] != "valid" and amount >= dose:
            return row  # type: ignore[no-any-return]
    return None


def harms(
    summary: Mapping[str, Any], variation: Mapping[str, Any], key: str, amount: Any
) -> bool | None:
    """Whether an augmentation of that strength harms; None where nothing was measured of it.

    Pairs of variations that differ in that key alone decide, with and without it: a pair with this
    variation before others, and of those the harmful one first. Where none does, the inspection
    decides. A dose is judged as in `measured`.
    """
    pairs = sorted(_pairs(summary, key), key=lambda pair: pair[1]["verdict"] != "worse")
    pairs.sort(key=lambda pair: variation["name"] not in (pair[1]["first"], pair[1]["second"]))
    for dose, row in pairs:
        if row["verdict"] == "worse" and amount >= dose:
            return True
        if row["verdict"] == "better" and amount <= dose:
            return False
    seen = measured(summary, key, amount)
    return None if seen is None else bool(seen["verdict"] != "valid")


def may_mirror(summary: Mapping[str, Any], variation: Mapping[str, Any]) -> bool:
    """Whether a variation may mirror images left to right: measured, or known of CIFAR's classes.

    Of other data nothing is taken for granted: a mirrored digit or letter is none.
    """
    harmful = harms(summary, variation, "horizontal_flip", True)
    if harmful is not None:
        return not harmful
    names = summary["data"]["class_names"]
    return set(names) == CIFAR10 or bool(families_of(names))


def _dose(key: str, name: str) -> float:
    """How strong an augmentation was measured, from its name: "rotation by up to 15 degrees"."""
    number = re.search(r"\d+", name)
    if number is None:
        return 1
    return int(number[0]) / (100 if key == "zoom" else 1)


def _pair(
    summary: Mapping[str, Any], variation: Mapping[str, Any], key: str
) -> tuple[str, Mapping[str, Any]] | None:
    """The variation that lacks this augmentation alone, and the test with this one first."""
    for _, row in _pairs(summary, key):
        if row["first"] == variation["name"]:
            return row["second"], row
    return None


def _pairs(summary: Mapping[str, Any], key: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """The tests of variations with and without an augmentation, and how strong it is.

    The one with it is first; two doses say nothing of doing without.
    """
    amounts = {one["name"]: one["recipe"][key] for one in summary["variations"]}
    for row in summary["comparisons"]["one_key"]:
        if row["key"] != key:
            continue
        turned = row if amounts[row["first"]] else _turned(row)
        if not amounts[turned["second"]]:
            yield amounts[turned["first"]], turned


def _turned(row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["interval"]
    contrary = {"better": "worse", "worse": "better"}
    return {
        **row,
        "first": row["second"],
        "second": row["first"],
        "difference": -row["difference"],
        "interval": [-high, -low],
        "verdict": contrary.get(row["verdict"], row["verdict"]),
    }
