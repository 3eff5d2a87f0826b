"""Where planted faults are planted: the benchmark's modules, kinds of faults, counts."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_results import ROOT

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


@contextmanager
def benchmark_modules() -> Iterator[dict[str, ModuleType]]:
    """The modules of `benchmarks/plant` by their names, and the command itself."""
    names = ("fault_set", "kinds", "image_bytes", "score", "copies", "pictures", "shortcuts")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        found = {name: importlib.import_module(f"plant.{name}") for name in names}
        yield found | {"planted_faults": importlib.import_module("planted_faults")}


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def source_of(modules: dict[str, ModuleType]) -> Any:
    """The digits that faults are planted in."""
    return modules["fault_set"].draw("digits", train=TRAIN, test=TEST, seed=0, more=MORE)


def with_all_shortcuts(
    modules: dict[str, ModuleType], source: Any, folder: Path
) -> tuple[Path, Any]:
    """A set with every shortcut planted in a folder, and what is in it."""
    names = list(modules["shortcuts"].SHORTCUTS)
    plant = modules["fault_set"].plant
    return folder, plant(source, folder, seed=0, count=COUNT, shortcuts=names)
