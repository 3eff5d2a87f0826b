"""What the backbone that comes along brings where images are few, beside training from scratch.

    python benchmarks/few_images.py --data cifar10 --out results/DATE_few-images_MACHINE

For each number of images a class and each draw, a study of the tool itself: `--each` images of
every class are drawn from the training split by the draw's number, validation is cut from them, and
every variation is trained on the rest. Which variation counts as the transfer's is chosen on the
drawn images' own validation split; the test images are opened once a run. The same command again
keeps finished runs. From scratch is the recipe `sprint` with as many epochs as so few images need,
at the size of batches that fits them.
"""

import argparse
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from tinyscope.data.catalogue import load
from tinyscope.data.dataset import Splits
from tinyscope.files import write_json
from tinyscope.plan.study import Study
from tinyscope.runs.run import Run
from tinyscope.sweep.listener import Listener
from tinyscope.sweep.local import run_study

WORK = Path("tinyscope-runs", "few-images")
SCRATCH = {20: (60, 32), 100: (40, 50), 500: (20, 125)}
"""Epochs and images a batch from scratch, by images a class; chosen beforehand, not searched."""

VARIATIONS: dict[str, dict[str, Any]] = {
    "logistic regression": {},
    "logistic regression, mirrored": {
        "horizontal_flip": True,
        "feature_views": 2,
        "test_views": "mirrored",
    },
    "logistic regression, mirrored and moved": {
        "horizontal_flip": True,
        "shift": 2,
        "feature_views": 4,
        "test_views": "mirrored-and-moved",
    },
}


class Told(Listener):
    """One line a run."""

    def run_starts(self, run: Run, number: int, of: int) -> None:
        """Names it."""
        print(f"  {run.variation} ({number} of {of})", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--each", type=int, nargs="+", default=list(SCRATCH))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    data = load(asked.data)
    rows = [
        studied(data, each, draw, asked.work) for each in asked.each for draw in range(asked.draws)
    ]
    content = {"benchmark": "few-images", "data": data.name, "rows": rows}
    print(table(content))
    if asked.out:
        write_json(asked.out / "figures.json", content)


def drawn(data: Splits, each: int, draw: int) -> Splits:
    """So many training images of every class, and the test images."""
    chance = np.random.default_rng(draw)
    labels = data.train.labels
    rows = [
        chance.permutation(np.flatnonzero(labels == k))[:each]
        for k in range(len(data.train.class_names))
    ]
    some = data.train.select(np.sort(np.concatenate(rows)), split="train")
    return Splits(f"{data.name}, {each} a class", some, None, data.test)


def studied(data: Splits, each: int, draw: int, work: Path) -> dict[str, Any]:
    """The figures of one draw; what is not finished yet is trained first."""
    epochs, batch = SCRATCH[each]
    scratch = {"recipe": "sprint", "epochs": epochs, "batch_size": batch}
    study = Study(
        name=f"{each}-draw{draw}",
        question=f"What do {each} images a class teach, draw {draw}?",
        recipe="transfer",
        base=False,
        variations={**VARIATIONS, "from scratch": scratch},
        seeds=(0,),
        validation=0.1,
    )
    print(f"{each} images a class, draw {draw}", file=sys.stderr)
    summary = run_study(
        study, drawn(data, each, draw), out=work / study.name, listener=Told()
    ).summary
    return {
        "each": each,
        "draw": draw,
        "variations": {
            one["name"]: {
                "val_accuracy": one["validation"]["accuracy"],
                "test_accuracy": one["test"]["accuracy"],
                "train_seconds": one["train_seconds"],
            }
            for one in summary["variations"]
        },
    }


def chosen(row: dict[str, Any]) -> str:
    """The variation of the transfer that the draw's own validation images choose."""
    transfer = {name: row["variations"][name] for name in VARIATIONS}
    return max(transfer, key=lambda name: transfer[name]["val_accuracy"])


def table(content: dict[str, Any]) -> str:
    """A row for each number of images a class; test accuracies, means over draws."""
    names = [*VARIATIONS, "from scratch"]
    lines = [["images a class", "draws", "chosen by validation", *names, "seconds of the chosen"]]
    lines.append(["---"] * len(lines[0]))
    for each in dict.fromkeys(row["each"] for row in content["rows"]):
        draws = [row for row in content["rows"] if row["each"] == each]
        best = [row["variations"][chosen(row)] for row in draws]
        found = [best, *([row["variations"][name] for row in draws] for name in names)]
        means = [f"{fmean(one['test_accuracy'] for one in column):.1%}" for column in found]
        seconds = f"{fmean(one['train_seconds'] for one in best):.0f}"
        lines.append([str(each), str(len(draws)), *means, seconds])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    main()
