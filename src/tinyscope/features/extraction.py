"""Features: what a frozen network sees in images, computed once and kept for the next time.

An entry of the cache is one float16 array of a split, `<key>.npy`, and `<key>.json`, which tells
how long it took; it is written last. The key is a hash of everything that decides the values: the
backbone's weights, layer, size and pooling, its normalization, the images (whatever their labels),
the view, the precision.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from tinyscope.data.batches import (
    Augmentation,
    Batches,
    Draw,
    Source,
    changed,
    images_at_once,
)
from tinyscope.data.cache_folder import entry
from tinyscope.data.dataset import ImageDataset
from tinyscope.errors import StorageError
from tinyscope.evaluation.predict import forward
from tinyscope.files import read_json, replacing, write_json
from tinyscope.models.classical_head import in_half_precision
from tinyscope.models.transfer import side_of
from tinyscope.models.views import LOOKS, Look

VERSION = 3  # raise it with every change that can change a feature

_BATCH = 256


class View(NamedTuple):
    """How images are changed before a network sees them."""

    name: str
    """Tells this view from all others; part of the cache's key."""
    change: Callable[[Tensor, int], Tensor]
    """Pixels (n, H, W, C), and the row of the first, to the pixels of the view."""


AS_IT_IS = View("as it is", lambda pixels, row: pixels)
"""The view of images that are not changed."""


def random_view(number: int, augmentation: Augmentation, fill: Tensor) -> View:
    """A view in which every image is changed at random, the same way whenever it is asked for.

    Args:
        number: of the view; each has random changes of its own.
        augmentation: which changes.
        fill: float (C,), the colour of cut-out squares.
    """

    def change(pixels: Tensor, row: int) -> Tensor:
        (seed,) = np.random.SeedSequence([number, row]).generate_state(1, np.uint64)
        return changed(pixels, augmentation, fill, Generator().manual_seed(int(seed)))

    return View(f"random {number} {augmentation!r} {fill.tolist()!r}", change)


def looks(views: str) -> list[tuple[View, float]]:
    """The views of a key of `models.views.LOOKS`, each with the weight of its logits."""
    return [(_fixed(look), look.weight) for look in LOOKS[views]]


def _fixed(look: Look) -> View:
    def change(pixels: Tensor, row: int) -> Tensor:
        return look.change(pixels)

    return View(look.name, change)


class Kept(NamedTuple):
    """Features of a split in one view."""

    values: np.ndarray
    """float16 (N, F), memory-mapped."""
    seconds: float
    """That computing them took, now or when it was done."""
    cpu_seconds: float


def features_of(
    extract: nn.Module,
    images: ImageDataset,
    view: View,
    *,
    digest: str,
    precision: str,
    device: torch.device,
    on_batch: Callable[[int, int], None] = lambda done, of: None,
) -> Kept:
    """What a network sees in the images of a split, from the cache where it was computed before.

    Args:
        extract: pixels (n, H, W, C) to vectors (n, F); on the device.
        images: the split.
        view: how they are changed before.
        digest: of everything that decides what `extract` gives.
        precision: "bf16" or "fp32", of the arithmetic.
        device: where it is computed.
        on_batch: is told how many images are done, and of how many.

    Raises:
        StorageError: the cache cannot be written or read.
    """
    place = place_of(images, view, digest=digest, precision=precision, side=side_of(extract))
    record = place.with_suffix(".json")
    if not record.exists():
        started, cpu_started = time.perf_counter(), time.process_time()
        _compute(extract, images, view, place, precision=precision, device=device, tell=on_batch)
        taken = {
            "seconds": round(time.perf_counter() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu_started, 3),
        }
        write_json(record, taken)
    try:
        values = np.load(place, mmap_mode="c")  # torch takes no read-only memory
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(
            f"{place} cannot be read: {error}. Remove {record} to compute these features again."
        ) from None
    return Kept(values, **read_json(record))


def fresh_features(
    extract: nn.Module,
    images: ImageDataset,
    view: View,
    *,
    precision: str,
    device: torch.device,
    on_batch: Callable[[int, int], None] = lambda done, of: None,
) -> np.ndarray:
    """What `features_of` gives, float16 (N, F) in memory, where nothing can be kept."""
    pieces = []
    for done, values in _passed(extract, images, view, precision=precision, device=device):
        pieces.append(values)
        on_batch(done, len(images))
    return np.concatenate(pieces)


def place_of(
    images: ImageDataset, view: View, *, digest: str, precision: str, side: int | None = None
) -> Path:
    """Where the features of a split in a view are kept, or will be; see `features_of`.

    Args:
        side: that the network brings images to; None where it leaves them as they are.
    """
    what: list[Any] = [digest, images.pixels_fingerprint, view.name, precision]
    if (together := at_once(images, side=side)) < _BATCH:
        what.append(together)  # which may change the last digit
    return entry("features", *what, versions=[VERSION]).with_suffix(".npy")


def at_once(images: ImageDataset, *, side: int | None) -> int:
    """How many images of a split pass a network together; `side` is that of `place_of`."""
    return images_at_once(_BATCH, *images.images.shape[1:3], side=side)


def _compute(
    extract: nn.Module,
    images: ImageDataset,
    view: View,
    place: Path,
    *,
    precision: str,
    device: torch.device,
    tell: Callable[[int, int], None],
) -> None:
    """Writes the features, piece by piece, under another name until all are there."""
    # Not through mapped memory: where the disk is full, writing to that ends the process.
    try:
        with replacing(place) as file:
            pieces = _passed(extract, images, view, precision=precision, device=device)
            for done, values in pieces:
                if done == len(values):
                    _write_header(file, (len(images), values.shape[1]))
                file.write(values.tobytes())
                tell(done, len(images))
    except StorageError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise StorageError(
            f"Features cannot be kept in {place.parent}: {reason}. TINYSCOPE_CACHE names another "
            "folder."
        ) from None


def _write_header(file: IO[bytes], shape: tuple[int, int]) -> None:
    described = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)


def _passed(
    extract: nn.Module, images: ImageDataset, view: View, *, precision: str, device: torch.device
) -> Iterator[tuple[int, np.ndarray]]:
    """Features float16 (n, F) of batch after batch, each with how many images are done then."""
    done = 0
    extract.eval()
    batches, together = Batches(images, device=device), at_once(images, side=side_of(extract))
    # A view's random changes are drawn for so many rows together, however many pass at once.
    for pixels, _ in batches.in_order(_BATCH):
        with torch.inference_mode():
            seen = view.change(pixels, done).split(together)
            found = torch.cat([forward(extract, each, precision=precision) for each in seen])
            values = in_half_precision(found).cpu().numpy()
        done += len(values)
        yield done, values


class FeatureBatches(Source):
    """Features of a split on a device, float32 (n, F), each image in one of its views by chance.

    Random changes are in the views already: what `shuffled` is told of them is not read.

    Args:
        views: float16 (N, F) arrays, the first of images as they are.
        labels: int64 (N,).
        device: where batches are to be.
    """

    def __init__(
        self, views: Sequence[np.ndarray], labels: np.ndarray, *, device: torch.device
    ) -> None:
        super().__init__(labels, device)
        self._views = [torch.from_numpy(view) for view in views]

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Features of every image as it is, float32 (n, F), in the data set's order."""
        for piece, labels in zip(self._views[0].split(size), self.labels.split(size), strict=True):
            yield piece.to(self._device).float(), labels

    def _drawn(self, rows: Tensor, draw: Draw) -> Tensor:
        chosen = torch.randint(len(self._views), (len(rows),), generator=draw.generator)
        # torch turns half precision into single many times as fast as numpy does.
        batch = self._views[0][rows]
        for number, view in enumerate(self._views[1:], start=1):
            mine = chosen == number
            batch[mine] = view[rows[mine]]
        return batch.to(self._device).float()
