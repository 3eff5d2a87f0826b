"""Summaries of earlier versions, with what those did not write."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyscope.data.balance import is_unbalanced
from tinyscope.data.review import NOT_REVIEWED
from tinyscope.diagnosis.learning_curves import only_guesses
from tinyscope.evaluation.comparison import LEVEL
from tinyscope.evaluation.weak_classes import weak_classes
from tinyscope.plan.recipe import Recipe
from tinyscope.report.stored_matrices import restored


def upgraded(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary as this version would have made it, as far as it can be known.

    What an earlier version did not measure is None; the summary of this version comes back equal.
    Confusion matrices are whole, also those of a file that was read back.

    Args:
        summary: with `summary.PARTS` at least.
    """
    train = next(part["counts"] for part in summary["data"]["splits"] if part["split"] == "train")
    findings = summary.get("findings", [])
    variations = [_variation(one, train, findings) for one in restored(summary)["variations"]]
    first_kept = {
        "left_out": [],
        "validation_came_with_data": False,
        "test_came_with_data": None,
        "run_in": "",
    }
    review = {**NOT_REVIEWED._asdict(), "gone": 0, **summary["data"]["review"]}
    later: dict[str, Any] = {"findings": [], "suggestions": []}
    comparisons = {"one_key": [], **summary["comparisons"]}
    return {
        **later,
        **summary,
        "study": {**first_kept, **summary["study"]},
        "recommended": _recommended(summary["recommended"], variations),
        "data": {**summary["data"], "review": review, "unbalanced": is_unbalanced(train)},
        "variations": variations,
        "comparisons": comparisons,
        "improvements": [_step(one, comparisons) for one in summary.get("improvements", ())],
    }


def _recommended(
    before: Mapping[str, Any], variations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What was chosen.

    Instead of its standing there were words for two of them, or none. The classes with the lowest
    F1 were called the weakest, and those with the highest the strongest, whatever chance explains.
    """
    before = {**before, "seed_interval": _of_some_width(before["seed_interval"])}
    before.pop("strongest_classes", None)
    if any("low" not in row for row in before["weakest_classes"]):
        chosen = next(one for one in variations if one["name"] == before["variation"])
        before["weakest_classes"] = weak_classes(chosen["test"]["per_class"])
    if "standing" in before:
        return before
    told = {key: value for key, value in before.items() if key not in ("diverged", "guesses")}
    standing = "unchosen" if before["val_accuracy"] is None else "recommended"
    if before.get("guesses"):
        standing = "guesses"
    if before.get("diverged"):
        standing = "diverged"
    return {**told, "standing": standing}


def _variation(
    before: Mapping[str, Any], train_counts: Sequence[int], findings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    found = {"published": None, "start_from": None, **before}
    found["recipe"] = {**Recipe().as_dict(), **before["recipe"]}
    if any("guesses" not in run for run in before["runs"]):
        found["runs"] = _with_guesses(found, train_counts, findings)
    for split in ("validation", "test"):
        if (block := before[split]) is not None:
            seed_interval = _of_some_width(block["seed_interval"])
            found[split] = {**block, "seed_interval": seed_interval}
    leaks = before["test"]["leaks"]
    if leaks is not None:
        later = dict.fromkeys(("lowest_seed_accuracy_without", "image_interval_without"))
        found["test"]["leaks"] = {**later, **leaks}
    return found


def _with_guesses(
    variation: Mapping[str, Any],
    train_counts: Sequence[int],
    findings: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The runs of a variation, each with whether it only guesses.

    The confusion matrix is that of the lowest seed; of the others it was told together, where it
    was a finding.
    """
    first, *others = variation["runs"]
    shown = variation["validation"]
    guesses = shown is not None and only_guesses(
        first, variation["recipe"], shown["confusion"], train_counts
    )
    told = any(
        one["code"] == "TS113" and item["variation"] == variation["name"]
        for one in findings
        for item in one["items"]
    )
    return [{**first, "guesses": guesses}, *({**run, "guesses": told} for run in others)]


def _step(before: Mapping[str, Any], comparisons: Mapping[str, Any]) -> dict[str, Any]:
    """What a step has brought; its verdict was not adjusted for the other pairs of models.

    The adjusted p-value is that of the same pair where the summary has it, else Bonferroni's, which
    is never smaller.
    """
    if "adjusted_p_value" in before:
        return dict(before)
    pair = {before["variation"], before["from"]}
    known = (
        row["adjusted_p_value"]
        for row in (*comparisons["validation"], *comparisons["one_key"])
        if {row["first"], row["second"]} == pair
    )
    adjusted = next(known, min(1.0, before["p_value"] * comparisons["pairs"]))
    verdict = "better" if before["val_gain"] > 0 else "worse"
    return {
        **before,
        "adjusted_p_value": adjusted,
        "verdict": verdict if adjusted <= LEVEL else "cannot be told apart",
    }


def _of_some_width(interval: Sequence[float] | None) -> Sequence[float] | None:
    """An interval over seeds; none where all were alike, of which one without width was told."""
    return None if interval is None or interval[0] == interval[1] else interval
