import json

import pytest

from tinyscope.plan.recipe import Recipe
from tinyscope.training.patience import ValidationWatch


def watched(recipe: Recipe, losses: list[float]) -> ValidationWatch:
    watch = ValidationWatch(recipe)
    for epoch, loss in enumerate(losses, start=1):
        watch.after_epoch(epoch, loss)
    return watch


def test_early_stopping_waits_for_its_patience_after_the_lowest_loss():
    recipe = Recipe(early_stopping_patience=3)
    assert not watched(recipe, [1.0, 0.5, 0.6, 0.7]).wants_to_stop
    assert watched(recipe, [1.0, 0.5, 0.6, 0.7, 0.5]).wants_to_stop


def test_a_lower_loss_starts_the_patience_anew():
    watch = watched(Recipe(early_stopping_patience=2), [1.0, 1.1, 0.9, 1.0])
    assert not watch.wants_to_stop
    assert watch.best_epoch == 3


def test_without_early_stopping_training_never_wants_to_stop():
    watch = watched(Recipe(), [1.0] * 50)
    assert not watch.wants_to_stop
    assert watch.best_epoch == 1


def test_a_loss_that_is_no_number_is_never_the_best():
    watch = watched(Recipe(early_stopping_patience=1), [float("nan")])
    assert watch.best_epoch is None
    assert watch.wants_to_stop


def test_a_plateau_multiplies_the_rate_once_for_every_patience_used_up():
    recipe = Recipe(plateau_patience=2, plateau_factor=0.5)
    # epoch 1 is the lowest; 2 and 3 wait: one reduction; 4 and 5 wait: another.
    assert watched(recipe, [1.0, 1.0, 1.0]).rate_factor == 0.5
    assert watched(recipe, [1.0] * 5).rate_factor == 0.25


def test_a_plateau_overlooks_an_improvement_below_one_ten_thousandth():
    recipe = Recipe(plateau_patience=2, plateau_factor=0.5)
    assert watched(recipe, [1.0, 0.99995, 0.9999]).rate_factor == 0.5
    assert watched(recipe, [1.0, 0.9998, 0.9996]).rate_factor == 1.0


def test_a_plateau_never_goes_below_the_minimum_rate():
    recipe = Recipe(
        learning_rate=0.01, plateau_patience=1, plateau_factor=0.1, plateau_minimum=0.0005
    )
    assert watched(recipe, [1.0] * 9).rate_factor * 0.01 == pytest.approx(0.0005)


def test_its_state_goes_through_json_and_continues_where_it_was():
    recipe = Recipe(early_stopping_patience=3, plateau_patience=2)
    for losses in ([], [1.0, 0.5, 0.6], [1.0] * 4):
        watch = watched(recipe, losses)
        other = ValidationWatch(recipe)
        other.restore(json.loads(json.dumps(watch.state())))
        for later in (0.7, 0.8, 0.4, 0.9):
            assert watch.after_epoch(9, later) == other.after_epoch(9, later)
            assert watch.state() == other.state()
            assert watch.wants_to_stop == other.wants_to_stop
