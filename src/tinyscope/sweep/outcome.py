"""StudyResult: what a finished study says, and the model that it recommends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tinyscope.errors import StorageError, TinyscopeError
from tinyscope.evaluation.choice import Standing
from tinyscope.files import path_of, read_json
from tinyscope.report.earlier_summaries import upgraded
from tinyscope.report.page import render, write_page
from tinyscope.report.summary import FORMAT, PARTS, headline
from tinyscope.runs.run import Run, read_run
from tinyscope.shipping.classifier import Classifier, load_classifier
from tinyscope.wording import between, counted, percent

_VERDICTS: dict[Standing, str] = {
    "recommended": "Recommended",
    "unchosen": "Nothing was chosen, there are no validation images; shown",
    "guesses": "Nothing can be recommended, the answers cannot be told from guesses; shown",
    "diverged": "Nothing can be recommended, the trainings diverged; shown",
}


@dataclass(frozen=True)
class Recommended:
    """The run that a study recommends, or shows where it can recommend nothing."""

    run: Run
    reason: str

    def classifier(self) -> Classifier:
        """Its model, ready for photos.

        Raises:
            InputError: there is no model in the run's folder any more.
            StorageError: see `load_classifier`.
        """
        return load_classifier(self.run.folder)


@dataclass(frozen=True)
class StudyResult:
    """A finished study: its folder, and the summary from which its report is made.

    One that was read back from its folder raises StorageError wherever the summary lacks what is
    asked of it.
    """

    folder: Path
    summary: dict[str, Any]
    stored: Path | None = None
    """The file that the summary was read back from; None where it was just made."""

    @property
    def recommended(self) -> Recommended:
        """The recommended run with the reason.

        Raises:
            StorageError: the run's folder has gone, is damaged, or was written by another version.
        """
        with reading(self.stored):
            chosen = self.summary["recommended"]
            folder, reason = self.folder / "runs" / chosen["run"], chosen["reason"]
        return Recommended(read_run(folder), reason)

    @property
    def verdict(self) -> str:
        """What the study says of the variation that it gives: that it is recommended, or why not.

        For people, before the variation's name: "Recommended".
        """
        with reading(self.stored):
            return _VERDICTS[self.summary["recommended"]["standing"]]

    @property
    def tested(self) -> str:
        """What the model that ships knows of the test images, for people, in a line.

        Where some of them are copies of training images, it is told of the others; where there are
        more seeds than its own, their mean stands beside.
        """
        with reading(self.stored):
            return self._tested()

    def _tested(self) -> str:
        chosen = self.summary["recommended"]
        block = next(
            one for one in self.summary["variations"] if one["name"] == chosen["variation"]
        )["test"]
        leaks, images = block["leaks"], block["images"]
        copies = 0 if leaks is None else leaks["images"]
        shown, interval = block["lowest_seed_accuracy"], block["image_interval"]
        if copies and leaks["image_interval_without"] is not None:
            shown, interval = leaks["lowest_seed_accuracy_without"], leaks["image_interval_without"]
            of = f"{counted(images - copies, 'image')} without a copy among the training images"
            told = f"{percent(shown)} of {of} (95% interval {between(interval)})"
        elif copies:
            have = "has a copy" if copies == 1 else "have copies"
            told = (
                f"{percent(shown)} of {counted(images, 'image')}, {copies:,} of which {have} among "
                "the training images; what it is on others is not known"
            )
        else:
            told = f"{percent(shown)} of {counted(images, 'image')} (95% interval "
            told += f"{between(interval)})"
        seeds = len(chosen["seeds"])
        others = f"; mean of {seeds} seeds on all {percent(block['accuracy'])}"
        return f"Test accuracy: {told}{others if seeds > 1 else ''}"

    def report(self, path: str | Path) -> Path:
        """Writes the report to another place as well; returns it.

        Raises:
            InputError: another file of a study, a run or a model is there.
            StorageError: it cannot be written, or the summary was edited.
        """
        place = path_of(path)
        with reading(self.stored):
            page = render(self.summary)
        write_page(page, place)
        return place

    def as_dict(self) -> dict[str, Any]:
        """What `tinyscope run --json` prints."""
        with reading(self.stored):
            return {
                "study": self.summary["study"]["name"],
                "data": self.summary["data"]["name"],
                "out": str(self.folder),
                "report": str(self.folder / "report.html"),
                "summary": str(self.folder / "summary.json"),
                **headline(self.summary),
            }

    def __repr__(self) -> str:
        with reading(self.stored):
            chosen = self.summary["recommended"]["variation"]
            name = self.summary["study"]["name"]
        return f"StudyResult({name!r} in {str(self.folder)!r}, {self.verdict}: {chosen})"

    def _repr_html_(self) -> str:
        """The recommendation and its reason, in a notebook."""
        with reading(self.stored):
            chosen = self.summary["recommended"]
            return (
                f"<p>{self.verdict}: <strong>{escape(chosen['variation'])}</strong>. "
                f"{escape(chosen['reason'])}</p><p>{escape(self._tested())}</p>"
            )


def read_study(folder: str | Path) -> StudyResult:
    """The result of the finished study in a folder.

    Raises:
        StorageError: there is none, it cannot be read, it was edited so that it lacks something, or
            a later version has written it.
    """
    folder = path_of(folder)
    path = folder / "summary.json"
    if not _is_there(path):
        raise StorageError(
            f"There is no finished study in {folder}: expected a summary.json, which a study "
            'writes once all its runs are finished. "tinyscope list runs FOLDER" shows what is '
            "there."
        )
    summary = read_json(path)
    version = summary.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise StorageError(
            f"{folder} was written by a later version of Tinyscope (format {version}; this one "
            f"reads up to {FORMAT})."
        )
    if missing := [key for key in PARTS if key not in summary]:
        raise StorageError(
            f"{path} is damaged: it lacks {', '.join(missing)}. Run the study again to have it "
            "written anew; its finished runs are kept."
        )
    with reading(path):
        return StudyResult(folder.resolve(), upgraded(summary), stored=path)


@contextmanager
def reading(stored: Path | None) -> Iterator[None]:
    """Within it, what a summary that was read back lacks is its fault, and not the reader's.

    Its parts are nested too deeply to be asked for one by one, and what is lacking or of another
    type shows where it is used; that error is kept as the cause. Other errors, of the disk or of a
    library, and whatever is wrong with a summary that was just made, are raised as they are.

    Args:
        stored: the file that the summary was read back from; None where it was just made.

    Raises:
        StorageError: something was not as expected.
    """
    from jinja2 import UndefinedError

    lacking = (LookupError, TypeError, ValueError, AttributeError, StopIteration, UndefinedError)
    try:
        yield
    except TinyscopeError:
        raise
    except lacking as error:
        if stored is None:
            raise
        raise StorageError(
            f"{stored} does not hold what this version reads ({type(error).__name__}: {error}): it "
            "was edited, or written by another version. Run the study again to have it written "
            "anew; its finished runs are kept."
        ) from error


def _is_there(path: Path) -> bool:
    """Whether there is such a file, as far as can be seen; reading tells why one cannot be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True
