"""Decoding of many images at once, into arrays that are kept for the next time.

An entry of the cache is a folder with one `<split>.npy` a split and `contents.json`, which says
what was left out and which fingerprint each split has. It is written under another name, brought
to the disk and then renamed, so that an entry that exists is whole; one that has other
fingerprints all the same, or cannot be read, is decoded anew. Its name is made of the source's
place and of a hash of all that decides the pixels; when a source has changed, its new entry
replaces the old one.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinyscope.cores import usable_cores
from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.dataset import ImageDataset, LeftOut, Preprocessing
from tinyscope.data.decoding import DECODER_VERSION, Undecodable, decode, measure
from tinyscope.data.encoded import Encoded, Found, class_faults
from tinyscope.errors import DataError
from tinyscope.files import flush_to_disk, put_in_place

MAPPED_ABOVE = 1 << 30
"""Bytes of pixels of all splits together, above which they stay on disk, memory-mapped."""

_FORMAT = 2  # of an entry
_ABANDONED_AFTER = 24 * 3600  # seconds; nothing is decoded for a day
_CHUNK = 16  # images handed to a thread at once: more than its overhead, little of photos' bytes
_MOVED = 1000  # rows copied at once
_log = logging.getLogger(__name__)

S = TypeVar("S")
R = TypeVar("R")


def decode_found(
    found: Found,
    *,
    origin: Path,
    size: int | None,
    choose: Callable[[], Preprocessing],
    trainable: bool = True,
) -> list[ImageDataset]:
    """The splits of a source as arrays, from the cache where it was decoded before.

    Args:
        found: what lies there; a change of a file's size or times voids what was kept.
        origin: the folder of the source.
        size: the side that was asked for, which `choose` goes by too.
        choose: called when there is nothing in the cache.
        trainable: whether classes of which too few images can be decoded are refused.

    Returns:
        A data set for each part. Above `MAPPED_ABOVE` bytes their images are memory-mapped
        (copy-on-write); a cache that cannot be written costs a line in the log, not the result.

    Raises:
        DataError: of some class, none or too few images can be decoded; of a split, none.
    """
    place = _hash([os.fsencode(origin.resolve()), repr(size).encode()])[:12]
    stamps = (str(_FORMAT).encode(), *_stamps(found.files(), origin))
    entry = cache_folder() / "decoded" / f"{place}-{_hash(stamps)[:20]}"
    datasets = _kept(entry, found)
    if datasets is None:
        preprocessing = choose()
        fault: OSError | None = None
        written: dict[str, str] | None = None
        try:
            written = _decode_into(entry, found, preprocessing)
        except OSError as error:
            fault = error
        # Where it failed, perhaps another process has made the entry meanwhile.
        datasets = _kept(entry, found, written)
        if datasets is None:
            _log.warning(
                "Decoded images cannot be kept in %s (%s); %s is decoded anew each time.",
                entry.parent,
                fault.strerror if fault else "gone",
                found.source,
            )
            shapes = [(len(part.files), *preprocessing) for part in found.parts]
            datasets = [
                _dataset(found, part, *_decode(np.empty(shape, np.uint8), part.sources()))
                for part, shape in zip(found.parts, shapes, strict=True)
            ]
    faults = class_faults(
        found.class_names,
        {part.split: part.labels for part in found.parts},
        readable={dataset.split: dataset.labels for dataset in datasets},
    )
    if faults and (trainable or not all(map(len, datasets))):
        broken = (
            one for dataset in datasets for one in dataset.left_out[len(found.odd[dataset.split]) :]
        )
        first = next(broken, None)
        example = f" (left out, for one: {first.file}: {first.reason})" if first else ""
        raise DataError(f"{found.source}: {'; '.join(faults)}{example}.")
    return datasets


def measure_all(sources: Iterable[bytes | Path]) -> list[tuple[int, int]]:
    """Width and height of every image whose header can be read, in order."""

    def sizes(chunk: list[bytes | Path]) -> list[tuple[int, int]]:
        found = []
        for source in chunk:
            try:
                found.append(measure(source))
            except Undecodable:
                continue  # decode will say why
        return found

    return [size for sizes_of_chunk in in_threads(sizes, sources) for size in sizes_of_chunk]


def in_threads(work: Callable[[list[S]], R], items: Iterable[S]) -> Iterator[R]:
    """`work` of each chunk of items, in order; few chunks wait, so that items may be streamed."""
    workers = usable_cores()
    rest = iter(items)
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(rest, _CHUNK)):
            waiting.append(pool.submit(work, chunk))
            if len(waiting) > workers + 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _dataset(
    found: Found, part: Encoded, images: np.ndarray, reasons: dict[int, str]
) -> ImageDataset:
    """A part of what was found, with its M decoded images and the reason by row of the others.

    Raises:
        DataError: these cannot be its images.
    """
    rows = np.delete(np.arange(len(part.files)), list(reasons))
    broken = [LeftOut(part.files[row], reason) for row, reason in reasons.items()]
    return ImageDataset(
        images=images,
        labels=part.labels[rows],
        class_names=found.class_names,
        split=part.split,
        source=found.source,
        left_out=(*found.odd[part.split], *broken),
        files=tuple(part.files[row] for row in rows),
    )


def _decode(
    images: np.ndarray, sources: Iterable[bytes | Path]
) -> tuple[np.ndarray, dict[int, str]]:
    """Decodes N images into the first rows of `images` (N, H, W, C).

    Returns:
        uint8 (M, H, W, C) of the M that can be decoded, a view, and the reason by row of the
        others.
    """
    preprocessing = Preprocessing(*images.shape[1:])

    def fill(chunk: list[tuple[int, bytes | Path]]) -> dict[int, str]:
        faults = {}
        for row, source in chunk:
            try:
                images[row] = decode(source, preprocessing)
            except Undecodable as fault:
                faults[row] = str(fault)
        return faults

    numbered = zip(range(len(images)), sources, strict=True)
    reasons = {row: why for faults in in_threads(fill, numbered) for row, why in faults.items()}
    if reasons:
        kept = np.delete(np.arange(len(images)), list(reasons))
        for start in range(0, len(kept), _MOVED):
            piece = kept[start : start + _MOVED]  # none of them lies above its new place
            images[start : start + len(piece)] = images[piece]
    return images[: len(images) - len(reasons)], reasons


def _decode_into(entry: Path, found: Found, preprocessing: Preprocessing) -> dict[str, str]:
    """Makes an entry of the cache.

    Returns:
        The fingerprint of each split, as it was written.

    Raises:
        OSError: the cache cannot be written; nothing is left behind then.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    try:
        paths = [draft / f"{part.split}.npy" for part in found.parts]
        for part, path in zip(found.parts, paths, strict=True):
            _reserve(path, (len(part.files), *preprocessing))
        contents: dict[str, dict[str, Any]] = {}
        for part, path in zip(found.parts, paths, strict=True):
            contents[part.split] = _fill(path, found, part)
            with path.open("r+b") as file:
                flush_to_disk(file)
        with (draft / "contents.json").open("wb") as file:
            file.write(json.dumps(contents).encode("ascii"))
            flush_to_disk(file)
        put_in_place(draft, entry)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # does nothing once it is renamed
    for older in entry.parent.glob(f"{entry.name.split('-')[0]}-*"):
        if older != entry:
            shutil.rmtree(older, ignore_errors=True)
    for left_behind in entry.parent.glob(".*"):  # by a process that was killed
        if time.time() - left_behind.stat().st_mtime > _ABANDONED_AFTER:
            shutil.rmtree(left_behind, ignore_errors=True)
    return {split: content["fingerprint"] for split, content in contents.items()}


def _fill(path: Path, found: Found, part: Encoded) -> dict[str, Any]:
    """Decodes a part into its file, and gives what `contents.json` says of it.

    The file is no longer mapped afterwards: Windows renames no folder with a mapped one.
    """
    mapped = np.load(path, mmap_mode="r+")
    images, reasons = _decode(mapped, part.sources())
    mapped.flush()
    fingerprint = _dataset(found, part, images, reasons).fingerprint
    return {"left_out": list(reasons.items()), "fingerprint": fingerprint}


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """A `.npy` file of zeros. Written out, since a mapped hole on a full disk kills the process."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    block = bytes(1 << 24)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        missing = math.prod(shape)
        while missing > 0:
            missing -= file.write(block[:missing])


def _kept(
    entry: Path, found: Found, written: dict[str, str] | None = None
) -> list[ImageDataset] | None:
    """What the cache holds of these parts; None where it holds nothing, or nothing usable.

    Args:
        written: see `_read`.
    """
    try:
        return _read(entry, found, written or {})
    except (FileNotFoundError, NotADirectoryError):
        damage = ""  # nothing there, or a rest that a cleaner may have left
    except MemoryError:
        raise
    except Exception as error:  # ValueError, IndexError, TokenError, RecursionError, DataError ...
        damage = str(error) or type(error).__name__
    # Only now is nothing mapped any more that the error has come by; Windows would keep it.
    if damage:
        _log.warning("%s is damaged (%s); its images are decoded again.", entry, damage)
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _read(entry: Path, found: Found, written: dict[str, str]) -> list[ImageDataset]:
    """What an entry holds.

    Args:
        written: the fingerprint of each split where this process has just made the entry; empty
            where it was there before, and its images are compared with what it says of them.

    Raises:
        FileNotFoundError: there is none, or not all of it.
        Exception: of many kinds; it is damaged.
    """
    contents = json.loads((entry / "contents.json").read_bytes())
    paths = [entry / f"{part.split}.npy" for part in found.parts]
    large = sum(path.stat().st_size for path in paths) > MAPPED_ABOVE
    datasets = []
    for part, path in zip(found.parts, paths, strict=True):
        # Copy-on-write: torch takes no read-only arrays without a warning. Mapped at first in any
        # case: that compares the shape with the file's size, before memory is taken for it.
        images = np.lib.format.open_memmap(path, mode="c")
        if images.shape[:1] != (len(part.files),):
            raise ValueError(f"{images.shape} for {len(part.files)} files")
        if not large:
            images = np.load(path, allow_pickle=False)
        reasons = dict(contents[part.split]["left_out"])
        dataset = _dataset(found, part, images[: len(images) - len(reasons)], reasons)
        told = contents[part.split]["fingerprint"]
        # Whoever works with the images needs it too, and it is computed once.
        if written.get(part.split) == told:
            object.__setattr__(dataset, "fingerprint", told)  # as a cached property keeps it
        elif dataset.fingerprint != told:
            raise ValueError(f"{path.name} holds other images than were written to it")
        datasets.append(dataset)
    return datasets


def _stamps(files: Iterable[str | Path], origin: Path) -> Iterator[bytes]:
    """What the pixels depend on: the decoder, and each file's path, size and times of change.

    And whether it may be read; paths within the origin, however that was spelled. Of the two times
    the inode's changes too where two files of one size and age are exchanged by renaming them.
    """
    yield str(DECODER_VERSION).encode()
    for path in files:
        name = os.fspath(path).removeprefix(os.fspath(origin))
        try:
            state = os.stat(path)
            readable = os.access(path, os.R_OK)
            times = f"{state.st_mtime_ns} {state.st_ctime_ns}"
            yield os.fsencode(f"{name} {state.st_size} {times} {readable}")
        except OSError:  # gone or out of reach: its image will be left out
            yield os.fsencode(name) + b" ?"


def _hash(texts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text + b"\0")
    return digest.hexdigest()
