"""How soon recipes reach their accuracy, beside Keras training a published network.

    python benchmarks/time_to_accuracy.py sprint quick --seeds 3 --data cifar10 \
        --keras .venv-keras/bin/python --out results/DATE_time-to-accuracy_MACHINE

Each recipe is a study of the tool itself: every training image, no validation, seeds from 0 on, in
a folder below `--work`. So the same command again goes on where it was interrupted, and keeps
finished runs, whose test images were opened once. The yardstick is Keras 3 on TensorFlow, in a
process of its own, with model 3 of Kossowska 2021 as published: 15 epochs of batches of 32, SGD
with rate 0.01 and momentum 0.9, float32, every default of Keras. It runs once, between the first
half of the recipes and the second (first, where there is one recipe), so that a machine that gets
slower or faster meanwhile favours neither side; `--reuse-yardstick` takes the one that the folder
holds instead, and its time stays on record. Without `--keras`, the yardstick's figures are "not
measured".

`--out` gets figures.json, the runs' own records and a README.md with the table, whose prose is then
yours; `python benchmarks/record.py RESULTS_FOLDER` writes the table anew from figures.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import record
import time_to_accuracy_table

from tinyscope.errors import TinyscopeError
from tinyscope.files import read_json, write_json
from tinyscope.plan.recipe_book import RECIPES, recipe
from tinyscope.plan.study import Study
from tinyscope.threads import prepare

if TYPE_CHECKING:
    from tinyscope.data.dataset import Splits

HERE = Path(__file__).parent
WORK = Path("tinyscope-runs", "time-to-accuracy")
NETWORK, EPOCHS = "kossowska-3", 15
KERAS_SGD = {"learning_rate": 0.01, "momentum": 0.9, "batch": 32}
SAME_MACHINE = ("cpu", "cores", "device_name")
"""What has to be equal in two descriptions of a machine for their seconds to be compared."""


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _asked(arguments)
    from tinyscope.data.catalogue import load
    from tinyscope.data.splitting import complete
    from tinyscope.training import machine

    device = machine.device()
    if asked.keras and device.type != "cpu":
        raise SystemExit("Keras trains on the processor here: set TINYSCOPE_DEVICE=cpu as well.")
    here = machine.environment(device)
    data = load(asked.data)
    splits = complete(data, validation=0.0, seed=0)
    work = asked.work / data.name
    half = len(asked.recipes) // 2
    recipes = [trained(name, data, asked.seeds, work, here) for name in asked.recipes[:half]]
    keras = yardstick(asked.keras, splits, work, here, reuse=asked.reuse_yardstick)
    recipes += [trained(name, data, asked.seeds, work, here) for name in asked.recipes[half:]]
    content = {
        "benchmark": "time-to-accuracy",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "name": splits.name,
            "fingerprint": splits.fingerprint,
            **{part.split: len(part) for part in splits.parts()},
        },
        "machine": here,
        "recipes": recipes,
        "yardstick": keras,
    }
    print(time_to_accuracy_table.table(content))
    if asked.out:
        keep(content, work, asked.out)


def trained(
    name: str, data: "Splits", seeds: int, work: Path, here: dict[str, Any]
) -> dict[str, Any]:
    """A recipe's figures, run by run; what is not finished yet is trained first."""
    from tinyscope.models.views import VIEWS
    from tinyscope.sweep.local import Listener, run_study

    class Told(Listener):
        def run_starts(self, run: Any, number: int, of: int) -> None:
            print(f"{name}, seed {run.seed} ({number} of {of} to train)", file=sys.stderr)

        def epoch(self, run: Any, row: dict[str, Any]) -> None:
            done = f"  epoch {row['epoch']} of {run.recipe.epochs}: {row['seconds']:.1f} s"
            print(f"{done}, training accuracy {row['train_accuracy']:.1%}", file=sys.stderr)

    study = Study(
        name=name,
        question=f"How soon does {name} reach its accuracy, and which?",
        data=data.name,
        recipe=name,
        seeds=tuple(range(seeds)),
        validation=0.0,
    )
    summary = run_study(study, data, out=work / name, listener=Told()).summary
    (variation,) = summary["variations"]
    for each in summary["environments"]:
        if not same_machine(each["machine"], here):
            raise SystemExit(
                f"{work / name}: run {each['runs'][0]} was trained on another machine "
                f"({each['machine']['cpu']}, {each['machine']['cores']} cores); seconds of two "
                "machines do not compare. Choose another folder with --work."
            )
    return {
        "recipe": name,
        "model": variation["model"],
        "parameters": variation["parameters"],
        "views": VIEWS[variation["recipe"]["test_views"]],
        "precision": variation["recipe"]["precision"],
        "runs": [
            {
                "name": run["name"],
                "seed": run["seed"],
                "trained": run["test_openings"][0]["time"],
                "stopped": run["stopped"],
                "train_seconds": run["train_seconds"],
                "train_cpu_seconds": run["train_cpu_seconds"],
                "train_flop": run["train_flop"],
                "test_accuracy": run["test_accuracy"],
                "one_view_accuracy": run["one_view_accuracy"]["test"],
                "test_openings": len(run["test_openings"]),
            }
            for run in variation["runs"]
        ],
    }


def same_machine(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether seconds compare; how many cores could be used counts where both descriptions tell."""
    usable = {each["usable_cores"] for each in (one, other) if "usable_cores" in each}
    return all(one[key] == other[key] for key in SAME_MACHINE) and len(usable) <= 1


def yardstick(
    python: str | None, splits: "Splits", work: Path, here: dict[str, Any], *, reuse: bool
) -> dict[str, Any] | None:
    """What Keras took and reached on the same images; None where it was not asked for."""
    if python is None and not reuse:
        return None
    from tinyscope.models import published

    assert splits.test is not None
    asked = {
        "network": NETWORK,
        "epochs": EPOCHS,
        **KERAS_SGD,
        "fingerprint": splits.fingerprint,
        "machine": {key: here[key] for key in SAME_MACHINE},
    }
    path = work / "yardstick.json"
    if reuse:
        known: dict[str, Any] = read_json(path)
        if {key: known[key] for key in asked} != asked:
            raise SystemExit(f"{path} is of other images or of another machine: it cannot be used.")
        return known
    print(f"Keras, {NETWORK}: {EPOCHS} epochs", file=sys.stderr)
    # The process gets the threads that it takes by itself, whatever ours were told.
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    }
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=work) as folder:
        arrays = Path(folder, "images.npz")
        np.savez(
            arrays,
            train_images=splits.train.images,
            train_labels=splits.train.labels,
            test_images=splits.test.images,
            test_labels=splits.test.labels,
        )
        job = {
            "layers": list(published.KOSSOWSKA_3),
            "classes": len(splits.train.class_names),
            "epochs": EPOCHS,
            **KERAS_SGD,
            "data": str(arrays),
        }
        done = subprocess.run(
            [str(python), str(HERE / "keras_yardstick.py")],
            input=json.dumps(job),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
        )
    if done.returncode:
        raise SystemExit(f"keras_yardstick.py ended with status {done.returncode}; see above.")
    found = {**asked, **json.loads(done.stdout.splitlines()[-1]), "train_flop": _flop(splits)}
    write_json(path, found)
    return found


def _flop(splits: "Splits") -> int:
    """Of the yardstick's training, by the formula by which the recipes' are counted."""
    import torch

    from tinyscope.training.cost import training_flop
    from tinyscope.training.untrained import untrained

    batch = int(KERAS_SGD["batch"])
    like = recipe("keras-sgd").changed({"model": NETWORK, "epochs": EPOCHS, "batch_size": batch})
    with torch.random.fork_rng():
        network, _ = untrained(splits, like)
    return training_flop(
        network,
        like,
        shape=splits.train.preprocessing,
        images=len(splits.train),
        steps_per_epoch=-(-len(splits.train) // batch),
        epochs=EPOCHS,
    )


def keep(content: dict[str, Any], work: Path, out: Path) -> None:
    """Writes figures, the runs' own records and the README of a results folder."""
    for each in content["recipes"]:
        record.copy_records(work / each["recipe"], out / each["recipe"])
    write_json(out / "figures.json", content)
    names = [each["recipe"] for each in content["recipes"]]
    seeds = max(len(each["runs"]) for each in content["recipes"])
    command = f"time_to_accuracy.py {' '.join(names)} --seeds {seeds} --data {work.name}"
    keras = " --keras …" if content["yardstick"] else ""
    record.write_table(out, prose=f"`python benchmarks/{command}{keras}`\n\n")


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipes", nargs="+", choices=tuple(RECIPES), metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--data", default="cifar10", help="a data set's name or path")
    parser.add_argument("--out", type=Path, help="a results folder to write")
    parser.add_argument("--work", type=Path, default=WORK, help="where the trainings are kept")
    keras = parser.add_mutually_exclusive_group()
    keras.add_argument("--keras", metavar="PYTHON", help="one that has requirements-keras.txt")
    keras.add_argument("--reuse-yardstick", action="store_true", help="that of an earlier call")
    asked = parser.parse_args(arguments)
    if asked.seeds < 1 or len(set(asked.recipes)) < len(asked.recipes):
        parser.error("one seed at least, and every recipe once")
    if asked.keras and not shutil.which(asked.keras):
        parser.error(f"--keras {asked.keras}: there is no such program")
    return asked


if __name__ == "__main__":
    prepare()  # as the command line does, before torch is loaded
    try:
        main()
    except TinyscopeError as error:
        raise SystemExit(f"Error: {error}") from None
