"""What a study is refused for, and that it says so."""

from dataclasses import replace
from typing import Any

import pytest

from tinyscope.errors import InputError
from tinyscope.plan.recipe import KEYS
from tinyscope.plan.recipe_book import RECIPES
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import parse


def told(**values: Any) -> str:
    with pytest.raises(InputError) as caught:
        Study(**{"name": "s", **values})
    return str(caught.value)


def test_contradictions_are_judged_against_the_own_base_of_a_variation() -> None:
    study = Study(
        name="s",
        recipe="compact",
        variations={"a": {"recipe": "plain", "warmup": 0.1}, "b": {"warmup": 0.1}},
    )
    with pytest.raises(InputError) as caught:
        study.recipes()
    assert str(caught.value) == (
        'Study s: variation "a": warmup belongs to the schedules "linear", "cosine" and '
        '"one-cycle".'
    )


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (
            ["fats"],
            'Study s: only: "fats" is the name of no variation of this study. Did you mean "fast"? '
            "They are base, fast.",
        ),
        ("fast", 'Study s: only = "fast" is not a list of names of variations.'),
        ([1], "Study s: only = [1] is not a list of names of variations."),
    ],
)
def test_what_is_no_variation_cannot_be_the_only_one_to_run(only: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Study(name="s", variations={"fast": {"epochs": 1}}, only=only)
    assert str(caught.value) == message


def test_a_variation_cannot_normalize_otherwise_than_the_network_that_it_goes_on_with() -> None:
    study = Study(name="s", variations={"late": {"start_from": "base", "normalization": "unit"}})
    with pytest.raises(InputError) as caught:
        study.recipes()
    assert str(caught.value) == (
        'Study s: variation "late": start_from = "base" goes on with the same network, and '
        "normalization is not as there."
    )


@pytest.mark.parametrize("key", ["recipe", "start_from"])
def test_what_only_a_variation_has_cannot_be_set_for_all(key: str) -> None:
    with pytest.raises(InputError) as caught:
        Study(name="s").with_overrides({key: "base"})
    assert str(caught.value) == f"{key} cannot be set for all variations; it is for a study file."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"validaton": 0.2},
            'Unknown key "validaton". Did you mean "validation"? Besides recipe keys there are '
            "validation, split_seed, size, review, base.",
        ),
        (
            {"seeds": 2},
            "seeds is a key of the study that cannot be set so. Besides recipe keys there are "
            "validation, split_seed, size, review, base.",
        ),
        (
            {"epoch": 3},
            'Unknown recipe key "epoch". Did you mean "epochs"? '
            f'Run "tinyscope list recipes" to see all {len(KEYS)}.',
        ),
        (
            {"epochs": 0, "shift": "x"},
            'epochs = 0 is out of range: at least 1. shift = "x" is not a whole number.',
        ),
        ({"validation": "none"}, 'Study s: validation = "none" is not a number.'),
        ({"split_seed": "none"}, 'Study s: split_seed = "none" is not a whole number.'),
        ({"base": "no"}, 'Study s: base = "no" is not true or false.'),
        ({"base": False}, "Study s: base = false leaves nothing to run."),
        (
            {"size": 2},
            "Study s: size = 2 is out of range: at least 8, at most 512.",
        ),
    ],
)
def test_a_wrong_override_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Study(name="s").with_overrides(changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("key", ["early_stopping_patience", "plateau_patience"])
def test_watching_validation_images_that_there_are_none_of_is_refused(key: str) -> None:
    study = Study(name="s", question="?", validation=0.0, variations={"watched": {key: 3}})
    with pytest.raises(InputError) as refused:
        study.recipes()
    assert str(refused.value) == (
        f'Study s: variation "watched": {key} = 3 watches the validation loss, and validation = 0 '
        f'leaves no such images. Set validation = 0.1, or {key} = "none".'
    )
    # Each of the two remedies.
    replace(study, validation=0.1).recipes()
    study.with_overrides({key: "none"}).recipes()


def test_everything_that_watches_validation_images_is_told_at_once() -> None:
    watched = {"early_stopping_patience": 2, "plateau_patience": 3}
    study = Study(name="s", validation=0, base=False, variations={"both": watched})
    with pytest.raises(InputError) as refused:
        study.recipes()
    assert str(refused.value) == (
        'Study s: variation "both": early_stopping_patience = 2 watches the validation loss, and '
        "validation = 0 leaves no such images. Set validation = 0.1, or early_stopping_patience = "
        '"none". variation "both": plateau_patience = 3 watches the validation loss, and '
        "validation = 0 leaves no such images. Set validation = 0.1, or plateau_patience = "
        '"none".'
    )


def test_keys_that_contradict_one_another_are_told_for_every_variation() -> None:
    study = Study(
        name="s",
        variations={"a": {"schedule": "one-cycle"}, "b": {"layers": ["flatten"]}},
        grid={"warmup": [0.1]},
    )
    with pytest.raises(InputError) as caught:
        study.recipes()
    assert str(caught.value) == (
        'Study s: variation "a": schedule = "one-cycle" needs a warmup between 0 and 1, such as '
        '0.3. variation "b": "layers" and model = "layer-stack" come together or not at all. '
        'variation "warmup=0.1": warmup belongs to the schedules "linear", "cosine" and '
        '"one-cycle".'
    )


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0, "0"),
        (-1, "-1"),
        (2026, "2026"),
        (True, "true"),
        (1.0, "1.0"),
        ("3", '"3"'),
        ([], "[]"),
        ([1, 1], "[1, 1]"),
        ([0, -1], "[0, -1]"),
        ([0, 2**32], "[0, 4294967296]"),
        ([True, 2], "[true, 2]"),
        ([0.5], "[0.5]"),
    ],
)
def test_seeds_that_are_neither_are_refused(given: Any, shown: str) -> None:
    fault = (
        f"seeds = {shown} is neither a count from 1 to 1000 nor a list of different whole numbers "
        "from 0."
    )
    assert told(seeds=given) == f"Study s: {fault}"
    with pytest.raises(InputError) as caught:
        parse(f"\nseeds = {shown}", name="s", file="s.toml")
    assert str(caught.value) == f"s.toml:2: {fault}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"recipe": "compct"},
            'Unknown recipe "compct". Did you mean "compact"? '
            f'Run "tinyscope list recipes" to see all {len(RECIPES)}.',
        ),
        ({"question": 3}, "question = 3 is not a text."),
        ({"data": None}, "data = None is not a text."),
        ({"validation": 1}, "validation = 1 is out of range: at least 0, below 1."),
        ({"validation": -0.1}, "validation = -0.1 is out of range: at least 0, below 1."),
        ({"validation": float("nan")}, "validation = nan is out of range: at least 0, below 1."),
        ({"validation": None}, "validation = None is not a number."),
        ({"validation": True}, "validation = true is not a number."),
        ({"split_seed": -1}, "split_seed = -1 is out of range: at least 0, below 4294967296."),
        ({"split_seed": 1.0}, "split_seed = 1.0 is not a whole number."),
        ({"size": 513}, "size = 513 is out of range: at least 8, at most 512."),
        ({"base": 1}, "base = 1 is not true or false."),
        ({"base": False}, "base = false leaves nothing to run."),
        ({"variations": ["a"]}, "variations is not a table."),
        ({"variations": {"a": 3}}, "variations.a is not a table of recipe keys."),
        (
            {"variations": {"a": {"epoch": 3}}},
            'Unknown recipe key "epoch". Did you mean "epochs"? '
            f'Run "tinyscope list recipes" to see all {len(KEYS)}.',
        ),
        ({"overrides": {"epochs": 0}}, "epochs = 0 is out of range: at least 1."),
        ({"grid": {"epochs": 3}}, "grid.epochs is not a list of values."),
        ({"grid": {"epochs": []}}, "grid.epochs is not a list of values."),
        ({"grid": {"epochs": [1, 0, "x"]}}, "epochs = 0 is out of range: at least 1."),
        ({"grid": {"learning_rate": [1, 0.5, 1.0]}}, "grid.learning_rate holds 1.0 twice."),
        (
            {"grid": {"layers": [["flatten"]]}},
            "grid.layers holds lists; write such values below [variations.NAME].",
        ),
        (
            {"grid": {key: list(range(11)) for key in ("shift", "cutout", "rotation")}},
            "The grid has 1331 combinations; at most 1000 are allowed.",
        ),
        (
            {"published": {"base": 61}},
            "published.base = 61 is neither an accuracy between 0 and 1 nor a table of figures.",
        ),
        (
            {"published": {"base": True}},
            "published.base = true is neither an accuracy between 0 and 1 nor a table of figures.",
        ),
        (
            {"variations": {"model-1": {"epochs": 3}}, "published": {"modle-1": 0.6}},
            'published.modle-1 is the name of no variation of this study. Did you mean "model-1"?',
        ),
        (
            {"published": {"zzz": 0.6}},
            "published.zzz is the name of no variation of this study.",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told(values: dict[str, Any], message: str) -> None:
    assert told(**values) == f"Study s: {message}"


def test_a_grid_whose_names_would_be_too_long_for_a_folder_is_refused() -> None:
    keys = ("learning_rate", "weight_decay", "label_smoothing", "plateau_minimum", "epsilon")
    grid = {key: [0.1234567890123456] for key in keys}
    name = ",".join(f"{key}=0.1234567890123456" for key in keys)
    assert told(grid=grid) == (
        f'Study s: The name "{name}" has more than 160 letters; vary fewer keys.'
    )


@pytest.mark.parametrize(
    "name",
    ["", "base", "../up", "a/b", " a", ".a", "-a", "a" * 81, "größe", "a\\b", "a:b", "a\nb"],
)
def test_a_name_that_no_folder_should_have_is_refused(name: str) -> None:
    shown = " ".join(name.splitlines())
    assert told(variations={name: {"epochs": 3}}) == (
        f'Study s: "{shown}" cannot name a variation: expected at most 80 letters, digits and '
        '" ._=,+-", a letter or digit first, and not "base".'
    )


def test_a_variation_is_not_lost_to_a_point_of_the_grid_of_its_name() -> None:
    assert told(variations={"epochs=5": {"epochs": 7}}, grid={"epochs": [5, 6]}) == (
        'Study s: "epochs=5" is the name of a point of the grid; choose another.'
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", '""'), ("..", '".."'), (".", '"."'), ("a/b", '"a/b"'), ("a\\b", '"a\\\\b"')],
)
def test_a_study_cannot_lie_outside_its_own_folder(name: str, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        Study(name=name)
    assert str(caught.value) == f"{shown} cannot name a study: it names a folder."
