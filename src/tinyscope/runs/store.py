"""The folder of a study: which runs it holds, and which are missing."""

import os
from pathlib import Path

from tinyscope.errors import StorageError

DEFAULT_ROOT = Path("tinyscope-runs")
"""Where studies live below the current folder unless `--out` says otherwise."""


def run_folder(study_folder: Path, *, variation: str, seed: int, identity: str) -> Path:
    """Where the run of that identity lies, or will lie.

    A run that is there already is found by its identity alone: a variation that was only renamed is
    not trained again.
    """
    runs = study_folder / "runs"
    for folder in sorted(runs.glob(f"*-{identity}")):
        return folder
    spelled = "".join(each if each.isalnum() or each in "._=-" else "_" for each in variation)
    return runs / f"{spelled}-seed{seed}-{identity}"


def run_folders(folder: Path) -> list[Path]:
    """The folder of every run in a study's folder, or in all studies' folders, sorted."""
    return [path.parent for path in sorted(folder.rglob("run.json"))]


def check_folder(folder: Path) -> None:
    """Refuses a place that cannot be, or is not, a study's folder.

    Raises:
        StorageError: it is a file, or a folder of other things.
    """
    try:
        there = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        if not os.path.isfile(folder):  # a folder above it is: it is told when this one is made
            return
        raise StorageError(f"{folder} is a file. Choose a folder with --out.") from None
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be a study's folder: {error.strerror}. Choose another with --out."
        ) from None
    for name in ("runs", "model"):
        if name in there and os.path.isfile(folder / name):
            raise StorageError(f"{folder / name} is a file, where a study keeps a folder.")
    known = {"study.toml", "plan.json", "summary.json", "report.html", "runs", "model"}
    others = sorted(there - known)
    others = [name for name in others if not name.startswith(".")]
    if others and "study.toml" not in there:
        raise StorageError(
            f'{folder} holds other things ("{others[0]}") and no study. Choose an empty or a new '
            "folder with --out."
        )
