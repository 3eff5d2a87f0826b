"""Files as the world has them, whole and broken, and whether every one is accounted for.

    .venv/bin/python benchmarks/odd_files.py --out /tmp/odd --count 20000

Makes `OUT/folder` with pictures of every kind of `image_formats.py`; files cut off at every tenth
of their length; bytes changed in the middle; names with another format's ending; empty files, text,
web pages, archives, headers that state enormous pictures; links to nowhere; what operating systems
leave behind. Then it decodes each file alone, and loads the folder and its `file_facts`, and says
what is not as it must be:

- a file takes longer than 5 seconds (`decode` alone), or a minute, which ends the program;
- whole pictures are left out, or look otherwise than they were drawn;
- broken ones are accepted, or what is accepted of one that is cut off is not the whole picture;
- a file is not exactly one of: among the images, left out with a reason, clutter.

Exit status 1 where there is anything to say.
"""

import argparse
import collections
import faulthandler
import io
import os
import shutil
import struct
import sys
import time
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import image_formats
import numpy as np
from image_formats import picture, saved
from PIL import Image

from tinyscope.data import catalogue
from tinyscope.data.dataset import Preprocessing
from tinyscope.data.decoding import Undecodable, decode
from tinyscope.data.file_facts import file_facts

CLASSES = ("ant", "bee", "cat dog", "été")
SPLITS = ("train", "test")
SLOW = 5.0  # seconds that a file may take; 64 Mpx need one
HUNG = 60.0
ALIKE = 25.0  # mean difference from what was drawn, in grey levels; JPEG of fine stripes needs 18
TARGET = Preprocessing(32, 32, 3)


@dataclass
class File:
    """What was written, and what must become of it."""

    name: str
    kind: str
    fate: str
    """ "image", "left out", "clutter", or "any" where damage may or may not hit a pixel."""
    seen: Image.Image | None = None
    """How it looks, where it must become an image."""
    whole: bytes | None = None
    """The file from which one that is cut off was made."""


def broken(rng: np.random.Generator) -> dict[str, tuple[bytes, str]]:
    """Contents that are no picture, and the endings of their names, by kind."""
    page = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", saved(picture(rng), "PNG"))
    return {
        "nothing": (b"", ".jpg"),
        "a web page": (page, ".jpg"),
        "text": (b"This is no image.\n" * 20, ".png"),
        "noise": (rng.bytes(3000), ".png"),
        "zeros": (bytes(3000), ".bmp"),
        "an archive": (archive.getvalue(), ".jpg"),
        "a drawing": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', ".svg"),
        "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + rng.bytes(500), ".heic"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", ".eps"),
        "a stated 30,000 x 30,000 PNG": (_png_of(30_000, 30_000, b""), ".png"),
        "a stated 2,147,483,647 x 1 PNG": (_png_of(2**31 - 1, 1, b""), ".png"),
        "a stated 0 x 0 PNG": (_png_of(0, 0, b""), ".png"),
        "a stated 65,535 x 65,535 GIF": (b"GIF89a\xff\xff\xff\xff\0\0\0;", ".gif"),
        "a stated 7,000 x 7,000 PNG without pixels": (_png_of(7000, 7000, b""), ".png"),
    }


def _png_of(width: int, height: int, data: bytes) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def make(folder: Path, count: int, *, seed: int = 0) -> list[File]:
    """Writes about `count` files, of each kind about as many.

    Returns:
        All of them.
    """
    rng = np.random.default_rng(seed)
    shutil.rmtree(folder, ignore_errors=True)
    for split in SPLITS:
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
    made: list[File] = []

    def put(kind: str, data: bytes, ending: str, fate: str, **known) -> None:
        split = SPLITS[len(made) % 5 == 0]
        name = CLASSES[rng.integers(len(CLASSES))]
        file = f"{split}/{name}/{len(made):06}{ending}"
        (folder / file).write_bytes(data)
        made.append(File(file, kind, fate, **known))

    kinds = list(image_formats.kinds().items())
    round_ = 0
    while len(made) < count:
        order = rng.permutation(len(kinds))
        for number in order[: max(1, count // 4)]:
            name, write = kinds[number]
            written = write(picture(rng))
            put(name, written.data, written.ending, "image", seen=written.seen)
            wrong = ["", ".jpg", ".png", ".gif", ".JPG"][round_ % 5]
            if (round_ + number) % 4 == 0:
                put("another ending", written.data, wrong, "image", seen=written.seen)
            if (round_ + number) % 2 == 0:
                tenth = 1 + (round_ + number) // 2 % 9
                cut = written.data[: len(written.data) * tenth // 10]
                put(f"cut at {tenth}/10", cut, written.ending, "any", whole=written.data)
            else:
                damaged = bytearray(written.data)
                middle = slice(len(damaged) // 3, 2 * len(damaged) // 3)
                places = rng.integers(middle.start, middle.stop, 5)
                damaged[places[0]] ^= 0xFF
                for place in places[: rng.integers(1, 6)]:
                    damaged[place] = rng.integers(256)
                put("bytes changed", bytes(damaged), written.ending, "any")
            if len(made) >= count:
                break
        for kind, (data, ending) in broken(rng).items():
            put(kind, data, ending, "left out")
        if round_ % 20 == 19:
            blank = _png_of(7000, 7000, zlib.compress(bytes(7001 * 7000)))
            put("a blank 7,000 x 7,000 PNG", blank, ".png", "image", seen=Image.new("RGB", (9, 9)))
        for name in ("notes.txt", "Thumbs.db", ".DS_Store", "index.html"):
            place = f"train/{CLASSES[round_ % 4]}"
            if not (folder / place / name).exists():
                (folder / place / name).write_bytes(b"clutter")
                made.append(File(f"{place}/{name}", "clutter", "clutter"))
        round_ += 1
    place = f"train/{CLASSES[0]}"
    os.symlink("nowhere.png", folder / place / "gone.png")
    made.append(File(f"{place}/gone.png", "a link to nowhere", "left out"))
    picture(rng).save(folder / "train/stray.png")
    made.append(File("train/stray.png", "in no class folder", "left out"))
    (folder / place / "album.jpg").mkdir()
    drawn = picture(rng)
    drawn.save(folder / place / "album.jpg/line\nbreak, 100%.png")
    made.append(File(f"{place}/album.jpg/line\nbreak, 100%.png", "deeper", "image", seen=drawn))
    return made


@dataclass
class Outcome:
    """What was found."""

    faults: list[str] = field(default_factory=list)
    became: dict[str, collections.Counter] = field(default_factory=dict)
    """By kind of file, how many became an image, and how many were left out for each reason."""
    slowest: tuple[float, str] = (0.0, "")
    """Seconds, and the file."""
    seconds: dict[str, float] = field(default_factory=dict)


def check(folder: Path, made: list[File]) -> Outcome:
    """Decodes each file, loads the folder, and compares with what was written."""
    outcome = Outcome()
    answers = _decode_each(folder, made, outcome)
    start = time.perf_counter()
    splits = catalogue.load(folder)
    outcome.seconds["load"] = time.perf_counter() - start
    start = time.perf_counter()
    facts = file_facts(folder)
    outcome.seconds["file_facts"] = time.perf_counter() - start

    places = collections.Counter()
    reasons = {}
    for part in splits.parts():
        places.update(part.files)
        places.update(left.file for left in part.left_out)
        reasons.update(part.left_out)
        files = facts[part.split].files
        if [files[k] for k in facts[part.split].positions(part)] != list(part.files):
            outcome.faults.append(f"{part.split}: positions of the file facts are not its files")
        outside = {"a link to nowhere", "in no class folder"}
        wanted = {
            file.name
            for file in made
            if file.name.startswith(f"{part.split}/")
            and file.fate != "clutter"
            and file.kind not in outside
        }
        if len(files) != len(wanted) or set(files) != wanted:
            outcome.faults.append(f"{part.split}: the file facts are not of the files written")
    for file in made:
        times = places.pop(file.name, 0)
        if times != (file.fate != "clutter"):
            outcome.faults.append(f"{file.name} ({file.kind}) is accounted for {times} times")
        reason = reasons.get(file.name)
        became = "clutter" if not times else reason or "image"
        outcome.became.setdefault(file.kind, collections.Counter())[became] += 1
        if reason == "":
            outcome.faults.append(f"{file.name} ({file.kind}) is left out without a reason")
        if file.name in answers and isinstance(answers[file.name], str) != bool(reason):
            outcome.faults.append(f"{file.name} ({file.kind}) alone and in its folder differ")
        if file.fate in ("image", "left out") and became == "image" != file.fate:
            outcome.faults.append(f"{file.name} ({file.kind}) is accepted")
        if file.fate == "image" and reason:
            outcome.faults.append(f"{file.name} ({file.kind}) is left out: {reason}")
    outcome.faults += [f"{name} is listed and was not written" for name in places]
    return outcome


def _decode_each(folder: Path, made: list[File], outcome: Outcome) -> dict[str, np.ndarray | str]:
    """The pixels of each file, or why there are none."""
    answers: dict[str, np.ndarray | str] = {}
    for file in made:
        if file.fate == "clutter" or file.kind == "in no class folder":
            continue
        faulthandler.dump_traceback_later(HUNG, exit=True, file=sys.__stderr__)
        start = time.perf_counter()
        try:
            answers[file.name] = decode(folder / file.name, TARGET)
        except Undecodable as reason:
            answers[file.name] = str(reason)
        took = time.perf_counter() - start
        faulthandler.cancel_dump_traceback_later()
        outcome.slowest = max(outcome.slowest, (took, f"{file.name}, {file.kind}"))
        if took > SLOW:
            outcome.faults.append(f"{file.name} ({file.kind}) takes {took:.1f} s")
        pixels = answers[file.name]
        if isinstance(pixels, str):
            continue
        if file.seen is not None:
            drawn = decode(saved(file.seen.convert("RGB"), "PNG"), TARGET).astype(int)
            difference = np.abs(pixels - drawn).mean()
            if difference > ALIKE:
                outcome.faults.append(f"{file.name} ({file.kind}) is off by {difference:.0f}")
        if file.whole is not None and (pixels != decode(file.whole, TARGET)).any():
            outcome.faults.append(f"{file.name} ({file.kind}) is accepted in part")
    return answers


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    given = parser.parse_args(arguments)
    os.environ["TINYSCOPE_CACHE"] = str(given.out / "cache")
    shutil.rmtree(given.out / "cache", ignore_errors=True)
    start = time.perf_counter()
    made = make(given.out / "folder", given.count)
    print(f"{len(made):,} files written in {time.perf_counter() - start:.0f} s")
    outcome = check(given.out / "folder", made)
    total = collections.Counter()
    for kind, became in sorted(outcome.became.items()):
        total.update(became)
        listed = ", ".join(f"{count} {what}" for what, count in became.most_common(4))
        print(f"  {kind:42} {listed}{', ...' if len(became) > 4 else ''}")
    print(
        f"{total.total():,} files: {total['image']:,} images, {total['clutter']} clutter, "
        f"{total.total() - total['image'] - total['clutter']:,} left out with a reason"
    )
    print(f"slowest file: {outcome.slowest[0]:.2f} s ({outcome.slowest[1]})")
    print("; ".join(f"{name} {seconds:.1f} s" for name, seconds in outcome.seconds.items()))
    for fault in outcome.faults:
        print(f"FAULT: {fault}")
    print(f"{len(outcome.faults)} faults")
    return bool(outcome.faults)


if __name__ == "__main__":
    sys.exit(main())
