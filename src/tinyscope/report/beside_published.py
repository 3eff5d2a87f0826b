"""What others published of a variation, beside what was measured here."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tinyscope.diagnosis.learning_curves import learnt
from tinyscope.plan.published_figures import PublishedFigures
from tinyscope.report.templating import (
    as_published,
    between,
    count,
    counted,
    duration,
    percent,
    points,
)
from tinyscope.report.told_apart import position
from tinyscope.report.whole_cost import WholeCost

LARGEST = 10
"""Mistakes of two confusion matrices that are compared, at most."""

_MINUS = "\N{MINUS SIGN}"


def published_block(
    found: PublishedFigures | None, class_names: Sequence[str]
) -> dict[str, Any] | None:
    """What a summary holds of what was published of one variation; None where nothing was.

    Args:
        found: the variation's entry in `Study.published_figures`.
        class_names: of the data. Tables that speak of other classes belong to other data, and are
            left out.

    Returns:
        "figures" and "differs" as they are given; "curves", a row for each epoch, from the first;
        "per_class", a row for each class that was published, in the order of the classes;
        "confusion", counts of true by predicted class, K x K, or empty.
    """
    if found is None:
        return None
    known = set(class_names)
    named = {one for row in found.confusion.values() for one in row} | set(found.confusion)
    return {
        "figures": dict(found.figures),
        "differs": list(found.differs),
        "curves": sorted((dict(row) for row in found.curves), key=lambda row: row["epoch"]),
        "per_class": [
            {"class": name, **found.per_class[name]}
            for name in class_names
            if name in found.per_class
        ]
        if known >= set(found.per_class)
        else [],
        "confusion": [
            [found.confusion.get(true, {}).get(called, 0) for called in class_names]
            for true in class_names
        ]
        if named and known >= named
        else [],
    }


def figure_rows(variation: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each published figure of a variation, with the measured one, as people read them.

    Args:
        variation: of a summary, with "whole", its `whole_cost.WholeCost`: a time is that of all the
            training behind its weights.

    Returns:
        Dictionaries with "title", "published", "measured" ("–" where it was not), "interval" (95%,
        of the measured figure) and "interval_of" (what it is over), both empty but for accuracies,
        "difference" (measured less published), "verdict" (of the test accuracy: "above" or "below"
        only where no interval holds the published one) and "condition" (what the measured figure is
        of, or why there is none).
    """
    rows = []
    blank = dict.fromkeys(("interval", "interval_of", "verdict", "condition"), "")
    for key, figure in (variation["published"] or {"figures": {}})["figures"].items():
        title, make = _ROWS[key]
        rows.append({"title": title} | blank | make(variation, key, figure))
    return rows


def _of_split(
    variation: Mapping[str, Any], key: str
) -> tuple[Mapping[str, Any] | None, str, str, Sequence[float]]:
    """The split's block, what it is, the words for its interval, and that interval."""
    name = "test" if key.startswith("test") else "validation"
    block = variation[name]
    if block is None:
        return None, "the study keeps no validation images", "", ()
    condition = f"{name} split, {counted(block['images'], 'image')}, {_seeds(variation)}"
    if block["seed_interval"] is not None:
        return block, condition, "95% over seeds", block["seed_interval"]
    return block, condition, "95% over images", block["image_interval"]


def _seeds(variation: Mapping[str, Any]) -> str:
    seeds = len(variation["seeds"])
    return "one seed" if seeds == 1 else f"{seeds} seeds"


def _accuracy(variation: Mapping[str, Any], key: str, figure: float) -> dict[str, str]:
    block, condition, kind, interval = _of_split(variation, key)
    if block is None:
        return _unmeasured(as_published(figure), condition)
    verdict = ""
    if key == "test_accuracy":
        low, high = interval
        verdict = {
            "above": "the measured one is above",
            "below": "the measured one is below",
            "level": "the published one is within the measured interval"
            if low <= figure <= high
            else "the choice of test images alone explains the difference",
        }[position(block, [(figure, figure)])]
    return {
        "published": as_published(figure),
        "measured": percent(block["accuracy"], 2),
        "interval": between(interval, 2),
        "interval_of": kind,
        "difference": f"{points(block['accuracy'] - figure)} points",
        "verdict": verdict,
        "condition": condition,
    }


def _loss(variation: Mapping[str, Any], key: str, figure: float) -> dict[str, str]:
    block, condition, _, _ = _of_split(variation, key)
    if block is None:
        return _unmeasured(f"{figure:g}", condition)
    return {
        "published": f"{figure:g}",
        "measured": f"{block['loss']:.4f}",
        "difference": f"{block['loss'] - figure:+.4f} nats".replace("-", _MINUS),
        "condition": condition,
    }


def _train_accuracy(variation: Mapping[str, Any], key: str, figure: float) -> dict[str, str]:
    seen = learnt(variation)
    if seen is None:
        return _unmeasured(as_published(figure), "no epoch was recorded beside a validation split")
    by_epochs = variation["recipe"]["classifier"] == "dense"
    when = "while it learnt" if by_epochs else "once it was fitted"
    return {
        "published": as_published(figure),
        "measured": percent(seen.train_accuracy, 2),
        "difference": f"{points(seen.train_accuracy - figure)} points",
        "condition": f"{when}, {_seeds(variation)}",
    }


def _parameters(variation: Mapping[str, Any], key: str, figure: float) -> dict[str, str]:
    more = variation["parameters"] - round(figure)
    return {
        "published": count(figure),
        "measured": count(variation["parameters"]),
        "difference": f"{more:+,}".replace("-", _MINUS) if more else "the same",
    }


def _epochs(variation: Mapping[str, Any], key: str, figure: float) -> dict[str, str]:
    run = variation["epochs_run"]
    least, most = min(run), max(run)
    more = fmean(run) - figure
    return {
        "published": count(figure),
        "measured": count(least) if least == most else f"{least} to {most}",
        "difference": f"{more:+.3g}".replace("-", _MINUS) if more else "the same",
    }


def _minutes(variation: Mapping[str, Any], key: str, figure: float) -> dict[str, str]:
    whole: WholeCost = variation["whole"]
    before = f"; with {', '.join(whole.after)}, from which it goes on" if whole.after else ""
    return {
        "published": duration(60 * figure),
        "measured": duration(whole.seconds),
        "difference": ratio(60 * figure, whole.seconds),
        "condition": f"this machine, {_seeds(variation)}{before}",
    }


def ratio(seconds: float, other: float) -> str:
    """How `other` compares with `seconds`: "2.5 times as fast", "1.2 times as long"."""
    if not seconds or not other:
        return "–"
    faster = seconds / other
    text = f"{max(faster, 1 / faster):.3g}"
    if text == "1":
        return "as long"
    return f"{text} times as {'fast' if faster > 1 else 'long'}"


def _unmeasured(published: str, condition: str) -> dict[str, str]:
    return {"published": published, "measured": "–", "difference": "–", "condition": condition}


_ROWS = {
    "test_accuracy": ("Test accuracy", _accuracy),
    "test_loss": ("Test loss", _loss),
    "val_accuracy": ("Validation accuracy", _accuracy),
    "val_loss": ("Validation loss", _loss),
    "train_accuracy": ("Training accuracy", _train_accuracy),
    "parameters": ("Parameters", _parameters),
    "epochs": ("Epochs", _epochs),
    "minutes": ("Training time", _minutes),
}
"""What each of `plan.published_figures.FIGURES` is called, and what makes its row."""


def differences(variations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where published methods differ from ours: each sentence once, the most general first.

    To what the study says is added how many seeds figures here are means of, where it is several.

    Returns:
        Dictionaries with "sentence" and "of": the variations that it was said of, or none where it
        was said of all of which something was published.
    """
    published = [one for one in variations if one["published"] is not None]
    said: dict[str, list[str]] = {}
    for one in published:
        seeds = len(one["runs"])
        means = [f"Figures here are means over {seeds} seeds."] if seeds > 1 else []
        for sentence in [*one["published"]["differs"], *means]:
            said.setdefault(sentence, []).append(one["name"])
    rows = [
        {"sentence": sentence, "of": [] if len(names) == len(published) else names}
        for sentence, names in said.items()
    ]
    return sorted(rows, key=lambda row: -len(said[row["sentence"]]))


def curve_rows(variation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table behind published and measured curves: a row for each epoch that either has.

    Returns:
        Dictionaries with "epoch" and, for "accuracy", "loss", "val_accuracy" and "val_loss", a
        pair: published, and measured by the lowest seed; None where there is none.
    """
    theirs = {row["epoch"]: row for row in (variation["published"] or {"curves": []})["curves"]}
    if not theirs:
        return []
    ours = {row["epoch"]: row for row in variation["runs"][0]["history"]}
    keys = {"accuracy": "train_accuracy", "loss": "train_loss"}
    return [
        {"epoch": epoch}
        | {
            key: (theirs.get(epoch, {}).get(key), ours.get(epoch, {}).get(keys.get(key, key)))
            for key in ("accuracy", "loss", "val_accuracy", "val_loss")
        }
        for epoch in sorted({*theirs, *ours})
    ]


def mistakes(variation: Mapping[str, Any], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """The largest cells beside the diagonal of a published and the measured confusion matrix.

    Returns:
        At most `LARGEST` dictionaries, those first of which either matrix has the larger share:
        "true", "predicted" (names), "published" and "measured" (images), "published_share" and
        "measured_share" (of the true class's images); none without a published matrix.
    """
    theirs = (variation["published"] or {"confusion": []})["confusion"]
    ours = variation["test"]["confusion"]
    rows = []
    for true, name in enumerate(class_names if theirs else ()):
        totals = sum(theirs[true]), sum(ours[true])
        for called, other in enumerate(class_names):
            counts = theirs[true][called], ours[true][called]
            if called == true or not any(counts):
                continue
            shares = [n / total if total else 0.0 for n, total in zip(counts, totals, strict=True)]
            rows.append(
                {
                    "true": name,
                    "predicted": other,
                    "published": counts[0],
                    "measured": counts[1],
                    "published_share": shares[0],
                    "measured_share": shares[1],
                }
            )
    rows.sort(key=lambda row: -max(row["published_share"], row["measured_share"]))
    return rows[:LARGEST]
