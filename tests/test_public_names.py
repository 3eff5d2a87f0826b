import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tinyscope

HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "pyarrow", "PIL", "jinja2", "rich")


def loaded_after(code: str) -> str:
    """What of the heavy packages a fresh Python has imported after `code`."""
    show = f"import sys; print([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return done.stderr.strip()


def test_the_public_names_are_sorted_and_each_once() -> None:
    names = [name for name in tinyscope.__all__ if name != "__version__"]
    assert names == sorted(set(names))
    assert len(tinyscope.__all__) == len(names) + 1
    assert dir(tinyscope) == sorted(tinyscope.__all__)


@pytest.mark.parametrize("name", tinyscope.__all__)
def test_every_public_name_is_there_and_is_documented(name: str) -> None:
    value = getattr(tinyscope, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__
        assert value is getattr(importlib.import_module(value.__module__), name)


def test_what_is_raised_heard_and_read_back_is_public() -> None:
    assert {
        *("InputError", "DataError", "StorageError", "Listener", "StudyResult"),
        *("complete", "read_run", "read_study"),
    } <= set(tinyscope.__all__)


def test_type_checkers_take_what_the_documentation_gives(tmp_path: Path) -> None:
    """Of the package as it is installed: without its marker nothing of it would be looked at."""
    assert (Path(tinyscope.__file__).parent / "py.typed").exists()
    (tmp_path / "mine.py").write_text(
        "from tinyscope.plan.recipe import Recipe\n"
        "from tinyscope.plan.study import Study\n"
        "Recipe(model='layer-stack', layers=['flatten'], widths=[8, 16], head=('relu',))\n"
        "Study(name='a', seeds=3, only=['base'])\n"
        "first: int = Study(name='b', seeds=[1, 2]).seeds[0]\n"
        "Study(name='c', seeds='3')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-incremental", "--no-color-output", "mine.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    only, _ = done.stdout.splitlines()
    assert only.startswith('mine.py:6: error: Argument "seeds"')


def test_a_name_that_is_not_there_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = tinyscope.trian
    assert str(caught.value) == "module 'tinyscope' has no attribute 'trian'"
    assert not hasattr(tinyscope, "_private")


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert loaded_after("import tinyscope; tinyscope.__version__; dir(tinyscope)") == "[]"


def test_asking_for_help_imports_nothing_heavy() -> None:
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        code = (
            "import sys\n"
            f"sys.argv = ['tinyscope', *{arguments!r}]\n"
            "from tinyscope.cli import main\n"
            "try:\n"
            "    main()\n"
            "except SystemExit as ended:\n"
            "    assert not ended.code, ended.code\n"
        )
        assert loaded_after(code) == "[]"


def test_planning_a_study_needs_no_torch_and_no_numpy() -> None:
    code = (
        "import tinyscope\n"
        "tinyscope.Study(name='s').recipes()\n"
        "tinyscope.recipe('compact')\n"
        "from tinyscope.plan.study_files import load_study\n"
        "load_study('demo')\n"
    )
    assert loaded_after(code) == "[]"


def test_the_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert tinyscope.__version__ == version("tinyscope")
