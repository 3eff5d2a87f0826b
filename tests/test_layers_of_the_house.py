import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tinyscope"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.stat().st_size)

LEAVES = {"batch_count", "cores", "errors", "files", "wording"}
PLAIN = LEAVES | {"plan", "data", "models"}
MIDDLE = PLAIN | {"runs", "evaluation"}
UPPER = MIDDLE | {"training", "features", "diagnosis", "report", "shipping"}
BELOW_TOP = UPPER | {"inspection", "sweep"}
MAY_IMPORT = {
    "batch_count": set(),
    "cores": set(),
    "errors": set(),
    "files": {"errors"},
    "terminal": set(),
    "threads": {"cores"},
    "wording": set(),
    **dict.fromkeys(("plan", "data", "models"), LEAVES),
    **dict.fromkeys(("runs", "evaluation"), PLAIN),
    **dict.fromkeys(("training", "features", "diagnosis", "shipping"), MIDDLE),
    "report": MIDDLE | {"diagnosis"},
    "inspection": UPPER,
    "sweep": UPPER | {"inspection"},
    "command_parameters": {"files"},
    **dict.fromkeys(("api", "listings", "study_options"), BELOW_TOP),
    "console": BELOW_TOP | {"terminal"},
    "cli": BELOW_TOP
    | {"api", "command_parameters", "console", "listings", "study_options", "terminal", "threads"},
    "__init__": BELOW_TOP | {"api"},
}
"""For every package and every file at the top, what it may import beside itself."""

TORCH_ONLY_IN = {
    "plan": set(),
    "runs": set(),
    "diagnosis": set(),
    "report": set(),
    "evaluation": {"predict"},
    "data": {"augmentation", "batches"},
}
"""Packages that run without torch, and the modules of theirs that may import it."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def test_every_part_of_the_house_has_its_place_here() -> None:
    assert {layer_of(path) for path in MODULES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    allowed = MAY_IMPORT[layer_of(path)] | {layer_of(path), "__version__"}
    wrong = []
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "tinyscope" and len(parts) > 1 and parts[1] not in allowed:
            wrong.append(f"{name_of(path)}:{line}: {name}")
    assert wrong == []


WITHOUT_TORCH = [
    path
    for path in MODULES
    if layer_of(path) in {*TORCH_ONLY_IN, *LEAVES, "cli", "listings"}
    and path.stem not in TORCH_ONLY_IN.get(layer_of(path), set())
]


@pytest.mark.parametrize(
    "path", [path for path in WITHOUT_TORCH if layer_of(path) in TORCH_ONLY_IN], ids=name_of
)
def test_torch_is_imported_only_where_networks_are(path: Path) -> None:
    wrong = [(line, name) for line, name in imports(path) if name.split(".")[0] == "torch"]
    assert wrong == []


def test_what_needs_no_torch_can_be_imported_where_there_is_none() -> None:
    names = [
        ".".join(("tinyscope", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in WITHOUT_TORCH
    ]
    code = (
        "import importlib, sys\n"
        "sys.modules['torch'] = None\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_in_one_sentence_what_it_holds(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, _, rest = text.partition("\n")
    assert first.endswith("."), first
    assert not re.search(r"[.!?] [A-Z]", first), f"more than one sentence: {first}"
    assert not rest or rest.startswith("\n"), "a blank line has to follow"


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        name_of(path): count
        for path in MODULES
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_no_module_is_named_after_nothing() -> None:
    empty_names = {"utils", "util", "common", "base", "helpers", "helper", "misc", "tools"}
    parts = {part.removesuffix(".py") for path in MODULES for part in Path(name_of(path)).parts}
    assert not parts & empty_names


def test_the_init_of_a_package_is_empty() -> None:
    filled = [path for path in MODULES if path.name == "__init__.py" and path.parent != SOURCE]
    assert filled == []
