import math

import pytest
import torch
from torch import Tensor, nn

from tinyscope.models.initializers import INITIALIZERS, initialize


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(16, 96, 5),
        nn.BatchNorm2d(96),
        nn.Linear(300, 200),
        nn.Conv2d(8, 8, 3, bias=False),
    )


FANS = [(16 * 25, 96 * 25), (300, 200), (8 * 9, 8 * 9)]
"""Inputs and outputs of the kernels of `layers`, with their receptive fields."""


def kernels(network: nn.Module) -> list[Tensor]:
    return [each.detach() for each in network.parameters() if each.dim() > 1]


def test_glorot_uniform_has_the_limits_of_keras() -> None:
    # keras.initializers.GlorotUniform: limit = sqrt(6 / (fan_in + fan_out)), where the fans of a
    # convolution are its channels times its receptive field.
    network = layers()
    initialize(network, "glorot-uniform")
    for kernel, (fan_in, fan_out) in zip(kernels(network), FANS, strict=True):
        limit = math.sqrt(6 / (fan_in + fan_out))
        assert 0.98 * limit < kernel.abs().max().item() <= limit
        assert kernel.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
        assert abs(kernel.mean().item()) < 5 * limit / math.sqrt(3 * kernel.numel())


def test_he_normal_keeps_the_variance_of_what_passes_a_relu() -> None:
    # He et al. 2015, equation 10: a deviation of sqrt(2 / fan_in), normal and not truncated.
    network = layers()
    initialize(network, "he-normal")
    for kernel, (fan_in, _) in zip(kernels(network), FANS, strict=True):
        assert kernel.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
        beyond_two = (kernel.abs() > 2 * math.sqrt(2 / fan_in)).double().mean().item()
        assert beyond_two == pytest.approx(0.0455, abs=0.025)


def test_zero_output_is_he_normal_but_for_the_last_dense_layer() -> None:
    network, other = layers().append(nn.Linear(20, 10)), layers().append(nn.Linear(20, 10))
    torch.manual_seed(1)
    initialize(network, "zero-output")
    torch.manual_seed(1)
    initialize(other, "he-normal")
    for kernel, theirs in zip(kernels(network)[:-1], kernels(other)[:-1], strict=True):
        assert torch.equal(kernel, theirs)
    assert not network[-1].weight.any()
    assert other[-1].weight.any()


@pytest.mark.parametrize("name", ["he-normal", "zero-output", "glorot-uniform"])
def test_biases_become_zero_and_norms_stay_as_they_are(name: str) -> None:
    network = layers()
    initialize(network, name)
    assert not network[0].bias.any()
    assert not network[2].bias.any()
    assert (network[1].weight == 1).all()
    assert not network[1].bias.any()


def test_the_defaults_of_torch_are_left_as_they_are() -> None:
    network, untouched = layers(), layers()
    state = torch.get_rng_state()
    initialize(network, "torch")
    assert torch.equal(torch.get_rng_state(), state)
    for ours, theirs in zip(network.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["he-normal", "glorot-uniform"])
def test_one_seed_gives_one_set_of_weights(name: str) -> None:
    def made(seed: int) -> list[Tensor]:
        network = layers()
        torch.manual_seed(seed)
        initialize(network, name)
        return kernels(network)

    assert all(torch.equal(a, b) for a, b in zip(made(1), made(1), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(made(1), made(2), strict=True))


def test_the_table_has_exactly_the_names_that_a_recipe_may_give() -> None:
    from tinyscope.plan.recipe import fault_of

    assert [fault_of("initializer", name) for name in INITIALIZERS] == [None] * 4
