"""A study as a file, and back."""

import random
import tomllib
from typing import Any

import pytest

from tinyscope.plan.study import Study
from tinyscope.plan.study_faults import STUDY_KEYS
from tinyscope.plan.study_files import parse


def test_a_study_file_has_a_word_for_everything_that_a_study_holds() -> None:
    assert {"name", *STUDY_KEYS} == set(Study.__dataclass_fields__)


ODD_TEXTS = (
    "",
    "plain",
    'a "quoted" word',
    "C:\\photos\\new",
    "two\nlines\r\nand\ttab",
    "Größe 虎 🐯 é",
    "bell \x07 escape \x1b delete \x7f nul \x00",
    "next line \x85, separators \u2028 \u2029",
    "'''\"\"\" # no comment = [x]",
    "\\u0041 \\",
)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_every_text_comes_back_from_a_study_file(text: str) -> None:
    study = Study(name="s", question=text, data=text, published_source=text)
    assert parse(study.as_toml(), name="s", file="s.toml") == study


def _random_study(draw: random.Random) -> Study:
    letters = [*"abc .=,#[]{}'\"\\\n\r\t\b\f\x00\x1f\x7f\x85\u2028é虎🐯"]
    name = [*"abcXYZ019._=,+- "]

    def text() -> str:
        return "".join(draw.choices(letters, k=draw.randrange(12)))

    def changes() -> dict[str, Any]:
        some = {
            "epochs": draw.randrange(1, 100),
            "learning_rate": draw.choice([0.1, 1e-7, 1e16, 1, 3.5e-300]),
            "horizontal_flip": draw.random() < 0.5,
            "model": text(),
            "step_epochs": draw.choice([1, 3]),
            "plateau_patience": "none",
        }
        return {key: some[key] for key in draw.sample(sorted(some), draw.randrange(len(some)))}

    def figures() -> Any:
        some = {"test_accuracy": draw.random(), "epochs": 3, "minutes": 0.5, "differs": [text()]}
        chosen = draw.sample(sorted(some), draw.randrange(len(some)))
        return draw.choice([draw.random(), {key: some[key] for key in chosen}])

    variations = {
        draw.choice("ab1") + "".join(draw.choices(name, k=draw.randrange(9))): changes()
        for _ in range(draw.randrange(4))
    }
    for body in variations.values():
        if draw.random() < 0.3:
            body["recipe"] = draw.choice(["plain", "keras-adam"])
    if variations and draw.random() < 0.3:
        variations["after"] = {**variations[min(variations)], "start_from": min(variations)}
    if draw.random() < 0.5:
        layers = [text() for _ in range(draw.randrange(1, 4))]
        variations["layers"] = {"model": "layer-stack", "layers": layers}
    grid = {"epochs": [1, 2], "plateau_factor": [0.5, 1], "model": ["a" + text(), "b"]}
    overrides = changes()
    overrides.pop("model", None)  # a variation with layers could not have another one
    return Study(
        name="s",
        question=text(),
        data=text(),
        recipe=draw.choice(["plain", "compact"]),
        variations=variations,
        grid={key: grid[key] for key in draw.sample(sorted(grid), draw.randrange(4))},
        seeds=tuple(draw.sample(range(2**32), draw.randrange(1, 4))),
        validation=draw.choice([0, 0.1, draw.random()]),
        split_seed=draw.randrange(2**32),
        size=draw.choice([None, 32]),
        published={key: figures() for key in [*variations, "base"][: draw.randrange(3)]},
        published_source=text(),
        overrides=overrides,
    )


def test_any_study_comes_back_from_its_file() -> None:
    for seed in range(60):
        study = _random_study(random.Random(seed))
        assert parse(study.as_toml(), name="s", file="s.toml") == study, seed


def test_a_study_file_is_as_plain_as_what_it_says() -> None:
    study = Study(
        name="s",
        question="Why?",
        variations={"a": {}, "lr=0.5": {"plateau_patience": None, "layers": ("x", "y")}},
        seeds=(4,),
    )
    text = study.as_toml()
    assert text == (
        'question = "Why?"\ndata = "digits"\nrecipe = "plain"\nbase = true\nseeds = [4]\n'
        'validation = 0.1\nsplit_seed = 0\nreview = ""\npublished_source = ""\n'
        'published_tables = ""\n\n[variations.a]\n\n'
        '[variations."lr=0.5"]\nplateau_patience = "none"\nlayers = ["x", "y"]\n'
    )
    assert tomllib.loads(text)["variations"]["lr=0.5"]["layers"] == ["x", "y"]
