from dataclasses import replace
from typing import Any

import pytest

from tinyscope.errors import InputError
from tinyscope.plan.published_figures import PublishedFigures
from tinyscope.plan.recipe_book import recipe
from tinyscope.plan.study import Study
from tinyscope.plan.study_faults import grid_points
from tinyscope.plan.study_files import load_study, parse


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


@pytest.mark.parametrize(("given", "seeds"), [(3, (0, 1, 2)), (1, (0,)), ([7, 2], (7, 2))])
def test_seeds_are_a_count_or_a_list(given: Any, seeds: tuple[int, ...]) -> None:
    assert Study(name="s", seeds=given).seeds == seeds
    assert parse(f"seeds = {given}", name="s", file="s.toml").seeds == seeds


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


def test_a_point_of_a_grid_may_be_written_out_under_its_name() -> None:
    grid = {"backbone": ["timm:resnet18.a1_in1k", "shipped"], "learning_rate": [0.1]}
    points = grid_points(grid)
    assert "backbone=timm:resnet18.a1_in1k,learning_rate=0.1" in points
    changes = {name: {"model": "transfer", **point} for name, point in points.items()}
    assert list(Study(name="s", base=False, variations=changes).recipes()) == list(points)


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
