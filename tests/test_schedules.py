import pytest
import torch

from tinyscope.plan.recipe import Recipe
from tinyscope.training.schedules import is_averaged, is_sharpness_aware, rate_factor, size_share


def factors(recipe: Recipe, *, steps_per_epoch: int) -> list[float]:
    steps = recipe.epochs * steps_per_epoch
    return [rate_factor(recipe, step, steps_per_epoch=steps_per_epoch) for step in range(steps)]


def test_a_constant_rate_never_changes():
    assert set(factors(Recipe(epochs=3), steps_per_epoch=4)) == {1.0}


def test_a_step_schedule_multiplies_after_every_so_many_epochs():
    recipe = Recipe(schedule="step", step_epochs=2, step_factor=0.1, epochs=5)
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]
    assert factors(recipe, steps_per_epoch=2) == pytest.approx(expected)


def test_a_cosine_falls_from_one_to_nearly_zero_through_one_half():
    recipe = Recipe(schedule="cosine", epochs=10)
    made = factors(recipe, steps_per_epoch=10)
    assert made[0] == 1.0
    assert made[50] == pytest.approx(0.5)
    assert 0 < made[-1] < 0.001
    assert made == sorted(made, reverse=True)


def test_a_cosine_equals_torchs_cosine_annealing():
    recipe = Recipe(schedule="cosine", epochs=4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for factor in factors(recipe, steps_per_epoch=5):
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


def test_warmup_rises_to_one_and_never_starts_at_zero():
    recipe = Recipe(schedule="cosine", warmup=0.2, epochs=10)
    made = factors(recipe, steps_per_epoch=10)
    assert made[0] == pytest.approx(1 / 21)
    assert made[:20] == sorted(made[:20])
    assert made[20] == 1.0


@pytest.mark.parametrize("schedule", ["linear", "cosine", "one-cycle", "step"])
def test_the_rate_falls_no_further_once_weights_are_averaged(schedule):
    recipe = Recipe(schedule=schedule, warmup=0.3 * (schedule == "one-cycle"), epochs=30)
    falling = factors(recipe, steps_per_epoch=2)
    averaging = factors(recipe.changed({"averaged_steps": 0.2}), steps_per_epoch=2)
    assert averaging == [*falling[:48], *[falling[48]] * 12]
    assert falling[48] > falling[-1] or schedule == "step"


def test_the_last_steps_are_aware_of_sharpness_and_averaged():
    recipe = Recipe(epochs=5, sam_steps=0.3, averaged_steps=0.15)
    for asked, first in ((is_sharpness_aware, 14), (is_averaged, 17)):
        told = [asked(recipe, step, steps_per_epoch=4) for step in range(20)]
        assert told == [False] * first + [True] * (20 - first)
        assert not any(asked(Recipe(epochs=5), step, steps_per_epoch=4) for step in range(20))
        assert asked(Recipe(epochs=5, sam_steps=1), 0, steps_per_epoch=4) == (first == 14)


def test_of_few_steps_the_last_one_counts_whatever_the_share():
    """The mean of no weights at all would be those of the beginning."""
    recipe = Recipe(epochs=1, averaged_steps=0.1)
    assert [is_averaged(recipe, step, steps_per_epoch=3) for step in range(3)] == [0, 0, 1]


def test_one_cycle_equals_torchs_one_cycle():
    recipe = Recipe(schedule="one-cycle", warmup=0.3, epochs=4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=40, pct_start=0.3, cycle_momentum=False
    )
    for factor in factors(recipe, steps_per_epoch=10):
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if reference.last_epoch < 39:
            reference.step()


def test_a_line_falls_from_one_to_nothing_in_equal_steps():
    made = factors(Recipe(schedule="linear", epochs=5), steps_per_epoch=4)
    assert made == pytest.approx([1 - step / 20 for step in range(20)])


def test_a_line_equals_torchs_after_a_warmup_that_equals_torchs():
    recipe = Recipe(schedule="linear", warmup=0.25, epochs=4)
    made = factors(recipe, steps_per_epoch=5)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 6, 1.0, total_iters=5),
            torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=15),
        ],
        milestones=[5],
    )
    for factor in made:
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


def test_a_warmup_over_all_steps_only_rises():
    made = factors(Recipe(schedule="linear", warmup=1.0, epochs=2), steps_per_epoch=5)
    assert made == pytest.approx([step / 11 for step in range(1, 11)])


def shares(recipe: Recipe, *, steps_per_epoch: int) -> list[float]:
    steps = range(recipe.epochs * steps_per_epoch)
    return [size_share(recipe, step, steps_per_epoch=steps_per_epoch) for step in steps]


def test_without_sizes_every_step_sees_whole_images():
    assert shares(Recipe(epochs=2), steps_per_epoch=3) == [1.0] * 6


def test_each_size_has_its_equal_part_of_the_steps_whatever_epochs_they_belong_to():
    recipe = Recipe(training_sizes=(0.5, 0.75, 1.0), epochs=2)
    assert shares(recipe, steps_per_epoch=6) == [0.5] * 4 + [0.75] * 4 + [1.0] * 4


@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(1, 1), (1, 2), (7, 11), (16, 100)])
def test_sizes_come_in_their_order_and_share_the_steps_out_as_evenly_as_can_be(
    epochs, steps_per_epoch
):
    sizes = (0.5, 0.6, 0.7, 0.8, 1.0)
    made = shares(Recipe(training_sizes=sizes, epochs=epochs), steps_per_epoch=steps_per_epoch)
    assert made == sorted(made)
    assert made[0] == 0.5
    counts = [made.count(size) for size in sizes]
    assert max(counts) - min(counts) <= 1


def test_a_size_may_come_back():
    recipe = Recipe(training_sizes=(1, 0.5, 1), epochs=3)
    assert shares(recipe, steps_per_epoch=1) == [1.0, 0.5, 1.0]
