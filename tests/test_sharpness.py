"""Sharpness-aware minimization, beside the same steps in plain torch."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_world import FAST, SMALL, assert_same_bits

from tinyscope.plan.recipe import Recipe
from tinyscope.training.learner import Learner
from tinyscope.training.sharpness import statistics_kept
from tinyscope.training.trainer import train

RECIPE = Recipe(
    model="layer-stack",
    layers=("flatten",),
    learning_rate=0.1,
    momentum=0.0,
    nesterov=False,
    weight_decay=0.0,
    precision="fp32",
    sam_steps=1.0,
    sam_radius=0.3,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)
    )


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(1)
    return torch.randn(20, 6, generator=random), torch.randint(0, 3, (20,), generator=random)


def gradients(network, features, labels):
    return torch.autograd.grad(
        F.cross_entropy(network(features), labels), list(network.parameters())
    )


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_step_is_that_of_the_papers_equations(network, batch, share):
    features, labels = batch
    reference = deepcopy(network).train()
    hidden = [reference[0].weight, reference[3].weight]
    some = round(20 * share)
    uphill = dict(
        zip(
            reference.parameters(),
            gradients(reference, features[:some], labels[:some]),
            strict=True,
        )
    )
    norm = torch.cat([uphill[each].flatten() for each in hidden]).norm()
    before = [each.detach().clone() for each in reference.parameters()]
    with torch.no_grad():
        for each in hidden:
            each += 0.3 * uphill[each] / norm
    there = gradients(reference, features, labels)

    learner = Learner(network.train(), replace(RECIPE, sam_share=share))
    loss, _ = learner.step(features, labels, rate=1.0, share=1.0, sharpness_aware=True)
    assert loss.item() == pytest.approx(F.cross_entropy(reference(features), labels).item())
    for ours, was, gradient in zip(network.parameters(), before, there, strict=True):
        assert torch.allclose(ours, was - 0.1 * gradient, atol=1e-6)


def test_a_network_of_one_layer_moves_that_one(batch):
    features, labels = batch
    torch.manual_seed(0)
    network = nn.Linear(6, 3)
    before = network.weight.detach().clone()
    uphill, _ = gradients(network, features, labels)
    with torch.no_grad():
        network.weight += 0.3 * uphill / uphill.norm()
    there, _ = gradients(network, features, labels)
    network.load_state_dict({"weight": before, "bias": network.bias.detach()})
    learner = Learner(network, RECIPE)
    learner.step(features, labels, rate=1.0, share=1.0, sharpness_aware=True)
    assert torch.allclose(network.weight, before - 0.1 * there, atol=1e-6)


def test_without_a_step_the_weights_come_back_bit_for_bit(network, batch):
    before = deepcopy(network)
    learner = Learner(network.train(), RECIPE)
    for _ in range(6):  # recorded and replayed as well
        learner.step(*batch, rate=0.0, share=1.0, sharpness_aware=True)
        for ours, was in zip(network.parameters(), before.parameters(), strict=True):
            assert torch.equal(ours, was)


def test_running_statistics_are_those_of_one_pass_a_step(network, batch):
    features, labels = batch
    other = deepcopy(network)
    learner = Learner(network.train(), replace(RECIPE, sam_radius=1e-9, sam_share=0.5))
    plain = Learner(other.train(), RECIPE)
    for _ in range(6):
        learner.step(features, labels, rate=1.0, share=1.0, sharpness_aware=True)
        plain.step(features, labels, rate=1.0, share=1.0)
    for name in ("running_mean", "running_var"):
        assert torch.allclose(getattr(network[1], name), getattr(other[1], name), atol=1e-6)


def test_momenta_of_norms_come_back_after_an_error(network):
    kept = statistics_kept(network)
    kept.__enter__()
    assert network[1].momentum == 0
    assert not kept.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert network[1].momentum == 0.1


def test_with_no_radius_to_speak_of_a_training_is_the_plain_one(world):
    plain = train(world, SMALL)
    near = train(world, replace(SMALL, sam_steps=1.0, sam_radius=1e-30))
    far = train(world, replace(SMALL, sam_steps=1.0, sam_radius=0.5))
    last = [made.history[-1]["train_loss"] for made in (plain, far)]
    assert last[1] > last[0]
    assert near.flop > plain.flop


def test_only_the_last_steps_are_aware_of_sharpness(world):
    late = replace(FAST, sam_steps=0.25, sam_radius=0.5)
    plain, aware = train(world, FAST).history, train(world, late).history
    assert [row["train_loss"] for row in plain[:3]] == [row["train_loss"] for row in aware[:3]]
    assert plain[3]["train_loss"] < aware[3]["train_loss"]


def test_the_same_seed_gives_the_same_bits(world):
    recipe = replace(FAST, sam_steps=0.5, sam_share=0.4, averaged_steps=0.5)
    assert_same_bits(train(world, recipe).network, train(world, recipe).network)
