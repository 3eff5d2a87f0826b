"""Listener: is told how a study goes on, step by step, so that it can be shown."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tinyscope.data.dataset import Splits
from tinyscope.data.review import ReviewCounts
from tinyscope.inspection.inspection import Inspection
from tinyscope.runs.run import Run
from tinyscope.sweep.planned import Planned
from tinyscope.training.trainer import Row


class Listener:
    """Is told how a study goes on; each method may be overridden, none has to be.

    None must wait for a training in another thread: within one process a training waits until the
    one before it is over, so that both would wait for ever.
    """

    def loading(self, data: str) -> AbstractContextManager[None]:
        """Entered while the data set is being read; a large folder takes minutes at first."""
        return nullcontext()

    def reviewed(self, counts: ReviewCounts) -> None:
        """A review file has been carried out."""

    def data_loaded(self, data: Splits) -> None:
        """The data set is there, its splits cut."""

    def inspecting(self) -> AbstractContextManager[None]:
        """Entered while the images are looked at; takes a minute for 60,000 at first."""
        return nullcontext()

    def inspected(self, inspection: Inspection) -> None:
        """The images have been looked at."""

    def planned(self, planned: Planned, seconds: float, cut: str) -> None:
        """What will run, about how long it will take, and what a budget has cut."""

    def replaces(self, folder: Path) -> None:
        """The folder holds a study that was asked otherwise; its report will be replaced."""

    def run_starts(self, run: Run, number: int, of: int) -> None:
        """A run begins or goes on."""

    def step(self, done: int, steps: int) -> None:
        """A training step of an epoch is done."""

    def features(self, done: int, of: int) -> None:
        """A frozen backbone has seen so many images of those that it has not seen before."""

    def epoch(self, run: Run, row: Row) -> None:
        """An epoch is done."""

    def run_ends(self, run: Run) -> None:
        """A run has its result."""

    def passed_over(self, suggestion: str, reason: str) -> None:
        """A suggestion (its title) that was to be carried out cannot be; the next one is tried."""
