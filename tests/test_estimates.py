import pytest

from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.sweep.estimates import Timing, fit_to_budget, time_recipes

STUDY = Study(name="s", variations={"a": {}, "b": {}}, seeds=(0, 1, 2))
RECIPES = {name: Recipe(epochs=30) for name in ("base", "a", "b")}
TIMINGS = {name: Timing(10.0) for name in RECIPES}
"""Ten seconds an epoch: 3 variations x 3 seeds x 30 epochs take 2,700 s."""


def epochs(fitted):
    return {name: recipe.epochs for name, recipe in fitted.recipes.items()}


def test_a_budget_that_is_large_enough_cuts_nothing():
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=3000)
    assert fitted.study == STUDY
    assert fitted.recipes == RECIPES
    assert fitted.seconds == 2700
    assert fitted.told == ""


def test_epochs_are_cut_first_by_the_same_share_for_all():
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=1500)
    # 1,350 s may be used: half of the epochs.
    assert epochs(fitted) == {"base": 15, "a": 15, "b": 15}
    assert fitted.study.seeds == (0, 1, 2)
    assert fitted.told == "epochs: base 15 of 30, a 15 of 30, b 15 of 30"


def test_seeds_are_cut_when_a_third_of_the_epochs_is_still_too_long():
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=700)
    # 630 s may be used; a third of the epochs with 3 seeds takes 900 s, with 2 seeds 600 s.
    assert fitted.study.seeds == (0, 1)
    assert epochs(fitted) == {"base": 10, "a": 10, "b": 10}
    assert fitted.told.startswith("2 of 3 seeds; epochs: base 10 of 30")


def test_variations_are_cut_after_seeds_and_two_are_kept():
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=250)
    assert fitted.study.seeds == (0,)
    assert epochs(fitted) == {"base": 11, "a": 11}
    assert fitted.told == "without b; 1 of 3 seeds; epochs: base 11 of 30, a 11 of 30"


def test_at_last_epochs_are_cut_down_to_one():
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=25)
    assert epochs(fitted) == {"base": 1, "a": 1}


def test_a_budget_below_one_epoch_is_refused_with_what_it_takes():
    with pytest.raises(InputError) as told:
        fit_to_budget(STUDY, RECIPES, TIMINGS, budget=10)
    assert str(told.value) == (
        "A budget of 10 s is too short for this study: one epoch of its first 2 variations takes "
        "about 23 s here."
    )


@pytest.mark.parametrize("budget", [25, 60, 130, 250, 700, 1500, 2000])
def test_what_is_fitted_never_takes_longer_than_the_budget(budget):
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=budget)
    runs = len(fitted.study.seeds)
    assert runs * sum(10.0 * recipe.epochs for recipe in fitted.recipes.values()) <= budget
    assert fitted.seconds <= budget


def test_recipes_that_differ_only_in_epochs_are_timed_once(world, monkeypatch):
    from tinyscope.sweep import estimates

    timed = []
    monkeypatch.setattr(estimates, "_time", lambda data, recipe: timed.append(recipe) or Timing(1))
    recipes = {
        "short": Recipe(epochs=2),
        "long": Recipe(epochs=20),
        "larger": Recipe(batch_size=256),
    }
    assert len(time_recipes(world, recipes)) == 3
    assert [recipe.batch_size for recipe in timed] == [128, 256]


def test_timing_leaves_no_trace_in_the_random_numbers(world):
    import torch

    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    made = time_recipes(world, {"a": Recipe(epochs=3, batch_size=32)})
    assert torch.equal(torch.rand(2), expected)
    assert 0 < made["a"].epoch_seconds < 60
