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
from typing import Any

import few_images_table
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
    "fine-tuning": {"recipe": "fine-tuning"},
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
    print(few_images_table.table(content))
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
        variations={**VARIATIONS, few_images_table.SCRATCH: scratch},
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


if __name__ == "__main__":
    main()
