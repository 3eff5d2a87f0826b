"""Seconds of single training steps of recipes, at each size of image; of two checkouts in turns.

    python benchmarks/steps.py sprint quick standard
    python benchmarks/steps.py standard --against ../tinyscope-before --rounds 5

A step is what a training spends on one batch: drawing and augmenting it, choosing its harder part
where the recipe does, forward and backward pass, the optimizer. Steps are taken from where the
schedule has them, so that one recipe has a row for each of its training sizes. A row's figure is
the median over means of four neighbouring steps, for what happens in every fourth step alone is
part of a training too; the first eight of each size, which prepare kernels and memory, are left
out. "Training" is what all epochs come to at these medians.

Images are random: their content does not change the time, but their number decides about what is
left of a batch, so it is CIFAR-10's unless `--images` tells another.

With `--against`, the checkout in that folder is timed in turns with this one, each time in a new
process, and the ratio is of neighbouring processes: shared machines get slower and faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tinyscope.errors import TinyscopeError
from tinyscope.plan.recipe_book import recipe
from tinyscope.threads import prepare

HERE = Path(__file__).resolve()
SOURCES = HERE.parents[1] / "src"
LEFT_OUT = 8
IN_A_MEAN = 4


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--side", type=int, default=32, help="of the square images, in pixels")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=24, help="timed, of each size")
    parser.add_argument("--against", type=Path, help="another checkout of Tinyscope")
    parser.add_argument("--rounds", type=int, default=1, help="processes of each checkout")
    asked = parser.parse_args(arguments)
    if asked.steps < IN_A_MEAN:
        parser.error(f"--steps is {asked.steps}; expected {IN_A_MEAN} or more.")
    try:
        for name in asked.recipes:
            recipe(name)
    except TinyscopeError as error:
        parser.error(str(error))
    checkouts = {"this": SOURCES}
    if asked.against is not None:
        checkouts = {"other": asked.against.resolve() / "src", **checkouts}
        if not (checkouts["other"] / "tinyscope").is_dir():
            parser.error(f"--against is {asked.against}; expected a folder with src/tinyscope.")
    for name in asked.recipes:
        job = {key: getattr(asked, key) for key in ("images", "side", "classes", "steps")}
        rounds = [
            {which: timed(sources, job | {"recipe": name}) for which, sources in checkouts.items()}
            for _ in range(asked.rounds)
        ]
        print("\n".join(table(name, rounds)), flush=True)


def timed(sources: Path, job: dict[str, Any]) -> list[dict[str, Any]]:
    """What `measured` answers in a new process with the package of these sources."""
    done = subprocess.run(
        [sys.executable, str(HERE), "--worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(sources)},
    )
    if done.returncode:
        raise SystemExit(f"{job['recipe']}, {sources}: {done.stderr.strip()[-2000:]}")
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def table(name: str, rounds: Sequence[dict[str, list[dict[str, Any]]]]) -> Iterator[str]:
    """Lines: each size of image and the whole training, medians over rounds; with two, ratios."""
    checkouts = list(rounds[0])
    yield f"{name}: " + ", ".join(f"{which} checkout" for which in checkouts)
    for place, row in enumerate(rounds[0][checkouts[0]]):
        ms = [[1e3 * each[which][place]["seconds"] for which in checkouts] for each in rounds]
        pixels = f"{row['pixels']} pixels, {row['steps']:,} steps"
        yield _line(pixels, ms, "ms")
    seconds = [
        [sum(row["steps"] * row["seconds"] for row in each[which]) for which in checkouts]
        for each in rounds
    ]
    yield _line("training", seconds, "s")


def _line(what: str, figures: Sequence[Sequence[float]], unit: str) -> str:
    medians = [statistics.median(each) for each in zip(*figures, strict=True)]
    line = f"  {what}: " + ", ".join(f"{each:,.1f} {unit}" for each in medians)
    if len(medians) == 1:
        return line
    ratios = sorted(now / before for before, now in figures)
    return (
        f"{line}; this / other {statistics.median(ratios):.3f} ({ratios[0]:.3f} to "
        f"{ratios[-1]:.3f}, {len(ratios)} rounds)"
    )


def measured(job: dict[str, Any]) -> list[dict[str, Any]]:
    """`pixels`, `steps` of a training, and `seconds` of one, for each size in the recipe's order.

    Sizes that a recipe returns to without another between are one row.
    """
    import numpy as np

    from tinyscope.data.dataset import ImageDataset, Splits
    from tinyscope.models.generator import borrowed_generator
    from tinyscope.training import machine
    from tinyscope.training.allocator import freed_memory_kept
    from tinyscope.training.schedules import size_share
    from tinyscope.training.trainer import Trainer

    random = np.random.default_rng(0)
    side, classes = job["side"], job["classes"]
    images = random.integers(0, 256, (job["images"], side, side, 3), dtype=np.uint8)
    labels = random.integers(0, classes, job["images"])
    names = tuple(f"class {number}" for number in range(classes))
    data = Splits("random", ImageDataset(images, labels, names, "train", "random"))
    device = machine.device()
    with borrowed_generator(device), freed_memory_kept():
        trainer = Trainer(data, recipe(job["recipe"]))
        trainer.network.train()
        each_epoch = trainer.steps_per_epoch
        stages: list[dict[str, Any]] = []
        for number in range(trainer.recipe.epochs * each_epoch):
            pixels = round(side * size_share(trainer.recipe, number, steps_per_epoch=each_epoch))
            if not stages or stages[-1]["pixels"] != pixels:
                stages.append({"pixels": pixels, "first": number, "steps": 0})
            stages[-1]["steps"] += 1
        return [
            {
                "pixels": stage["pixels"],
                "steps": stage["steps"],
                "seconds": _seconds(trainer, stage["first"], stage["steps"], job["steps"]),
            }
            for stage in stages
        ]


def _seconds(trainer: Any, first: int, of: int, steps: int) -> float:
    """A step's, of those from `first` on that the stage has, again and again where it has few."""
    from tinyscope.training.stopwatch import Stopwatch

    batches: Iterator[Any] = iter(())
    times: list[float] = []
    for number in range(LEFT_OUT + steps):
        watch = Stopwatch(trainer.device)
        with watch.clock("step"):
            batch = next(batches, None)
            if batch is None:
                batches = trainer.batches(1)
                batch = next(batches)
            trainer.step(*batch, first + number % of)
        times.append(watch.seconds["step"])
    timed = times[LEFT_OUT:]
    means = [
        statistics.fmean(timed[start : start + IN_A_MEAN])
        for start in range(0, len(timed) - IN_A_MEAN + 1, IN_A_MEAN)
    ]
    return statistics.median(means)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        prepare()  # as the command line does
        print(json.dumps(measured(json.load(sys.stdin))))
    else:
        main()
