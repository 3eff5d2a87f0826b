"""Makes glibc keep freed memory for the next training step, and give it back after the last."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # of mallopt(3)

_KEEPING = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, 64 * 2**20))  # -1: never trim
_USUAL = (
    (_MMAP_MAX, 65536),
    (_TOP_PAD, 128 * 2**10),
    # glibc raises these two by itself, to these numbers at most, once a large block is freed; it
    # no longer does where they were set, and training would have freed such blocks.
    (_MMAP_THRESHOLD, 32 * 2**20),
    (_TRIM_THRESHOLD, 64 * 2**20),
)

_LOCK = Lock()
_keepers = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """While the block lasts, large tensors are not fetched anew from the system in each step.

    By default glibc maps every block above 32 MB afresh; its pages are then zeroed and faulted in
    one by one in each step, an eighth of the training of a small CNN at batch 256. Peak memory
    stays what it was; only the return of memory between peaks stops. Blocks may lie within one
    another; after the outermost, memory goes back to the system, and glibc does again as in any
    process that has freed large arrays: a notebook's memory is its own again. A next training has
    to fetch its memory once more: a tenth of a second for 300 MB.

    Only on Linux with glibc, and only where nobody has set these numbers of its by hand, with
    `MALLOC_TOP_PAD_` and the like or `GLIBC_TUNABLES`.
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(more: int) -> None:
    global _keepers
    if (libc := _glibc()) is None:
        return
    with _LOCK:
        before, _keepers = _keepers, _keepers + more
        if not before:
            _set(libc, _KEEPING)
        elif not _keepers:
            _set(libc, _USUAL)
            libc.malloc_trim(0)


def _set(libc: Any, settings: tuple[tuple[int, int], ...]) -> None:
    for name, value in settings:
        libc.mallopt(name, value)


@cache
def _glibc() -> Any:
    """The C library, where its allocator is ours to set; else None."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    by_hand = any(
        f"MALLOC_{name.upper()}_" in os.environ or f"glibc.malloc.{name}=" in tunables
        for name in ("trim_threshold", "top_pad", "mmap_threshold", "mmap_max")
    )
    if by_hand or not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None)
        return libc if libc.mallopt and libc.malloc_trim else None
    except (AttributeError, OSError):  # another C library
        return None
