"""What a study shows on standard error: a live display on a terminal, else plain lines."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tinyscope.data.dataset import Splits
from tinyscope.data.review import ReviewCounts
from tinyscope.inspection.inspection import Inspection
from tinyscope.runs.run import Run
from tinyscope.sweep.local import Listener
from tinyscope.sweep.planned import Planned
from tinyscope.terminal import shown
from tinyscope.training.trainer import Row
from tinyscope.wording import counted

_SILENT_SECONDS = 2.0


def duration(seconds: float) -> str:
    """Seconds for people: "40 s", "12 min", "3 h 5 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class PlainProgress(Listener):
    """One line an epoch, as a log file or a pipe wants it."""

    def say(self, line: str) -> None:
        """Writes a line to standard error."""
        print(shown(line), file=sys.stderr, flush=True)

    def loading(self, data: str) -> AbstractContextManager[None]:
        """One line, but only if reading takes long."""
        return self._if_long(f"reading {data}; images are decoded once and kept for the next time")

    @contextmanager
    def _if_long(self, line: str) -> Iterator[None]:
        """Says a line if what follows takes long: a fault in the input stays a line by itself."""
        timer = threading.Timer(_SILENT_SECONDS, self.say, [line])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def reviewed(self, counts: ReviewCounts) -> None:
        """One line on what a review has changed, and on rows that there was nothing to do for."""
        line = (
            f"{counts.file}: {counted(counts.excluded, 'image')} taken out, {counts.relabelled:,} "
            "given another class"
        )
        if counts.of_test:
            line += f"; {counts.of_test:,} more are test images, which stay as they are"
        if counts.gone:
            more = f" and {len(counts.gone) - 1:,} more" if len(counts.gone) > 1 else ""
            line += f"; gone, so that their rows count as done: {counts.gone[0]}{more}"
        self.say(line)

    def data_loaded(self, data: Splits) -> None:
        """One line on the images, one on those left out where there are any."""
        shape = data.train.preprocessing
        counts = ", ".join(f"{len(part):,} {part.split}" for part in data.parts())
        self.say(
            f"{data.name}: {counts} images of {shape.width}x{shape.height}, "
            f"{len(data.train.class_names)} classes"
        )
        found = sum(part.found for part in data.parts())
        used = sum(len(part) for part in data.parts())
        if used < found:
            first = next(entry for part in data.parts() for entry in part.left_out)
            self.say(
                f"{used:,} of {found:,} images used; the first left out is {first.file}: "
                f"{first.reason}. The report lists all."
            )

    def inspecting(self) -> AbstractContextManager[None]:
        """One line, but only if it takes long."""
        return self._if_long(
            "looking at the images: copies, faults, shortcuts; kept for the next time"
        )

    def inspected(self, inspection: Inspection) -> None:
        """One line for each finding that would falsify results."""
        for one in inspection.findings:
            if one["severity"] == "error":
                told = one["summary"] or f"{len(one['items']):,} items"
                self.say(f"{one['code']} {one['title'].lower()}: {told.rstrip('.')}")

    def planned(self, planned: Planned, seconds: float, cut: str) -> None:
        """What will run, and how long it will about take."""
        done = len(planned.runs) - len(planned.missing)
        kept = f" ({done} finished before are kept)" if done else ""
        fits = {run.variation: None for run in planned.missing if run.recipe.classifier != "dense"}
        beside = f", the fits of {', '.join(fits)} not counted" if fits else ""
        self.say(
            f"{planned.study.name}: {counted(len(planned.recipes), 'variation')} x "
            f"{counted(len(planned.study.seeds), 'seed')} = {counted(len(planned.runs), 'run')}"
            f"{kept}; about {duration(seconds)} on this machine{beside}"
        )
        if cut:
            self.say(f"cut to the budget: {cut}")
        if short := planned.short():
            steps = ", ".join(f"{count} steps for {name}" for name, count in short.items())
            self.say(
                f"only {steps}: a training has hardly begun after so few; more epochs or smaller "
                "batches help, as in --set epochs=60 --set batch_size=32"
            )

    def replaces(self, folder: Path) -> None:
        """One line on what is about to be replaced, and what stays."""
        self.say(
            f"{folder} holds a study that was asked otherwise: its report and model will be "
            "replaced, its runs are kept (--out chooses another folder)"
        )

    def run_starts(self, run: Run, number: int, of: int) -> None:
        """A heading."""
        self.say(f"run {number} of {of}: {run.variation}, seed {run.seed} ({run.recipe.model})")

    def epoch(self, run: Run, row: Row) -> None:
        """The epoch's figures."""
        fitted = run.recipe.classifier != "dense"
        what = "fitted" if fitted else f"epoch {row['epoch']}/{run.recipe.epochs}"
        self.say(f"  {what}  {figures(row)}")

    def passed_over(self, suggestion: str, reason: str) -> None:
        """One line on a suggestion that cannot be carried out, and why."""
        self.say(f"passed over, “{suggestion}”: {reason}")


class LiveProgress(PlainProgress):
    """Finished epochs as lines, and below them a bar for the epoch at hand; use as a context."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._live = Live(self._bar, console=self._console, transient=True, refresh_per_second=4)
        self._task: Any = None
        self._shown_at = 0.0

    def __enter__(self) -> "LiveProgress":
        """Starts the display."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it and leaves the lines."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Writes a line above the bar."""
        self._console.print(shown(line), markup=False, highlight=False)

    def run_starts(self, run: Run, number: int, of: int) -> None:
        """A heading, and a bar for the run."""
        super().run_starts(run, number, of)
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task("epoch 1", total=1)

    def step(self, done: int, steps: int) -> None:
        """Moves the bar, ten times a second at most."""
        now = time.monotonic()
        if done == steps or now - self._shown_at > 0.1:
            self._bar.update(self._task, completed=done, total=steps)
            self._shown_at = now

    def features(self, done: int, of: int) -> None:
        """Moves the bar while images pass a frozen backbone."""
        self._bar.update(self._task, description="features")
        self.step(done, of)

    def epoch(self, run: Run, row: Row) -> None:
        """The epoch's figures, and a new bar."""
        super().epoch(run, row)
        following = min(row["epoch"] + 1, run.recipe.epochs)
        self._bar.reset(self._task, description=f"epoch {following}")

    def run_ends(self, run: Run) -> None:
        """Takes the bar away."""
        self._bar.remove_task(self._task)
        self._task = None


def figures(row: Row) -> str:
    """An epoch's figures in one line."""
    parts = [f"loss {row['train_loss']:.4f}", f"accuracy {row['train_accuracy']:.1%}"]
    if row["val_loss"] is not None:
        parts += [f"val_loss {row['val_loss']:.4f}", f"val_accuracy {row['val_accuracy']:.1%}"]
    parts += [f"{row['seconds']:.1f} s", f"{row['images_per_second']:,.0f} images/s"]
    return "  ".join(parts)
