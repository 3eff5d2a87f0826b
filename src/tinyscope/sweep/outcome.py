"""StudyResult: what a finished study says, and the model that it recommends."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tinyscope.errors import StorageError
from tinyscope.files import read_json
from tinyscope.report.page import write_report
from tinyscope.report.summary import FORMAT, PARTS, headline
from tinyscope.runs.run import Run, read_run
from tinyscope.shipping.classifier import Classifier, load_classifier


@dataclass(frozen=True)
class Recommended:
    """The run that a study recommends."""

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
    """A finished study: its folder, and the summary from which its report is made."""

    folder: Path
    summary: dict[str, Any]

    @property
    def recommended(self) -> Recommended:
        """The recommended run with the reason.

        Raises:
            StorageError: the run's folder has gone, is damaged, or was written by another version.
        """
        chosen = self.summary["recommended"]
        return Recommended(read_run(self.folder / "runs" / chosen["run"]), chosen["reason"])

    @property
    def verdict(self) -> str:
        """What the study says of the variation that it gives: that it is recommended, or why not.

        For people, before the variation's name: "Recommended".
        """
        chosen = self.summary["recommended"]
        if chosen.get("diverged"):
            return "Nothing can be recommended, the trainings diverged; shown"
        if chosen.get("guesses"):
            return "Nothing can be recommended, the answers cannot be told from guesses; shown"
        if chosen["val_accuracy"] is None:
            return "Nothing was chosen, there are no validation images; shown"
        return "Recommended"

    def report(self, path: str | Path) -> Path:
        """Writes the report to another place as well; returns it.

        Raises:
            InputError: another file of a study, a run or a model is there.
            StorageError: it cannot be written.
        """
        write_report(self.summary, Path(path))
        return Path(path)

    def as_dict(self) -> dict[str, Any]:
        """What `tinyscope run --json` prints."""
        return {
            "study": self.summary["study"]["name"],
            "data": self.summary["data"]["name"],
            "out": str(self.folder),
            "report": str(self.folder / "report.html"),
            "summary": str(self.folder / "summary.json"),
            **headline(self.summary),
        }

    def _repr_html_(self) -> str:
        """The recommendation and its reason, in a notebook."""
        chosen = self.summary["recommended"]
        return (
            f"<p><strong>{escape(chosen['variation'])}</strong>: "
            f"{chosen['test_accuracy']:.1%} of the test images. {escape(chosen['reason'])}</p>"
        )


def read_study(folder: Path) -> StudyResult:
    """The result of the finished study in a folder.

    Raises:
        StorageError: there is none, it cannot be read, or a later version has written it.
    """
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
    return StudyResult(folder.resolve(), summary)


def _is_there(path: Path) -> bool:
    """Whether there is such a file, as far as can be seen; reading tells why one cannot be read."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True
