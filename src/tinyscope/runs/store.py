"""The folder of a study: which runs it holds, and which are missing."""

from pathlib import Path

from tinyscope.errors import StorageError
from tinyscope.runs.run import Run, read_run

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


def runs_below(folder: Path) -> list[Run]:
    """Every run in a study's folder, or in all studies' folders, by its path.

    Raises:
        StorageError: a later version has written one of them.
    """
    return [read_run(path.parent) for path in sorted(folder.rglob("run.json"))]


def check_folder(folder: Path) -> None:
    """Refuses a place that cannot be, or is not, a study's folder.

    Raises:
        StorageError: it is a file, or a folder of other things.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise StorageError(f"{folder} is a file. Choose a folder with --out.")
    known = {"study.toml", "plan.json", "summary.json", "report.html", "runs", "model"}
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in known)
    others = [name for name in others if not name.startswith(".")]
    if others and not (folder / "study.toml").exists():
        raise StorageError(
            f'{folder} holds other things ("{others[0]}") and no study. Choose an empty or a new '
            "folder with --out."
        )
