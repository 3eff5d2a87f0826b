import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from tinyscope.plan.study_files import parse

ROOT = Path(__file__).parent.parent


def test_the_architectures_tree_is_the_code_as_it_is():
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    house = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house)
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert house.with_tree(page) == page, "run: python docs/house.py"


def test_the_architecture_names_every_file_of_a_study_folder():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in ("summary.json", "result.json", "test-openings.json", "checkpoint.safetensors"):
        assert name in page


@pytest.mark.parametrize(
    ("package", "oldest", "why"),
    [
        ("click", (8, 2), "has NoArgsIsHelpError, which the command line catches"),
        ("skops", (0, 14), "trusts the parts of gradient boosting, which earlier ones refuse"),
    ],
)
def test_an_installation_has_at_least_the_versions_that_the_code_needs(package, oldest, why):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = [each for each in project["dependencies"] if each.startswith(f"{package}>=")]
    allowed = tuple(map(int, bound.split(">=")[1].split(".")))
    assert allowed >= oldest, f"{package} {oldest} {why}"


@pytest.mark.parametrize("page", ["README.md", "docs/experiments.md", "results/README.md"])
def test_a_figure_that_its_record_says_is_not_free_of_choice_is_told_with_that(page):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    for record in (ROOT / "results").glob("*/README.md"):
        if "not free of choice" not in record.read_text(encoding="utf-8"):
            continue
        before, found, after = text.partition(record.parent.name)
        assert found
        assert "not free of choice" in before[-500:] + after[:300]


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [
        line.removeprefix("$ ").split("  #")[0].strip() for line in lines if line.startswith("$ ")
    ]


def test_the_readme_begins_with_its_two_commands():
    assert [line for line in commands() if line.startswith("make")][:2] == [
        "make demo",
        "make test",
    ]


MAKE_OR_INSTALL = re.compile(r"(make|git|pip|python|py|source|\.venv|cd) ?")


@pytest.mark.parametrize("line", [each for each in commands() if each.startswith("tinyscope")])
def test_every_command_of_the_readme_is_understood(line, tinyscope, tmp_path, monkeypatch):
    """Each is given to the real command line, with the training itself replaced."""

    from tinyscope.sweep import local

    asked = []

    class Result:
        folder = tmp_path
        verdict = "Recommended"
        tested = "Test accuracy: 50.0% of 10 images"
        summary = {"recommended": {"variation": "base", "model": "m"}}  # noqa: RUF012

        def as_dict(self):
            return {}

    monkeypatch.setattr(
        local, "run_study", lambda study, **more: asked.append((study, more)) or Result()
    )
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    if words[0] == "run" and words[1].endswith(".toml"):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        shown_before = re.findall(r"```toml\n(.*?)```", text.partition(line)[0], re.DOTALL)
        (tmp_path / words[1]).write_text(shown_before[-1])
    if words[0] in ("run", "demo", "list", "doctor"):
        answer = tinyscope(*words)
        assert answer.status == 0, answer.err
        assert bool(asked) == (words[0] in ("run", "demo"))
    else:
        answer = tinyscope(words[0], "--help")
        assert answer.status == 0
        for word in words:
            if word.startswith("--"):
                assert word in answer.out


def test_every_study_in_the_readme_can_be_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    studies = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(studies) > 1
    for number, study in enumerate(studies):
        assert parse(study, name="s", file=f"README, study {number}").recipes()


def test_every_other_command_of_the_readme_is_make_or_an_installation():
    for line in commands():
        assert line.startswith("tinyscope") or MAKE_OR_INSTALL.match(line), line
