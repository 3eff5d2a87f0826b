import random
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from tinyscope.errors import InputError
from tinyscope.plan.published_figures import PublishedFigures
from tinyscope.plan.recipe import KEYS
from tinyscope.plan.recipe_book import RECIPES, recipe
from tinyscope.plan.study import Study
from tinyscope.plan.study_faults import STUDY_KEYS, grid_points
from tinyscope.plan.study_files import load_study, parse


def told(**values: Any) -> str:
    with pytest.raises(InputError) as caught:
        Study(**{"name": "s", **values})
    return str(caught.value)


def test_a_study_without_more_runs_its_base_with_three_seeds() -> None:
    study = Study(name="s")
    assert study.recipes() == {"base": recipe("plain")}
    assert study.seeds == (0, 1, 2)
    assert study.validation == 0.1


def test_a_variation_changes_only_what_it_names() -> None:
    study = Study(
        name="s",
        recipe="compact",
        variations={"smooth": {"label_smoothing": 0.2}, "b.2": {"model": "resnet-20"}},
    )
    base = recipe("compact")
    assert list(study.recipes().items()) == [
        ("base", base),
        ("smooth", base.changed({"label_smoothing": 0.2})),
        ("b.2", base.changed({"model": "resnet-20"})),
    ]


def test_a_grid_is_every_combination_after_the_variations() -> None:
    study = Study(
        name="s",
        base=False,
        variations={"other": {"epochs": 3}},
        grid={"learning_rate": [0.5, 1], "nesterov": [True, False], "optimizer": ["adam"]},
    )
    recipes = study.recipes()
    assert list(recipes) == [
        "other",
        "learning_rate=0.5,nesterov=true,optimizer=adam",
        "learning_rate=0.5,nesterov=false,optimizer=adam",
        "learning_rate=1,nesterov=true,optimizer=adam",
        "learning_rate=1,nesterov=false,optimizer=adam",
    ]
    last = recipes["learning_rate=1,nesterov=false,optimizer=adam"]
    assert last == recipe("plain").changed(
        {"learning_rate": 1.0, "nesterov": False, "optimizer": "adam"}
    )


def test_a_variation_may_have_a_base_of_its_own_and_overrides_still_win() -> None:
    study = Study(
        name="s",
        recipe="compact",
        variations={
            "a": {"recipe": "resnet", "shift": 1},
            "b": {"recipe": "quick"},
            "c": {"epochs": 4},
        },
        grid={"zoom": [0.5]},
        overrides={"batch_size": 32, "epochs": 2},
    )
    set_for_all = {"batch_size": 32, "epochs": 2}
    assert study.recipes() == {
        "base": recipe("compact").changed(set_for_all),
        "a": recipe("resnet").changed({"shift": 1, **set_for_all}),
        "b": recipe("quick").changed(set_for_all),
        "c": recipe("compact").changed(set_for_all),
        "zoom=0.5": recipe("compact").changed({"zoom": 0.5, **set_for_all}),
    }
    assert study.starts() == {}


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


def test_a_variation_may_start_from_any_other_with_the_same_network() -> None:
    study = Study(
        name="s",
        variations={
            "late": {"start_from": "longer", "epochs": 1},
            "longer": {"start_from": "base", "learning_rate": 0.01},
            "again": {"start_from": "epochs=3", "backbone_size": "none", "widths": [64, 256, 256]},
        },
        grid={"epochs": [3]},
    )
    assert study.starts() == {"late": "longer", "longer": "base", "again": "epochs=3"}
    assert list(study.recipes()) == ["base", "late", "longer", "again", "epochs=3"]
    assert study.recipes()["again"] == recipe("plain")
    assert parse(study.as_toml(), name="s", file="s.toml") == study


def test_only_the_variations_asked_for_run_and_those_that_they_begin_from() -> None:
    study = Study(
        name="s",
        variations={
            "late": {"start_from": "longer", "epochs": 1},
            "longer": {"start_from": "base", "learning_rate": 0.01},
            "other": {"epochs": 7},
        },
        grid={"epochs": [3, 4]},
        only=["late", "epochs=4"],
    )
    assert list(study.recipes()) == ["base", "late", "longer", "epochs=4"]
    assert study.left_out() == ("other", "epochs=3")
    assert parse(study.as_toml(), name="s", file="s.toml") == study
    everything = replace(study, only=())
    assert everything.left_out() == ()
    assert study.recipes().items() <= everything.recipes().items()


def test_a_part_of_a_study_keeps_its_published_tables() -> None:
    study = load_study("published-d")
    part = replace(study, only=("simple",))
    assert list(part.recipes()) == ["simple"]
    assert part.published_figures() == study.published_figures()


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


def test_overrides_win_over_the_base_and_over_every_variation() -> None:
    study = Study(
        name="s",
        variations={"long": {"epochs": 50}},
        grid={"epochs": [5, 6], "shift": [1]},
        overrides={"epochs": 2},
    )
    assert {made.epochs for made in study.recipes().values()} == {2}
    assert study.recipes()["epochs=5,shift=1"].shift == 1


def test_later_overrides_win_over_earlier_ones_and_leave_the_rest() -> None:
    study = Study(name="s", overrides={"epochs": 2, "shift": 1})
    changed = study.with_overrides({"epochs": 3, "validation": 0.2, "size": 16, "base": True})
    assert changed.overrides == {"epochs": 3, "shift": 1}
    assert (changed.validation, changed.size) == (0.2, 16)
    assert study.overrides == {"epochs": 2, "shift": 1}


def test_a_size_can_be_taken_back() -> None:
    study = Study(name="s", size=16)
    assert study.with_overrides({"size": "none"}).size is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"validaton": 0.2},
            'Unknown key "validaton". Did you mean "validation"? Besides recipe keys there are '
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


@pytest.mark.parametrize(("given", "seeds"), [(3, (0, 1, 2)), (1, (0,)), ([7, 2], (7, 2))])
def test_seeds_are_a_count_or_a_list(given: Any, seeds: tuple[int, ...]) -> None:
    assert Study(name="s", seeds=given).seeds == seeds
    assert parse(f"seeds = {given}", name="s", file="s.toml").seeds == seeds


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


def test_published_figures_may_be_of_the_base_and_of_points_of_the_grid() -> None:
    study = Study(name="s", grid={"epochs": [1, 2]}, published={"base": 0.5, "epochs=2": 1})
    assert study.published["epochs=2"] == 1


def test_published_figures_come_in_one_form_from_numbers_and_from_tables() -> None:
    study = Study(
        name="s",
        variations={"a": {"epochs": 1}, "b": {"epochs": 2}, "c": {"epochs": 3}},
        published={
            "c": {"val_loss": 1.5, "minutes": 2, "differs": ["One.", "Two."]},
            "a": {"test_accuracy": 0.6, "parameters": 10},
            "base": 0.5,
        },
    )
    found = study.published_figures()
    assert list(found) == ["base", "a", "c"]
    assert found["base"] == PublishedFigures(figures={"test_accuracy": 0.5})
    assert found["a"] == PublishedFigures(figures={"test_accuracy": 0.6, "parameters": 10})
    assert found["c"] == PublishedFigures(
        figures={"val_loss": 1.5, "minutes": 2}, differs=("One.", "Two.")
    )
    assert parse(study.as_toml(), name="s", file="s.toml") == study


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


def test_a_point_of_a_grid_may_be_written_out_under_its_name() -> None:
    grid = {"backbone": ["timm:resnet18.a1_in1k", "shipped"], "learning_rate": [0.1]}
    points = grid_points(grid)
    assert "backbone=timm:resnet18.a1_in1k,learning_rate=0.1" in points
    changes = {name: {"model": "transfer", **point} for name, point in points.items()}
    assert list(Study(name="s", base=False, variations=changes).recipes()) == list(points)


def test_a_variation_is_not_lost_to_a_point_of_the_grid_of_its_name() -> None:
    assert told(variations={"epochs=5": {"epochs": 7}}, grid={"epochs": [5, 6]}) == (
        'Study s: "epochs=5" is the name of a point of the grid; choose another.'
    )


@pytest.mark.parametrize("own", ["photos", "photos/", "a/photos"])
@pytest.mark.parametrize("given", ["photos", "photos/", "b/photos", "b\\photos\\"])
def test_published_figures_stay_with_data_of_the_same_name(own: str, given: str) -> None:
    study = Study(name="s", data=own, published={"base": 0.5})
    assert study.on(given).published
    assert not study.on("others").published


def test_a_variation_may_be_called_base_where_the_unchanged_base_does_not_run() -> None:
    variations = {"base": {"epochs": 3}, "b": {"start_from": "base"}}
    study = Study(name="s", base=False, variations=variations, published={"base": 0.5})
    assert [made.epochs for made in study.recipes().values()] == [3, 20]
    assert study.starts() == {"b": "base"}
    with pytest.raises(InputError, match='"base" cannot name a variation'):
        study.with_overrides({"base": True})


@pytest.mark.parametrize("name", ["a", "0", "lr=0.5,wd=5e-4", "A b_c-d+e.f", "a" * 80, "Base"])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert name in Study(name="s", variations={name: {"epochs": 3}}).recipes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", '""'), ("..", '".."'), (".", '"."'), ("a/b", '"a/b"'), ("a\\b", '"a\\\\b"')],
)
def test_a_study_cannot_lie_outside_its_own_folder(name: str, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        Study(name=name)
    assert str(caught.value) == f"{shown} cannot name a study: it names a folder."


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


def test_an_empty_grid_has_no_points() -> None:
    assert grid_points({}) == {}


@pytest.mark.parametrize("data", ["cifar10", "./cifar10", "data/cifar10/", "C:\\data\\cifar10"])
def test_published_figures_stay_with_the_studys_own_data_wherever_it_lies(data: str) -> None:
    study = load_study("published-c")
    assert study.on(data).published == study.published
    assert study.on(data).data == data


@pytest.mark.parametrize("data", ["digits", "photos/", "my-cifar10", "cifar10/photos"])
def test_published_figures_do_not_go_along_to_other_data(data: str) -> None:
    other = load_study("published-c").on(data)
    assert (other.data, other.published, other.published_tables) == (data, {}, "")
    assert other.published_source == ""
    assert other.recipes() == load_study("published-c").recipes()
