"""Time and memory that a folder of many small images takes to load, first and from the cache.

    .venv/bin/python benchmarks/large_folder.py --images 500000 --out /tmp/large

Makes `OUT/folder-500000`, 20 class folders of 32 x 32 images (nine of ten JPEG, the others PNG), or
takes it as an earlier call has left it; 500,000 need 2.1 GB where files fill blocks of 4 KB, and
their decoded images 1.5 GB more in `OUT/cache`. Each measurement is a process of its own:

- `load, first`: images found, their sizes read, decoded, written to an empty cache;
- `load, cached`: the same from the cache;
- `file_facts`: what is known of the files without decoding them.

Seconds of the wall clock and of the processors (all threads and the start of Python), with the
files in the system's cache as far as it holds them; the peak of memory is the largest resident set,
in which mapped pages of the cache count too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 20
SIDE = 32
PIECE = 1000  # images drawn at once

WORK = {
    "load, first": "tinyscope.data.catalogue.load(folder)",
    "load, cached": "tinyscope.data.catalogue.load(folder)",
    "file_facts": "tinyscope.data.file_facts.file_facts(folder)",
}
PROGRAM = """
import json, resource, sys, time
import tinyscope.data.catalogue, tinyscope.data.file_facts
folder = sys.argv[1]
start = time.perf_counter()
made = {work}
seconds = time.perf_counter() - start
parts = made.parts() if hasattr(made, "parts") else list(made.values())
used = resource.getrusage(resource.RUSAGE_SELF)
unit = 1024 if sys.platform == "linux" else 2**20
print(json.dumps(dict(images=sum(map(len, parts)), seconds=round(seconds, 1),
                      cpu_seconds=round(used.ru_utime + used.ru_stime, 1),
                      peak_MB=round(used.ru_maxrss / unit))))
"""


def pictures(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (n, 32, 32, 3): stripes whose slant and colour tell the class, shaded and grained."""
    count = len(labels)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    slant = (np.pi * labels / CLASSES)[:, None, None]
    waves = rng.uniform(2, 5, count)[:, None, None] * (x * np.cos(slant) + y * np.sin(slant))
    stripes = np.sin(2 * np.pi * (waves + rng.random(count)[:, None, None]))
    shade = rng.normal(0, 40, (count, 2))
    light = 128 + 60 * stripes + shade[:, :1, None] * (x - 0.5) + shade[:, 1:, None] * (y - 0.5)
    angles = 2 * np.pi * (labels[:, None] / CLASSES + np.arange(3) / 3)
    colour = 1 + 0.4 * np.cos(angles)
    grain = rng.normal(0, 6, (count, SIDE, SIDE, 3))
    pixels = light[..., None] * colour[:, None, None, :] + grain
    return pixels.clip(0, 255).astype(np.uint8)


def make(folder: Path, count: int) -> None:
    """Writes the folder under another name first, so that it is whole where it exists."""
    if folder.exists():
        return
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    for label in range(CLASSES):
        (draft / f"class-{label:02}").mkdir(parents=True)

    def write(start: int) -> None:
        numbers = np.arange(start, min(start + PIECE, count))
        labels = numbers % CLASSES
        images = pictures(labels, np.random.default_rng(start))
        for number, label, pixels in zip(numbers, labels, images, strict=True):
            ending = "png" if number % 10 == 9 else "jpg"
            path = f"{draft}/class-{label:02}/{number:07}.{ending}"
            Image.fromarray(pixels).save(path, quality=90)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(0, count, PIECE)))
    draft.rename(folder)


def measured(work: str, folder: Path, cache: Path) -> dict:
    """What a fresh process says of its images, seconds and peak of memory."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(work=work), str(folder)],
        env={**os.environ, "TINYSCOPE_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=500_000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    folder = given.out / f"folder-{given.images}"
    start = time.perf_counter()
    make(folder, given.images)
    print(f"{folder}: there after {time.perf_counter() - start:.0f} s")
    cache = given.out / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    for name, work in WORK.items():
        print(f"{name:12}  {measured(work, folder, cache)}", flush=True)


if __name__ == "__main__":
    main()
