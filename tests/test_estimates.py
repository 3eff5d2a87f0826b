from dataclasses import replace

import numpy as np
import pytest

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.sweep import estimates
from tinyscope.sweep.beginnings import beginning
from tinyscope.sweep.estimates import Timing, fit_to_budget
from tinyscope.training.schedules import is_sharpness_aware, size_share
from tinyscope.training.trainer import Trainer

STUDY = Study(name="s", variations={"a": {}, "b": {}}, seeds=(0, 1, 2))
RECIPES = {name: Recipe(epochs=30, shift=shift) for shift, name in enumerate(("base", "a", "b"))}
TIMINGS = {name: Timing(10.0) for name in RECIPES}
"""Ten seconds an epoch: 3 variations x 3 seeds x 30 epochs take 2,700 s."""


def time_recipes(data, recipes):
    return estimates.time_recipes({name: beginning(each, data) for name, each in recipes.items()})


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


def test_no_variation_is_cut_before_those_that_go_on_from_it():
    same = {"model": "resnet-20"}
    study = Study(
        name="s",
        base=False,
        variations={"tuned": {**same, "start_from": "first"}, "other": {}, "first": same},
        seeds=(0, 1, 2),
    )
    recipes = {
        name: replace(each, epochs=30, shift=shift)
        for shift, (name, each) in enumerate(study.recipes().items())
    }
    timings = {name: Timing(10.0) for name in recipes}
    fitted = fit_to_budget(study, recipes, timings, budget=250)
    assert list(fitted.recipes) == ["other", "first"]
    assert fitted.told.startswith("without tuned; 1 of 3 seeds")


def test_variations_that_differ_in_their_epochs_keep_different_ones():
    study = Study(name="s", base=False, grid={"epochs": [2, 3]}, seeds=1)
    timings = {name: Timing(10.0) for name in study.recipes()}
    # 54 s may be used, then 40: half of 2 and of 3 epochs would be one epoch each.
    assert epochs(fit_to_budget(study, study.recipes(), timings, budget=60)) == {
        "epochs=2": 2,
        "epochs=3": 3,
    }
    assert epochs(fit_to_budget(study, study.recipes(), timings, budget=45)) == {
        "epochs=2": 1,
        "epochs=3": 2,
    }
    with pytest.raises(InputError) as told:
        fit_to_budget(study, study.recipes(), timings, budget=25)
    assert str(told.value) == (
        "A budget of 25 s is too short for this study: 67% of the epochs of its first 2 "
        "variations, with its answers, takes about 34 s here."
    )


def test_what_nobody_asked_for_is_not_run_for_a_variation_that_is_cut():
    study = Study(
        name="s",
        variations={"tuned": {"start_from": "base"}, "a": {"shift": 1}, "b": {"shift": 2}},
        overrides={"epochs": 30},
        only=("a", "b", "tuned"),
        seeds=1,
    )
    recipes = study.recipes()
    timings = {name: Timing(10.0) for name in recipes}
    assert list(fit_to_budget(study, recipes, timings, budget=1400).recipes) == list(recipes)
    fitted = fit_to_budget(study, recipes, timings, budget=350)
    assert list(fitted.recipes) == ["a", "b"]
    assert fitted.told.startswith("without base, tuned; ")


def test_at_last_epochs_are_cut_down_to_one():
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=25)
    assert epochs(fitted) == {"base": 1, "a": 1}


def test_a_budget_below_one_epoch_is_refused_with_what_it_takes():
    with pytest.raises(InputError) as told:
        fit_to_budget(STUDY, RECIPES, TIMINGS, budget=10)
    assert str(told.value) == (
        "A budget of 10 s is too short for this study: one epoch of its first 2 variations, with "
        "its answers, takes about 23 s here."
    )


def test_answers_take_their_time_however_few_the_epochs_are():
    timings = {name: Timing(10.0, answer_seconds=60.0) for name in RECIPES}
    # 3 variations x 3 seeds x (30 epochs of 10 s and 60 s of answers).
    assert fit_to_budget(STUDY, RECIPES, timings, budget=4000).seconds == 3240
    # 1,890 s may be used: 210 s a run, 150 s without the answers.
    fitted = fit_to_budget(STUDY, RECIPES, timings, budget=2100)
    assert epochs(fitted) == {"base": 15, "a": 15, "b": 15}
    assert fitted.seconds == 1890
    with pytest.raises(InputError) as told:
        fit_to_budget(STUDY, RECIPES, timings, budget=150)
    assert str(told.value) == (
        "A budget of 150 s is too short for this study: one epoch of its first 2 variations, with "
        "its answers, takes about 156 s here."
    )
    with pytest.raises(InputError, match=r"A budget of 0\.001 s is too short"):
        fit_to_budget(STUDY, RECIPES, timings, budget=0.001)


@pytest.mark.parametrize("budget", [25, 60, 130, 250, 700, 1500, 2000])
def test_what_is_fitted_never_takes_longer_than_the_budget(budget):
    fitted = fit_to_budget(STUDY, RECIPES, TIMINGS, budget=budget)
    runs = len(fitted.study.seeds)
    assert runs * sum(10.0 * recipe.epochs for recipe in fitted.recipes.values()) <= budget
    assert fitted.seconds <= budget


def test_recipes_that_differ_only_in_epochs_are_timed_once(world, monkeypatch):
    timed = []
    monkeypatch.setattr(estimates, "_time", lambda start: timed.append(start.recipe) or Timing(1))
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


GROWING = Recipe(
    model="whitened-cnn",
    widths=(4, 4),
    horizontal_flip=True,
    optimizer="muon",
    training_sizes=(0.5, 0.75, 1.0),
    epochs=6,
    batch_size=32,
    precision="fp32",
)
SECONDS_AT = {0.5: 1.0, 0.75: 2.0, 1.0: 6.0}
"""What a step is made to take, by the share of the images' side."""


@pytest.fixture
def simulated(monkeypatch):
    """Steps that take no time but move the clock; gives the numbers of the steps taken."""
    numbers: list[int] = []
    now = [0.0]

    def step(self, pixels, labels, number):
        numbers.append(number)
        share = size_share(self.recipe, number, steps_per_epoch=self.steps_per_epoch)
        # The first step at a size takes longer, as it does where kernels are prepared.
        taken = SECONDS_AT[share] * (1 if len(numbers) % 2 == 0 else 100)
        if is_sharpness_aware(self.recipe, number, steps_per_epoch=self.steps_per_epoch):
            taken *= 1 + self.recipe.sam_share
        now[0] += taken
        return np.float64(0), None

    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(estimates, "_TIMED_SECONDS", 1e9)
    monkeypatch.setattr(estimates, "_TIMED_STEPS", 1)
    monkeypatch.setattr(estimates.time, "perf_counter", lambda: now[0])
    return numbers


def test_each_size_of_a_training_is_timed_for_its_part_of_the_steps(world, simulated):
    made = time_recipes(world, {"a": GROWING})["a"]
    # 256 images in 8 steps of 1, 2 or 6 seconds, 3 on average; 64 validation images, each a third
    # of what a whole image takes in training.
    assert made.epoch_seconds == pytest.approx(8 * 3 + 64 * (6 / 32) / 3)
    # At last the 64 validation and 64 test images once.
    assert made.answer_seconds == pytest.approx(128 * (6 / 32) / 3)
    assert made.seconds(GROWING) == pytest.approx(6 * (8 * 3 + 4) + 8)
    total = 6 * 8
    assert [number * 3 // total for number in simulated] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("sizes", [(0.5, 0.75, 1.0), ()])
@pytest.mark.parametrize(("aware", "steps"), [(0.125, 6), (0.5, 24), (1.0, 48)])
def test_steps_that_are_aware_of_sharpness_take_their_time(world, simulated, sizes, aware, steps):
    plain = replace(GROWING, training_sizes=sizes)
    recipes = {"plain": plain, "aware": replace(plain, sam_steps=aware, sam_share=0.25)}
    once, more = time_recipes(world, recipes).values()
    each = [SECONDS_AT[sizes[number * 3 // 48] if sizes else 1.0] for number in range(48)]
    assert more.epoch_seconds - once.epoch_seconds == pytest.approx(0.25 * sum(each[-steps:]) / 6)
    assert more.answer_seconds == pytest.approx(once.answer_seconds)


@pytest.mark.parametrize(("views", "looks"), [("mirrored", 3), ("mirrored-and-moved", 7)])
def test_several_views_take_their_time_and_so_does_the_single_one(world, simulated, views, looks):
    recipes = {"once": GROWING, "several": replace(GROWING, test_views=views)}
    once, several = time_recipes(world, recipes).values()
    assert once.epoch_seconds == several.epoch_seconds == pytest.approx(8 * 3 + 4)
    # 128 images at 6 / 32 seconds of training, a third of that for each look.
    assert several.answer_seconds == pytest.approx(looks * 8)


def test_only_images_that_there_are_take_time_to_answer(world, simulated):
    several = {"a": replace(GROWING, test_views="mirrored")}
    blind = time_recipes(Splits("blind", world.train, None, world.test), several)["a"]
    assert (blind.epoch_seconds, blind.answer_seconds) == (24, pytest.approx(3 * 4))
    unseen = time_recipes(Splits("unseen", world.train, world.validation), several)["a"]
    assert unseen.answer_seconds == pytest.approx(3 * 4)
    alone = time_recipes(Splits("alone", world.train), several)["a"]
    assert (alone.epoch_seconds, alone.answer_seconds) == (24, 0)


def test_an_answer_takes_a_third_of_what_an_image_takes_that_a_step_learns_from(world, simulated):
    # 256 images in two batches of 128, a quarter of which the network learns from.
    recipe = replace(
        GROWING, training_sizes=(), batch_size=200, hardest_share=0.25, proxy_widths=(4,)
    )
    made = time_recipes(world, {"a": recipe})["a"]
    assert made.answer_seconds == pytest.approx(128 * (6 / 32) / 3)


def test_without_sizes_every_step_is_timed_alike(world, simulated):
    made = time_recipes(world, {"a": replace(GROWING, training_sizes=())})["a"]
    assert made.epoch_seconds == pytest.approx(8 * 6 + 64 * (6 / 32) / 3)


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("images", [20, 60, 256])
def test_sizes_are_timed_however_few_the_steps_of_a_training_are(world, images, epochs):
    # With 20 images and an epoch, one step stands for all three sizes.
    few = Splits("few", world.train.select(np.arange(images), split="train"), world.validation)
    made = time_recipes(few, {"a": replace(GROWING, epochs=epochs)})
    assert 0 < made["a"].epoch_seconds < 60


def test_recipes_of_other_sizes_are_timed_on_their_own(world, monkeypatch):
    timed = []
    monkeypatch.setattr(estimates, "_time", lambda start: timed.append(start.recipe) or Timing(1))
    time_recipes(world, {"growing": GROWING, "whole": replace(GROWING, training_sizes=())})
    assert len(timed) == 2
