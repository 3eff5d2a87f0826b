"""Training throughput beside Keras 3 on TensorFlow: same network, optimizer and batch, in one run.

    python3.11 -m venv .venv-keras
    .venv-keras/bin/pip install -r benchmarks/requirements-keras.txt
    .venv/bin/python benchmarks/throughput.py --keras-python .venv-keras/bin/python

Keras' settings are tried first, one after another on top of the fastest so far, and the fastest one
of each network and batch is what Tinyscope is compared with. Then both train in turn, each in a
fresh process with all cores; the figure is the ratio of neighbouring processes, so that a machine
that others use as well does not favour one side. The clock counts whole epochs of training steps
without validation, the cutting of batches included, and leaves out the first epoch, in which either
side prepares its kernels. Images are random: their content does not change the time.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from tinyscope.models import published

HERE = Path(__file__).parent
NETWORKS = {
    "kossowska-1": (published.KOSSOWSKA_1, "rmsprop"),
    "kossowska-2": (published.KOSSOWSKA_2, "rmsprop"),
    "kossowska-3": (published.KOSSOWSKA_3, "sgd"),
    "brittan-1": (published.BRITTAN_1, "adam"),
    "workshop-simple": (published.WORKSHOP_SIMPLE, "adam"),
}
KERAS_DEFAULTS = {
    "policy": "float32",
    "jit_compile": False,
    "steps_per_execution": 1,
    "input": "arrays",
}
KERAS_CHOICES = {
    "input": "tf.data",
    "steps_per_execution": 16,
    "jit_compile": True,
    "policy": "mixed_bfloat16",
}
"""Tried one after another on top of what has been fastest so far."""


def timed(python: str, worker: str, job: dict) -> list[float]:
    """The images a second that a worker reports, epoch by epoch."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [python, str(HERE / worker)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise SystemExit(f"{worker} failed:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"  {worker}: {result['versions']} {max(result['rates']):.0f} images/s", file=sys.stderr)
    rates: list[float] = result["rates"]
    return rates


def fastest_keras(python: str, job: dict) -> tuple[dict, list[dict]]:
    """The fastest setting found, and the images a second of each that was tried."""
    best, most, tried = dict(KERAS_DEFAULTS), 0.0, []
    for change in ({}, *({key: value} for key, value in KERAS_CHOICES.items())):
        settings = best | change
        short = job | {"images": job["images"] // 4, "settings": settings}
        rate = max(timed(python, "keras_worker.py", short))
        tried.append({**settings, "images_per_second": round(rate)})
        print(f"  {settings}: {rate:.0f}", file=sys.stderr)
        if rate > most:
            best, most = settings, rate
    return best, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras-python", required=True)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["kossowska-2"])
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=6_400)
    parser.add_argument(
        "--out", type=Path, help="a folder for throughput.csv and keras-settings.csv"
    )
    asked = parser.parse_args()

    rows, settings_rows = [], []
    for name, batch in itertools.product(asked.networks, asked.batches):
        layers, optimizer = NETWORKS[name]
        job = {
            "layers": list(layers),
            "optimizer": optimizer,
            "batch": batch,
            "epochs": 3,
            "images": asked.images,
        }
        print(f"{name}, batch {batch}", file=sys.stderr)
        settings, tried = fastest_keras(asked.keras_python, job)
        settings_rows += [{"network": name, "batch": batch, **each} for each in tried]
        for number in range(asked.rounds):
            theirs = timed(asked.keras_python, "keras_worker.py", job | {"settings": settings})
            ours = timed(
                sys.executable, "tinyscope_worker.py", job | {"settings": {"precision": "auto"}}
            )
            rows.append(
                {
                    "network": name,
                    "optimizer": optimizer,
                    "batch": batch,
                    "round": number + 1,
                    "tinyscope_images_per_second": round(statistics.median(ours)),
                    "keras_images_per_second": round(statistics.median(theirs)),
                    "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
                    **{f"keras_{key}": value for key, value in settings.items()},
                }
            )
        mine = [row for row in rows if row["network"] == name and row["batch"] == batch]
        ratios = sorted(row["ratio"] for row in mine)
        print(
            f"{name}, batch {batch}: Tinyscope "
            f"{statistics.median(row['tinyscope_images_per_second'] for row in mine):.0f}, Keras "
            f"{statistics.median(row['keras_images_per_second'] for row in mine):.0f} images/s; "
            f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, "
            f"{len(ratios)} rounds)",
            flush=True,
        )
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        for file, content in (("throughput.csv", rows), ("keras-settings.csv", settings_rows)):
            with (asked.out / file).open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(content[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(content)


if __name__ == "__main__":
    main()
