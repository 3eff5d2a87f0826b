"""A small network chooses the images that a larger one learns from."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe, faults
from tinyscope.plan.recipe_book import recipe as recipe_named
from tinyscope.plan.study import Study
from tinyscope.sweep.local import run_study
from tinyscope.training.cost import training_flop
from tinyscope.training.proxy import Proxy, proxy_recipe
from tinyscope.training.trainer import Trainer, train

HARD = recipe_named("standard").changed(
    {
        "widths": [8, 12],
        "training_sizes": [0.5, 0.75, 1.0],
        "epochs": 4,
        "batch_size": 48,
        "hardest_share": 0.5,
        "proxy_widths": [4, 6],
        "proxy_size": 0.625,
        "precision": "fp32",
    }
)


class ByBrightness(nn.Module):
    """Two classes; the brighter an image, the surer of class 1. Notes what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))
        self.sides: list[tuple[bool, int, int]] = []

    def forward(self, pixels: Tensor) -> Tensor:
        self.sides.append((torch.is_grad_enabled(), len(pixels), pixels.shape[1]))
        bright = self.factor * (pixels.float().mean((1, 2, 3)) / 255 - 0.5)
        return torch.stack([-bright, bright], dim=1)


def made(recipe: Recipe, steps: int = 6) -> tuple[Proxy, ByBrightness]:
    network = ByBrightness()
    return Proxy(network, recipe, steps_per_epoch=steps), network


def batch(brightness: list[int]) -> Tensor:
    return torch.tensor(brightness, dtype=torch.uint8)[:, None, None, None].expand(-1, 16, 16, 3)


def test_the_images_with_the_highest_loss_are_chosen_and_keep_their_order():
    chooses, _ = made(replace(HARD, hardest_share=0.5))
    # Class 1: the darker, the higher the loss. Class 0: the brighter.
    pixels, labels = batch([250, 10, 100, 30, 20, 240]), torch.tensor([1, 1, 1, 1, 0, 0])
    chosen, theirs = chooses.hardest(pixels, labels, 1)
    assert chosen[:, 0, 0, 0].tolist() == [10, 30, 240]
    assert theirs.tolist() == [1, 1, 0]


def test_losses_that_class_weights_multiply_are_what_is_hard():
    """The proxy knows a rare class the better, the more it weighs: it would count as easy."""
    weights = torch.tensor([0.5, 5.0])
    chooses = Proxy(ByBrightness(), HARD, steps_per_epoch=6, class_weights=weights)
    pixels, labels = batch([200, 220, 110, 120]), torch.tensor([0, 0, 1, 1])
    _, theirs = chooses.hardest(pixels, labels, 1)
    assert theirs.tolist() == [1, 1]
    _, theirs = made(HARD)[0].hardest(pixels, labels, 1)
    assert theirs.tolist() == [0, 0]


def test_a_proxy_whose_losses_are_no_numbers_ends_the_training_as_diverged(world):
    trainer = Trainer(world, HARD)
    losses, step = trainer._proxy._losses, 0

    def broken(pixels, labels):
        nonlocal step
        step += 1
        (found,) = losses(pixels, labels)
        return (found * (float("nan") if step == 9 else 1.0),)

    trainer._proxy._losses = broken
    assert trainer._proxy.sound
    done = trainer.run(None, lambda row: None, lambda number, steps: None)
    assert done.stopped == "diverged"
    assert len(done.history) == 1  # of six steps; the ninth is in the second epoch
    assert all(each.isfinite().all() for each in done.network.parameters())


@pytest.mark.parametrize(
    ("share", "images", "chosen"), [(0.5, 6, 3), (0.667, 750, 500), (0.01, 6, 2), (0.5, 1, 1)]
)
def test_so_many_images_are_chosen_as_the_share_says_and_two_at_least(share, images, chosen):
    assert replace(HARD, hardest_share=share).learnt_from(images) == chosen


def test_it_judges_every_image_and_learns_in_every_fourth_step_from_the_chosen_ones():
    chooses, network = made(HARD)
    factors = []
    for number in range(9):
        chooses.hardest(batch([250, 10, 100, 30]), torch.tensor([0, 1, 1, 1]), number)
        factors.append(network.factor.item())
    assert [count for learns, count, _ in network.sides if not learns] == [4] * 9
    assert [count for learns, count, _ in network.sides if learns] == [2] * 3  # steps 0, 4 and 8
    assert len(set(factors)) == 3
    assert factors[0] == factors[3] != factors[4] == factors[7] != factors[8]


@pytest.mark.parametrize(("most", "sides"), [(1.0, [8, 12, 16]), (0.625, [8, 10, 10])])
def test_it_sees_images_no_larger_than_the_network_and_than_its_own_size(most, sides):
    recipe = replace(HARD, proxy_size=most, epochs=1)
    chooses, network = made(recipe, steps=3)
    for number in range(3):
        chooses.hardest(batch([250, 10, 100, 30]), torch.tensor([0, 1, 1, 1]), number)
    assert [side for learns, _, side in network.sides if not learns] == sides


def test_its_own_rate_falls_along_a_line_whatever_the_networks_schedule_is():
    recipe = replace(HARD, schedule="constant", optimizer="adam", learning_rate=0.001)
    own = proxy_recipe(recipe)
    assert (own.schedule, own.optimizer, own.learning_rate) == ("linear", "muon", 0.2)
    assert (own.epochs, own.batch_size, own.widths) == (4, 48, (4, 6))
    assert own.hardest_share == 1
    chooses, _ = made(recipe)
    rates = []
    chooses.learner.step = lambda pixels, labels, rate, share: rates.append(rate)
    for number in range(24):
        chooses.hardest(batch([250, 10, 100, 30]), torch.tensor([0, 1, 1, 1]), number)
    assert rates == pytest.approx([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_the_network_takes_its_step_on_the_chosen_images_alone(world):
    trainer, alike = (Trainer(replace(world, validation=None), HARD) for _ in range(2))
    for each in (trainer, alike):
        each.network.train()
    pixels, labels = next(trainer.batches(1))
    loss, right = trainer.step(pixels, labels, 0)
    chosen, theirs = alike._proxy.hardest(pixels, labels, 0)
    expected = alike._learner.step(chosen, theirs, rate=1.0, share=0.5)
    assert len(chosen) == 22  # of 43, the first of six batches of 256 images
    assert torch.equal(loss, expected[0])
    assert torch.equal(right, expected[1])
    for one, other in zip(trainer.network.parameters(), alike.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_training_figures_are_those_of_the_images_that_were_learnt_from(world):
    trainer = Trainer(replace(world, validation=None), HARD)
    losses, right, counts = [], 0, []
    step = trainer._learner.step

    def watched(pixels, labels, **how):
        nonlocal right
        loss, hits = step(pixels, labels, **how)
        losses.append(loss.item() * len(labels))
        counts.append(len(labels))
        right += hits.item()
        return loss, hits

    trainer._learner.step = watched
    done = trainer.run(None, lambda row: None, lambda step, steps: None)
    last, images = slice(-trainer.steps_per_epoch, None), sum(counts[-trainer.steps_per_epoch :])
    assert 125 <= images <= 135  # half of 256
    assert done.history[-1]["train_loss"] == pytest.approx(sum(losses[last]) / images, rel=1e-5)
    accuracies = [row["train_accuracy"] for row in done.history]
    assert sum(accuracies) * images == pytest.approx(right)


def test_a_training_with_a_proxy_learns(world):
    trained = train(world, HARD)
    assert trained.history[-1]["val_accuracy"] > 0.9


def test_a_studys_run_has_the_proxy_that_its_recipe_describes(world, tmp_path):
    """Its arithmetic says so: a run's network is made elsewhere, and the proxy is none of those."""
    changes = HARD.difference(Recipe())
    study = Study(name="hard", base=False, variations={"hard": changes}, seeds=(0,))
    done = run_study(study, world, out=tmp_path / "s")
    trainer = Trainer(world, HARD)
    expected = training_flop(
        trainer.network,
        HARD,
        shape=(16, 16, 3),
        images=256,
        steps_per_epoch=6,
        epochs=4,
        proxy=trainer._proxy.learner.network,
    )
    layers = trainer._proxy.learner.network.modules()
    widths = [each.out_channels for each in layers if isinstance(each, nn.Conv2d)]
    assert widths == [24, 4, 4, 6, 6]
    (run,) = done.summary["variations"][0]["runs"]
    assert run["train_flop"] == expected


def test_a_share_of_one_trains_as_if_there_were_no_proxy(world):
    plain = train(world, replace(HARD, hardest_share=1.0))
    other = train(world, replace(HARD, hardest_share=1.0, proxy_widths=(3,), proxy_size=1.0))
    for one, two in zip(plain.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)


def test_other_networks_and_optimizers_may_learn_from_the_hardest_too(world):
    recipe = Recipe(
        model="layer-stack",
        layers=("conv 8 3x3 same batchnorm relu", "maxpool 2", "flatten"),
        optimizer="adam",
        learning_rate=0.003,
        hardest_share=0.6,
        proxy_widths=(4, 6),
        class_weights="balanced",
        epochs=8,
        batch_size=32,
        precision="fp32",
    )
    assert train(world, recipe).history[-1]["val_accuracy"] > 0.9


def test_what_is_easy_for_the_proxy_is_seldom_learnt_from(world):
    """White images are told at once; the three other classes are noise, which none can tell."""
    noise = np.random.default_rng(0).integers(0, 256, world.train.images.shape, dtype=np.uint8)
    noise[world.train.labels == 1] = 255
    data = Splits("noise", replace(world.train, images=noise))
    recipe = replace(HARD, epochs=10, batch_size=16, training_sizes=())
    trainer, seen = Trainer(data, recipe), []
    hardest = trainer._proxy.hardest

    def watched(pixels, labels, number):
        chosen = hardest(pixels, labels, number)
        if number >= 7 * trainer.steps_per_epoch:
            seen.append((labels, chosen[1]))
        return chosen

    trainer._proxy.hardest = watched
    trainer.run(None, lambda row: None, lambda step, steps: None)
    shown, learnt = (torch.cat(each) for each in zip(*seen, strict=True))
    assert (shown == 1).float().mean() > 0.2
    assert (learnt == 1).float().mean() < 0.05


def test_a_frozen_or_transferred_backbone_is_refused():
    told = faults(
        {**Recipe().as_dict(), "model": "transfer", "backbone": "x", "hardest_share": 0.5}
    )
    assert told == [
        'hardest_share = 0.5 does not go with model = "transfer": the proxy, which begins without '
        "the backbone's knowledge, would call other images hard. Leave it at 1."
    ]


def test_a_proxy_that_does_not_fit_is_told_by_the_key_that_asks_for_it(world):
    recipe = recipe_named("plain").changed(
        {"model": "kossowska-1", "batch_size": 1, "hardest_share": 0.5}
    )
    with pytest.raises(InputError) as told:
        Trainer(world, recipe)
    assert str(told.value).startswith("hardest_share = 0.5 trains a small network beside the model")
    assert str(told.value).endswith("Without it: hardest_share = 1.")


def test_the_proxy_begins_with_other_weights_for_another_seed(world):
    one, other, again = (Trainer(world, HARD, seed=seed) for seed in (0, 1, 0))
    first, second, third = (
        deepcopy(each._proxy.learner.network.state_dict()) for each in (one, other, again)
    )
    name = "network.head.weight"
    assert torch.equal(first[name], third[name])
    assert not torch.equal(first[name], second[name])
