import numpy as np
import pytest
import torch
from torch import nn

from tinyscope.errors import InputError
from tinyscope.features.weights import load_backbone
from tinyscope.models.transfer import TransferNetwork
from tinyscope.plan.recipe import Recipe
from tinyscope.training.optimizers import RMSprop, build_optimizer, check_backbone


def keras_rmsprop(gradients, *, rate, rho, momentum, epsilon, start):
    """One parameter, step by step, as Keras documents its RMSprop."""
    value, square, moving = start, 0.0, 0.0
    for gradient in gradients:
        square = rho * square + (1 - rho) * gradient**2
        increment = rate * gradient / np.sqrt(square + epsilon)
        moving = momentum * moving + increment
        value -= moving if momentum else increment
    return value


@pytest.mark.parametrize(("rho", "momentum"), [(0.9, 0.0), (0.9, 0.9), (0.0, 0.0)])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5])
def test_rmsprop_follows_keras_formula_for_large_and_small_gradients(rho, momentum, scale):
    random = np.random.default_rng(0)
    gradients = scale * random.normal(size=(20, 3))
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = RMSprop([parameter], 1e-3, rho=rho, momentum=momentum, epsilon=1e-7)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    for column in range(3):
        expected = keras_rmsprop(
            gradients[:, column], rate=1e-3, rho=rho, momentum=momentum, epsilon=1e-7, start=0.0
        )
        assert parameter[column].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_rmsprop_equals_torchs_where_epsilon_does_not_matter(momentum):
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(4, 5)) for _ in range(2))
    mine = RMSprop([ours], 0.01, rho=0.9, momentum=momentum, epsilon=0.0, weight_decay=0.1)
    reference = torch.optim.RMSprop(
        [theirs], 0.01, alpha=0.9, momentum=momentum, eps=0.0, weight_decay=0.1
    )
    for _ in range(10):
        gradient = torch.randn(4, 5) + 1
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_rmsprop_leaves_the_gradients_as_they_are():
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    RMSprop([parameter], 0.1, weight_decay=0.5).step()
    assert parameter.grad.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_other_optimizers_are_torchs_with_the_recipes_numbers(name, kind):
    recipe = Recipe(optimizer=name, learning_rate=0.02, beta_1=0.8, beta_2=0.9, epsilon=1e-5)
    optimizer = build_optimizer(recipe, nn.Linear(2, 2))
    assert type(optimizer) is kind
    defaults = optimizer.defaults
    assert defaults["lr"] == 0.02
    if name == "sgd":
        assert (defaults["momentum"], defaults["nesterov"]) == (0.9, True)
    else:
        assert (defaults["betas"], defaults["eps"]) == ((0.8, 0.9), 1e-5)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw"])
def test_weight_decay_spares_biases_and_norms(name):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    optimizer = build_optimizer(Recipe(optimizer=name, weight_decay=0.5), network)
    decay = {
        id(each): group["weight_decay"]
        for group in optimizer.param_groups
        for each in group["params"]
    }
    found = {key: decay[id(each)] for key, each in network.named_parameters()}
    assert found == {
        "0.weight": 0.5,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "3.weight": 0.5,
        "3.bias": 0.0,
    }


def test_frozen_parameters_are_left_out():
    network = nn.Linear(2, 2)
    network.weight.requires_grad_(False)
    optimizer = build_optimizer(Recipe(), network)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "muon"])
def test_every_group_holds_its_rate_before_the_schedule(name):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
    recipe = Recipe(optimizer=name, learning_rate=0.3)
    groups = build_optimizer(recipe, network).param_groups
    assert [group["initial_lr"] for group in groups] == [group["lr"] for group in groups]
    assert groups[0]["initial_lr"] == 0.3


@pytest.mark.parametrize("backbone", ["random", "ours"])
def test_muon_trains_a_backbone_only_where_its_kernels_have_muons_lengths(backbone):
    if backbone == "ours":
        trained, _ = load_backbone("cifar100-backbone")
        body, width = trained.network, 1680
    else:
        torch.manual_seed(0)
        body, width = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten()), 8
    network = TransferNetwork(body, nn.Linear(width, 4), size=None, pooling="mean")
    muon = Recipe(optimizer="muon", weight_decay=0.0)
    if backbone == "ours":
        check_backbone(muon, network)
        return
    with pytest.raises(InputError, match=r'^optimizer = "muon" scales every kernel'):
        check_backbone(muon, network)
    check_backbone(Recipe(optimizer="adamw"), network)
    body.requires_grad_(False)
    check_backbone(muon, network)
