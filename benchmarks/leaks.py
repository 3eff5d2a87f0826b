"""Finds test images that have a copy among the training images, and what that is worth.

    python benchmarks/leaks.py --data ./cifar10 --truth duplicates_cifar10.csv --out leaks

Writes to `--out`: pairs.csv, every pair of a test image and a training image; pairs-drawn.csv and
images-drawn.csv, pairs drawn at random to be judged by eye, the second with one pair, the
surest, of each test image drawn; contact sheets of both, the training image on the left, in the
order of their numbers, with score; missed.csv, the listed pairs that are not found and why; and
README.md. A pair is "same" if the two are the same picture or the same shot, else "other": put
that into the `verdict` columns and name the files as `--judged` to have the precision and the
number of leaked test images worked out.

`--truth` is a CSV of test_index, other_index (of the training image) and judgment: 0 for the same
pixels, 1 for the same shot, 2 for very similar (Barz and Denzler 2020, arXiv 1902.00423).
"""

import argparse
import csv
import resource
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tinyscope.data.catalogue import load
from tinyscope.data.copy_alignment import agreement
from tinyscope.data.copy_descriptors import GREY
from tinyscope.data.copy_pictures import Pictures
from tinyscope.data.dataset import ImageDataset
from tinyscope.data.duplicates import Copies, find_copies
from tinyscope.evaluation.intervals import wilson

PAIRS, IMAGES = 200, 100
COLUMNS, ROWS, SIDE = 5, 8, 112
FIELDS = ["number", "test", "train", "score", "mirrored", "exact"]


def main() -> None:
    """Finds, draws, and works out what has been judged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judged", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)

    splits = load(asked.data)
    train, test = splits.train, splits.test
    if test is None:
        sys.exit(f"{asked.data} has no test split.")
    before = _peak()
    start, processor = time.perf_counter(), time.process_time()
    copies = find_copies([train.images, test.images])
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    leaks = _leaks(copies, len(train))
    lines = [
        f"- {len(train) + len(test):,} images, {seconds:.0f} s "
        f"({processor:.0f} s of processors), peak memory {_peak() - before:,.0f} MB beside them.",
        f"- {len(leaks):,} pairs of a test image and a training image, of "
        f"{len({row['test'] for row in leaks}):,} test images.",
    ]
    _write(asked.out / "pairs.csv", leaks)
    random = np.random.default_rng(asked.seed)
    surest = {row["test"]: row for row in sorted(leaks, key=lambda row: row["score"])}
    for name, rows, most in (("pairs", leaks, PAIRS), ("images", list(surest.values()), IMAGES)):
        rows = sorted(rows, key=lambda row: (row["test"], row["train"]))
        drawn = random.choice(len(rows), min(most, len(rows)), replace=False)
        chosen = sorted((rows[place] for place in drawn), key=lambda row: row["score"])
        chosen = [{**row, "number": number} for number, row in enumerate(chosen)]
        _write(asked.out / f"{name}-drawn.csv", chosen)
        for sheet in range(0, len(chosen), COLUMNS * ROWS):
            picture = _sheet(train, test, chosen[sheet : sheet + COLUMNS * ROWS])
            picture.save(asked.out / f"{name}-{sheet:03}.png")
    if asked.truth:
        lines += _recall(train, test, leaks, asked.truth, asked.out)
    for path in asked.judged:
        lines.append(_precision(path, len(surest)))
    (asked.out / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _leaks(copies: Copies, train: int) -> list[dict]:
    across = (copies.left < train) & (copies.right >= train)
    return [
        {
            "test": int(right) - train,
            "train": int(left),
            "score": round(float(score), 4),
            "mirrored": int(mirrored),
            "exact": int(exact),
        }
        for left, right, mirrored, score, exact in zip(
            *(part[across] for part in copies), strict=True
        )
    ]


def _sheet(train: ImageDataset, test: ImageDataset, rows: list[dict]) -> Image.Image:
    width, height = 2 * SIDE + 14, SIDE + 18
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(rows) // COLUMNS) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(rows):
        x, y = place % COLUMNS * width, place // COLUMNS * height
        mirrored = " mirrored" if row["mirrored"] else ""
        draw.text((x, y), f"{row['number']}: {row['score']:.3f}{mirrored}", fill="black")
        for side, image in enumerate((train.images[row["train"]], test.images[row["test"]])):
            large = Image.fromarray(image.squeeze()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            sheet.paste(large, (x + side * (SIDE + 2), y + 14))
    return sheet


def _recall(
    train: ImageDataset, test: ImageDataset, leaks: list[dict], truth: Path, out: Path
) -> list[str]:
    found = {(row["test"], row["train"]) for row in leaks}
    with truth.open(newline="", encoding="utf-8") as file:
        listed = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]
    lines, missed = [], []
    for judgment in sorted({row["judgment"] for row in listed}):
        pairs = [row for row in listed if row["judgment"] == judgment]
        hits = sum((row["test_index"], row["other_index"]) in found for row in pairs)
        low, high = wilson(hits, len(pairs))
        lines.append(
            f"- Listed pairs of judgment {judgment}: {hits} of {len(pairs)} found, "
            f"{hits / len(pairs):.3f} ({low:.3f} to {high:.3f})."
        )
    for row in listed:
        if (row["test_index"], row["other_index"]) not in found:
            value = _agreed(train.images[[row["other_index"]]], test.images[[row["test_index"]]])
            missed.append(
                {
                    "test": row["test_index"],
                    "train": row["other_index"],
                    "judgment": row["judgment"],
                    "agreement as score": f"{np.tanh(value):.3f}",
                }
            )
    _write(out / "missed.csv", missed)
    return lines


def _agreed(left: np.ndarray, right: np.ndarray) -> float:
    """The agreement of a pair, mirrored or not, were it a candidate."""
    left, right = (Pictures([image]).reduced(np.array([0])) for image in (left, right))
    left, right = (
        plane @ GREY if plane.shape[3] == 3 else plane[..., 0] for plane in (left, right)
    )
    return max(float(agreement(left, each)[0]) for each in (right, right[:, :, ::-1]))


def _precision(path: Path, images: int) -> str:
    with path.open(newline="", encoding="utf-8") as file:
        verdicts = [row["verdict"] for row in csv.DictReader(file)]
    same, count = verdicts.count("same"), len(verdicts)
    low, high = wilson(same, count)
    line = f"- {path.name}: {same} of {count} are the same, {same / count:.3f} "
    line += f"({low:.3f} to {high:.3f})"
    if path.name.startswith("images"):
        line += (
            f": {same / count * images:.0f} ({low * images:.0f} to {high * images:.0f}) of the "
            f"{images} test images that are named have a copy"
        )
    return line + "."


def _write(path: Path, rows: list[dict]) -> None:
    fields = [name for name in FIELDS if not rows or name in rows[0]]
    if "number" in fields:
        fields.append("verdict")
    fields += [name for name in (rows[0] if rows else []) if name not in fields]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _peak() -> float:
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
