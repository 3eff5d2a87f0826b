"""Faults of known kinds planted into real images, and how many of them `tinyscope data` finds.

    python benchmarks/planted_faults.py --data cifar10 --out planted
    python benchmarks/planted_faults.py --data cifar10 --out planted-shortcuts --shortcuts

Draws images of a data set at random and writes them as a folder of class folders, `--out`/set, with
`--count` faults of every kind at random places and strengths, no two of different kinds in one
image. Then runs `tinyscope data` on it and compares. `--out` gets

- set/: the images; truth.csv: what was planted, a row a fault (of a shortcut, a row an image)
- sheets/: for every kind, what was there before beside what is there now
- answer.json and answer/: what the command said; faults.csv: what became of every fault;
  named_untouched.csv: images named without cause; summary.md

Faults that nobody could see are not planted: pictures that are soft before they are blurred, that
show too little to tell a copy from a picture that is merely alike, that are dark before they are
darkened. Images that are named without cause are an upper bound, because real data have faults of
their own: CIFAR-10 holds copies and wrong labels that nobody planted.

Shortcuts (a watermark, a frame, another encoder, a camera's EXIF, a file name) are asked for by
name, or all together, in a set of their own: they would mask other faults of their classes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plant.contact_sheet import write_sheets
from plant.fault_set import draw, plant, read_truth, write_truth
from plant.score import score, summary, write_csv
from plant.shortcuts import SHORTCUTS

TINYSCOPE = (sys.executable, "-c", "from tinyscope.cli import main; main()")
"""The command as it is installed for this interpreter."""


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _asked(arguments)
    folder, truth = asked.out / "set", asked.out / "truth.csv"
    if not asked.answer:
        _write_set(asked, folder, truth)
    if asked.plant_only:
        return
    if asked.answer:
        answer, took = json.loads(asked.answer.read_text(encoding="utf-8")), "was given"
    else:
        answer, took = _answer(asked, folder)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    not_asked = ("TS015",) if asked.no_training else ()
    result = score(read_truth(truth), answer, files, not_asked=not_asked)
    write_csv(result, asked.out)
    notes = (
        f"{len(files):,} files.",
        f"The answer {took}; {os.cpu_count()} processors.",
        f"Planted with: {_as_planted(asked.out)}.",
    )
    text = summary(result, notes)
    (asked.out / "summary.md").write_text(text, encoding="utf-8")
    print(text)


def _write_set(asked: argparse.Namespace, folder: Path, truth: Path) -> None:
    try:
        source = draw(asked.data, train=asked.train, test=asked.test, seed=asked.seed)
        made = plant(
            source,
            folder,
            seed=asked.seed,
            count=asked.count,
            small_classes=asked.small_classes,
            shortcuts=asked.shortcuts,
        )
    except (ValueError, FileExistsError) as error:
        raise SystemExit(f"{error}.") from None
    write_truth(made.planted, truth)
    keys = ("data", "seed", "train", "test", "count", "small_classes", "shortcuts")
    settings = {key: getattr(asked, key) for key in keys}
    settings["data"] = Path(asked.data).name
    (asked.out / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    write_sheets(folder, made, asked.out / "sheets")


def _as_planted(out: Path) -> str:
    settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _answer(asked: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], str]:
    """What the command prints, and how long it took as a phrase."""
    command = [*TINYSCOPE, "data", str(folder), "--out", str(asked.out / "answer"), "--json"]
    command += ["--no-training"] * asked.no_training
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=asked.timeout, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"tinyscope data took more than {asked.timeout} seconds.") from None
    took = f"took {time.monotonic() - began:.0f} s"
    (asked.out / "answer.json").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"tinyscope data ended with status {done.returncode}.")
    return json.loads(done.stdout), took


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", default="cifar10", help="as tinyscope data takes it")
    parser.add_argument("--out", required=True, type=Path, help="a new folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=10_000, help="training images to draw")
    parser.add_argument("--test", type=int, default=2_000, help="test images to draw")
    parser.add_argument("--count", type=int, default=30, help="faults of each kind")
    parser.add_argument(
        "--small-classes",
        type=int,
        nargs="*",
        default=[1, 2, 4],
        help="training images of classes that are too small",
    )
    parser.add_argument(
        "--shortcuts", nargs="*", choices=list(SHORTCUTS), default=None, help="none named: all"
    )
    parser.add_argument("--no-training", action="store_true", help="only checks without a model")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for tinyscope data")
    parser.add_argument("--plant-only", action="store_true", help="write the set, ask nothing")
    parser.add_argument("--answer", type=Path, help="score this answer to an --out of before")
    asked = parser.parse_args(arguments)
    if asked.shortcuts is None:
        asked.shortcuts = []
    elif not asked.shortcuts:
        asked.shortcuts = list(SHORTCUTS)
    return asked


if __name__ == "__main__":
    main()
