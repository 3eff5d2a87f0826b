"""torch's global generator: lent to one training at a time, and given back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

_LENT = RLock()


@contextmanager
def borrowed_generator() -> Iterator[None]:
    """While the block lasts, its thread alone draws from torch's generators, as far as we train.

    Initial weights and dropout come from the process's one generator; of two threads that seeded it
    in turn, neither would have the weights that its seed stands for. A second thread waits; the
    same thread may borrow again. Code that borrows nothing is not kept from drawing.
    """
    devices = range(torch.cuda.device_count())
    with _LENT, torch.random.fork_rng(devices=devices):
        yield
