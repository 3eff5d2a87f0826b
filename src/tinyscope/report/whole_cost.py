"""What a variation cost in all: its own training, and those that it goes on from."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class WholeCost(NamedTuple):
    """Means over seeds, ancestors counted in."""

    seconds: float
    cpu_seconds: float
    flop: float
    after: tuple[str, ...]
    """The variations whose trainings are counted in, the latest first; empty for one that begins
    with weights of its own."""
    seconds_before: float
    """Of those trainings alone, with the lowest seed."""


def ancestors(
    variation: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The variations whose weights one goes on from, the latest first.

    Args:
        variation: of a summary.
        by_name: all of the summary's.
    """
    line, start = [], variation["start_from"]
    while start in by_name:
        line.append(by_name[start])
        start = by_name[start]["start_from"]
    return line


def whole_costs(variations: Sequence[Mapping[str, Any]]) -> dict[str, WholeCost]:
    """The whole cost of every variation of a summary, by name."""
    by_name = {one["name"]: one for one in variations}
    costs = {}
    for one in variations:
        before = ancestors(one, by_name)
        costs[one["name"]] = WholeCost(
            seconds=sum(each["train_seconds"] for each in [one, *before]),
            cpu_seconds=sum(each["train_cpu_seconds"] for each in [one, *before]),
            flop=sum(each["train_flop"] for each in [one, *before]),
            after=tuple(each["name"] for each in before),
            seconds_before=sum(each["runs"][0]["train_seconds"] for each in before),
        )
    return costs
