"""How many wrong labels the check finds: mistakes are planted, and it is asked which they are.

    python benchmarks/label_noise.py --data cifar10 --reviews label_reviews_cifar10.csv \
        --out results/DATE_label-noise_MACHINE

Plants nothing, then 1%, 5% and 10% of labels that become any other class, then 5% that become the
class that theirs is confused with most (`--seed` draws which), and each time calls what users call:
networks that answer out of sample, the linear probe, then `label_errors`, which knows neither share
nor kind. Precision and recall count what was planted; the data's own wrong labels count as mistakes
of the check. `--out` gets settings.csv, summary.md, and for every setting a contact sheet of the
first 100 suspects that were not planted.

`--reviews` is a CSV of test images that people looked at: test_index, and votes_given of five; the
label is taken for wrong where fewer than 3 are for it. How well suspicions order them is the area
under the ROC curve, with a bootstrap interval over images (percentiles of 2,000), beside cleanlab's
self-confidence and normalized margin by their formulas on the same probabilities.

What was trained stays in the cache folder: the same command again goes on where it was interrupted.
Seconds are those of the time when it was trained.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.threads import prepare

SETTINGS = (
    ("none", 0.0),
    ("uniform", 0.01),
    ("uniform", 0.05),
    ("uniform", 0.1),
    ("most confused", 0.05),
)
SHOWN = 100
DRAWS = 2000
COLUMNS = (
    *("kind", "rate", "images", "planted", "flagged", "precision", "recall"),
    *("average_precision", "average_precision_self_confidence"),
    *("average_precision_normalized_margin", "best_f1", "estimated_share", "suggested_right"),
    *("accuracy", "probe_accuracy", "seconds", "flop"),
)


@dataclass
class Found:
    """A setting: what was planted, and what the check says."""

    row: dict[str, Any]
    not_planted: np.ndarray
    """The first suspects that were not planted, the most suspicious first."""
    suggested: np.ndarray


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _asked(arguments)
    prepare()
    from tinyscope.data.catalogue import load
    from tinyscope.inspection.label_probabilities import label_probabilities
    from tinyscope.inspection.linear_probe import probe_answers
    from tinyscope.inspection.out_of_sample import out_of_sample
    from tinyscope.training import machine

    data = load(asked.data)
    lines: list[str] = []
    rows = []
    confused: np.ndarray | None = None
    asked.out.mkdir(parents=True, exist_ok=True)
    for kind, rate in SETTINGS:
        print(f"{kind} {rate:g}", file=sys.stderr)
        labels = planted(data.train.labels, kind, rate, confused, seed=asked.seed)
        noisy = replace(data, train=replace(data.train, labels=labels))
        answers = out_of_sample(noisy)
        probe = probe_answers(noisy)
        probabilities = label_probabilities(noisy, answers, probe)
        if kind == "none":
            called = answers.answers["train"].logits.argmax(1)
            confused = most_confused(data.train.labels, called)
            if asked.reviews:
                lines += reviewed(asked.reviews, data.train, data.test, probabilities)
        found = judged(kind, rate, data.train.labels, labels, probabilities["train"])
        found.row["accuracy"] = round(
            float((answers.answers["train"].logits.argmax(1) == data.train.labels).mean()), 4
        )
        found.row["probe_accuracy"] = round(
            float((probe.logits["train"].argmax(1) == data.train.labels).mean()), 4
        )
        found.row["seconds"] = round(answers.seconds + probe.seconds, 1)
        found.row["flop"] = answers.flop + probe.flop
        rows.append(found.row)
        sheet(asked.out / f"{kind.replace(' ', '-')}-{rate:g}.png", data.train, labels, found)
        print(f"  {found.row}", file=sys.stderr)
        with (asked.out / "settings.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    here = machine.environment(machine.device())
    text = summary(rows, lines, data, answers, here, seed=asked.seed)
    (asked.out / "summary.md").write_text(text, encoding="utf-8")
    print(text)


def planted(
    true: np.ndarray, kind: str, rate: float, confused: np.ndarray | None, *, seed: int
) -> np.ndarray:
    """Labels of which exactly a share is wrong; the same ones at every call with one seed."""
    random = np.random.default_rng(seed)
    rows = random.permutation(len(true))[: round(rate * len(true))]
    labels, classes = true.copy(), int(true.max()) + 1
    if kind == "uniform":
        labels[rows] = (labels[rows] + random.integers(1, classes, len(rows))) % classes
    elif kind == "most confused":
        assert confused is not None
        labels[rows] = confused[labels[rows]]
    return labels


def most_confused(labels: np.ndarray, called: np.ndarray) -> np.ndarray:
    """For each class, the other one that its images are called most often."""
    from tinyscope.evaluation.metrics import confusion_matrix

    counts = confusion_matrix(called, labels, classes=int(labels.max()) + 1)
    np.fill_diagonal(counts, -1)
    return counts.argmax(1)


def cleanlab_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Its label quality scores, turned about so that the highest is the most suspicious.

    As cleanlab 2.9 documents them (`rank.get_self_confidence_for_each_label` and
    `get_normalized_margin_for_each_label`); its other constants do not change the order.
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = -1
    return {"self_confidence": -own, "normalized_margin": others.max(1) - own}


def judged(
    kind: str, rate: float, true: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> Found:
    """What the check says of the labels, counted."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    from tinyscope.inspection.label_errors import label_errors

    found = label_errors(labels, probabilities)
    wrong = labels != true
    hit = found.wrong & wrong
    row: dict[str, Any] = {
        "kind": kind,
        "rate": rate,
        "images": len(labels),
        "planted": int(wrong.sum()),
        "flagged": int(found.wrong.sum()),
        "estimated_share": round(found.share, 5),
    }
    if wrong.any():
        row["precision"] = round(int(hit.sum()) / max(1, int(found.wrong.sum())), 4)
        row["recall"] = round(int(hit.sum()) / int(wrong.sum()), 4)
        row["average_precision"] = round(float(average_precision_score(wrong, found.suspicion)), 4)
        for name, score in cleanlab_scores(labels, probabilities).items():
            row[f"average_precision_{name}"] = round(
                float(average_precision_score(wrong, score)), 4
            )
        precision, recall, _ = precision_recall_curve(wrong, found.suspicion)
        both = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        row["best_f1"] = round(float(both.max()), 4)
        row["suggested_right"] = round(float((found.suggested == true)[hit].mean()), 4)
    order = np.argsort(-found.suspicion, kind="stable")
    return Found(row, order[~wrong[order]][:SHOWN], found.suggested)


def reviewed(path: Path, train: Any, test: Any, by_split: Mapping[str, np.ndarray]) -> list[str]:
    """Lines on how well the test images that people looked at are ordered."""
    from sklearn.metrics import roc_auc_score

    from tinyscope.inspection.label_errors import label_errors

    with path.open(encoding="utf-8", newline="") as file:
        votes = [(int(r["test_index"]), int(r["votes_given"])) for r in csv.DictReader(file)]
    rows = np.array([index for index, _ in votes])
    wrong = np.array([given < 3 for _, given in votes])
    probabilities = by_split["test"]
    known = label_errors(train.labels, by_split["train"]).mislabelled
    scores = {
        "tinyscope": label_errors(test.labels, probabilities, mislabelled=known).suspicion,
        **cleanlab_scores(test.labels, probabilities),
    }
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(rows), len(rows)) for _ in range(DRAWS)]
    draws = [draw for draw in draws if 0 < wrong[draw].sum() < len(draw)]
    areas = {
        name: np.array([roc_auc_score(wrong[draw], score[rows][draw]) for draw in draws])
        for name, score in scores.items()
    }
    called = probabilities.argmax(1)
    lines = [
        f"Test images that people looked at: {len(rows)}, of which {wrong.sum()} are wrong; "
        f"accuracy on all {len(test)} test images {(called == test.labels).mean():.2%}.",
        "",
        "| order by | area under ROC | 95% |",
        "| --- | --- | --- |",
    ]
    for name, score in scores.items():
        low, high = np.percentile(areas[name], [2.5, 97.5])
        area = roc_auc_score(wrong, score[rows])
        lines.append(f"| {name} | {area:.3f} | {low:.3f} to {high:.3f} |")
    for name in list(scores)[1:]:
        low, high = np.percentile(areas["tinyscope"] - areas[name], [2.5, 97.5])
        lines.append(f"| tinyscope less {name} | | {low:+.3f} to {high:+.3f} |")
    return lines


def sheet(path: Path, part: Any, labels: np.ndarray, found: Found) -> None:
    """The first suspects that were not planted, with given and suggested class."""
    from tinyscope.report.contact_sheet import Entry, write_contact_sheet

    names = part.class_names
    entries = [
        Entry([part.images[row]], f"{names[labels[row]]}: {names[found.suggested[row]]}?")
        for row in found.not_planted
    ]
    write_contact_sheet(path, entries)


def summary(
    rows: list[dict[str, Any]],
    lines: list[str],
    data: Any,
    answers: Any,
    here: dict[str, Any],
    *,
    seed: int,
) -> str:
    """The table of all settings, and what it rests on."""
    head = (
        *("planted", "share", "flagged", "precision", "recall", "average precision"),
        *("self-confidence's", "normalized margin's", "expected share", "seconds", "PFLOP"),
    )
    table = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows:
        shares = [
            f"{row[key]:.3f}" if key in row else "–"
            for key in COLUMNS
            if key.startswith(("precision", "recall", "average"))
        ]
        cells = [row["kind"], f"{row['rate']:.0%}", f"{row['flagged']:,}", *shares]
        cells += [f"{row['estimated_share']:.2%}", f"{row['seconds']:.0f}"]
        table.append(f"| {' | '.join([*cells, format(row['flop'] / 1e15, '.4f')])} |")
    conditions = (
        f"{data.name}: {len(data.train):,} training images, wrong labels drawn with seed {seed}; "
        f"{answers.folds} networks of "
        f"{answers.recipe.model} {list(answers.recipe.widths)}, {answers.recipe.epochs} epochs, "
        "and a linear probe of the backbone that comes along. Seconds of training and answering, "
        "where features were kept those that they once took. "
        f"{here['cpu']}, {here['cores']} cores, {answers.recipe.precision} on {here['device']}, "
        f"torch {here['torch']}."
    )
    return "\n".join([*table, "", conditions, "", *lines, ""])


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="cifar10", help="a data set with trustworthy labels")
    parser.add_argument("--reviews", type=Path, help="CSV of test labels that people looked at")
    parser.add_argument("--seed", type=int, default=0, help="which labels become wrong (default 0)")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and pictures")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
