"""docs/studies.md says of study files what `plan` takes."""

import re
from pathlib import Path

from tinyscope.models.recipe_faults import JUDGES
from tinyscope.plan.published_figures import FIGURES
from tinyscope.plan.study import _SETTABLE
from tinyscope.plan.study_faults import STUDY_KEYS, VARIATION_KEYS
from tinyscope.plan.study_files import parse

PAGE = (Path(__file__).parents[1] / "docs" / "studies.md").read_text(encoding="utf-8")


def example():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    return parse(text, name="example", file="docs/studies.md", judges=JUDGES)


def test_the_pages_study_is_one_and_holds_the_variations_that_it_tells_of():
    study = example()
    assert list(study.recipes()) == [
        *("base", "smooth", "wide", "quick", "wide-longer"),
        *(f"learning_rate={rate},batch_size={size}" for rate in (0.1, 0.2) for size in (128, 256)),
    ]
    assert study.starts() == {"wide-longer": "wide"}
    assert {recipe.epochs for recipe in study.recipes().values()} == {4}
    assert set(study.published_figures()) == {"wide"}


def test_the_page_tells_every_key_and_table_of_a_study_once_and_no_other():
    rows = re.findall(r"^\| `\[?(\w+)[^`]*` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(STUDY_KEYS)


def test_the_page_tells_what_a_variation_a_published_figure_and_set_may_name():
    for key in (*VARIATION_KEYS, *FIGURES, *_SETTABLE):
        assert f"`{key}`" in PAGE or f"`{key} = " in PAGE
