"""Stopwatch: named clocks, so that a figure can say what it counted."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds by name; waits for a GPU to finish what it was asked before it looks.

    Beside the wall clock it reads the processor's: the seconds of all threads of this process added
    up, those in which they wait for one another by spinning included.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Counts the seconds of the block towards `name`."""
        self._synchronize()
        start, cpu_start = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._synchronize()
            self.seconds[name] += time.perf_counter() - start
            self.cpu_seconds[name] += time.process_time() - cpu_start

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()
