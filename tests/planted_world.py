"""Where planted faults are planted: kinds of faults, counts, and a set with every shortcut."""

from pathlib import Path
from typing import Any

from plant import fault_set, shortcuts

COUNT = 3
TRAIN, TEST, MORE = 200, 90, 70
KINDS = {
    "unreadable file": "TS001",
    "odd file": "TS002",
    "size out of line": "TS003",
    "mode out of line": "TS004",
    "exact copy in a class": "TS005",
    "near copy in a class": "TS006",
    "exact copy across classes": "TS007",
    "near copy across classes": "TS007",
    "exact copy across splits": "TS008",
    "near copy across splits": "TS008",
    "blank": "TS009",
    "dark": "TS010",
    "over-bright": "TS010",
    "blurred": "TS011",
    "low information": "TS012",
    "wrong label": "TS015",
}


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def source_of() -> Any:
    """The digits that faults are planted in."""
    return fault_set.draw("digits", train=TRAIN, test=TEST, seed=0, more=MORE)


def with_all_shortcuts(source: Any, folder: Path) -> tuple[Path, Any]:
    """A set with every shortcut planted in a folder, and what is in it."""
    names = list(shortcuts.SHORTCUTS)
    plant = fault_set.plant
    return folder, plant(source, folder, seed=0, count=COUNT, shortcuts=names)
