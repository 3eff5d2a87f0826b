"""The best published network of a study beside the best of its recipes that is no larger."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyscope.report.beside_published import ratio
from tinyscope.report.told_apart import position, spans
from tinyscope.report.whole_cost import ancestors


def better_recipe(variations: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a recipe of one's own reaches beside the network with the highest published accuracy.

    The choice among those of which nothing was published rests on validation accuracy alone, and
    falls on none with more parameters than the published network has here. Networks that were
    trained on other images before (the model "transfer") are no measure for one that was not.

    Args:
        variations: of a summary.

    Returns:
        "published" (test accuracy), "minutes" and "parameters" (published, or None); "theirs" and
        "ours", each with "name", "model", "parameters", "accuracy" on the test images (mean over
        seeds), "interval", "seconds", and "after": variations whose weights it goes on from and
        whose seconds are counted in; "gain" over the published figure, "gain_here" over its network
        trained here (both in test accuracy), "against_published" and "against_here": whether ours
        is above or below by more than 95% intervals hold, else level (`told_apart.position`);
        "time" in words, "faster", and "better": above both. None where there are no two to compare.
    """
    figures = {
        one["name"]: one["published"]["figures"]["test_accuracy"]
        for one in variations
        if one["published"] is not None
        and "test_accuracy" in one["published"]["figures"]
        and one["recipe"]["model"] != "transfer"
    }
    if not figures:
        return None
    by_name = {one["name"]: one for one in variations}
    best = max(figures, key=lambda name: figures[name])
    smaller = [
        one
        for one in variations
        if one["published"] is None
        and one["validation"] is not None
        and one["recipe"]["model"] != "transfer"
        and one["parameters"] <= by_name[best]["parameters"]
    ]
    if not smaller:
        return None
    chosen = max(smaller, key=lambda one: one["validation"]["accuracy"])
    theirs, ours = _account(by_name[best], by_name), _account(chosen, by_name)
    against_published = position(chosen["test"], [(figures[best], figures[best])])
    against_here = position(chosen["test"], spans(by_name[best]["test"]))
    return {
        "published": figures[best],
        **{
            key: by_name[best]["published"]["figures"].get(key) for key in ("minutes", "parameters")
        },
        "theirs": theirs,
        "ours": ours,
        "gain": ours["accuracy"] - figures[best],
        "gain_here": ours["accuracy"] - theirs["accuracy"],
        "time": ratio(theirs["seconds"], ours["seconds"]),
        "faster": ours["seconds"] < theirs["seconds"],
        "against_published": against_published,
        "against_here": against_here,
        "better": against_published == against_here == "above",
    }


def _account(
    variation: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    test, before = variation["test"], ancestors(variation, by_name)
    return {
        "name": variation["name"],
        "model": variation["model"],
        "parameters": variation["parameters"],
        "accuracy": test["accuracy"],
        "interval": test["seed_interval"] or test["image_interval"],
        "seconds": sum(one["train_seconds"] for one in [variation, *before]),
        "after": [one["name"] for one in before],
    }
