"""torch's global generator: lent to one training at a time, and given back as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_log = logging.getLogger(__name__)

_LENT = RLock()

_SILENT_SECONDS = 5.0
"""After which a thread that waits says so: another one's training may take hours."""


@contextmanager
def borrowed_generator(on: torch.device) -> Iterator[None]:
    """While the block lasts, its thread alone draws from torch's generators, as far as we train.

    Initial weights and dropout come from the process's one generator; of two threads that seeded it
    in turn, neither would have the weights that its seed stands for. A second thread waits, with a
    line in the log if that takes long; the same thread may borrow again. Code that borrows nothing
    is not kept from drawing.

    Args:
        on: where the block computes. GPUs' generators are given back as they were too where it is
            one of them, or where the process uses some already; else none is set up for this.
    """
    if not _LENT.acquire(timeout=_SILENT_SECONDS):
        _log.warning("waits for another training in this process")
        _LENT.acquire()
    try:
        cuda = on.type == "cuda" or torch.cuda.is_initialized()
        with torch.random.fork_rng(devices=range(torch.cuda.device_count() if cuda else 0)):
            yield
    finally:
        _LENT.release()
