import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tinyscope.errors import InputError
from tinyscope.models import zoo
from tinyscope.plan.recipe_book import WHITENED
from tinyscope.plan.study_files import load_study

BUILT_BY_CHOICE = {"resnet-20", *WHITENED}
"""Models whose smallest size is a choice; every layer of theirs would take less."""


def build(name: str, *, side: int = 32, width: int | None = None, channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return zoo.build(
        name, channels=channels, classes=7, height=side, width=width if width else side
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("at", ["smallest", "32x32", "wide"])
@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_model_learns_at_every_size_that_it_takes(name: str, at: str, channels: int) -> None:
    smallest = zoo.MODELS[name].smallest
    height, width = {"smallest": (smallest,) * 2, "32x32": (32, 32), "wide": (33, 47)}[at]
    network = build(name, side=height, width=width, channels=channels)
    images = torch.randn(4, channels, height, width).contiguous(memory_format=torch.channels_last)
    logits = network(images)
    assert logits.shape == (4, 7)
    F.cross_entropy(logits, torch.arange(4)).backward()
    trained = {key: each for key, each in network.named_parameters() if each.requires_grad}
    assert trained
    for key, parameter in trained.items():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_model_answers_for_one_image_as_it_does_among_others(name: str) -> None:
    network = build(name).eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        together = network(images)
        alone = network(images[1:2])
    assert alone.shape == (1, 7)
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in zoo.MODELS if zoo.MODELS[name].smallest > 1])
def test_images_smaller_than_a_model_takes_are_refused(name: str) -> None:
    smallest = zoo.MODELS[name].smallest
    for height, width in ((smallest - 1, 40), (40, smallest - 1)):
        with pytest.raises(InputError) as caught:
            build(name, side=height, width=width)
        assert str(caught.value) == (
            f"Model {name} takes images of {smallest} pixels a side or more; these are "
            f"{width}x{height}. A larger size can be set: --set size=32."
        )


@pytest.mark.parametrize("name", [name for name in zoo.MODELS if name not in BUILT_BY_CHOICE])
def test_the_smallest_size_of_a_model_is_the_smallest_that_its_layers_take(name: str) -> None:
    entry = zoo.MODELS[name]
    below = entry.smallest - 1
    with pytest.raises(InputError, match="does not fit an input of"):
        entry.build(channels=3, classes=7, height=below, width=below)


PARAMETERS = {
    "kossowska-1": 181_162,
    "kossowska-2": 1_250_858,
    "kossowska-3": 4_210_090,
    "brittan-1": 66_170,
    # The reports do not give those of the next three; counted by hand, layer by layer.
    "brittan-improved": 448 + 4_640 + 18_496 + 65_600 + 650,
    "brittan-v3": 448 + 4_640 + 18_496 + 73_856 + 295_168 + 263_168 + 10_250,
    "brittan-final": 448 + 4_640 + 18_496 + 73_856 + 295_168 + 131_584 + 5_130,
    "workshop-simple": 703_786,
    "workshop-deeper": 403_850,
}
"""Of the networks of published reports, for ten classes."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_published_network_has_as_many_parameters_as_its_report_says(name: str) -> None:
    network = zoo.build(name, channels=3, classes=10, height=32, width=32)
    assert sum(each.numel() for each in network.parameters()) == PARAMETERS[name]


def test_no_network_of_a_report_is_left_uncounted() -> None:
    reports = ("kossowska", "brittan", "workshop")
    assert {name for name in zoo.MODELS if name.startswith(reports)} == set(PARAMETERS)


@pytest.mark.parametrize("study", ["published-b", "published-c", "published-d"])
def test_the_parameters_that_a_study_calls_published_are_those_of_its_networks(study: str) -> None:
    asked = load_study(study)
    recipes = asked.recipes()
    found = {
        recipes[name].model: one.figures["parameters"]
        for name, one in asked.published_figures().items()
        if "parameters" in one.figures
    }
    assert len(found) == {"published-b": 3, "published-c": 1, "published-d": 2}[study]
    assert found == {model: PARAMETERS[model] for model in found}


def test_a_model_of_layers_of_ones_own_is_built() -> None:
    network = zoo.build(
        "layer-stack", layers=("flatten",), channels=1, classes=2, height=3, width=5
    )
    assert network(torch.zeros(4, 1, 3, 5)).shape == (4, 2)


def test_an_unknown_model_is_told_with_the_nearest_one() -> None:
    with pytest.raises(InputError) as caught:
        build("resnet20")
    assert str(caught.value) == (
        'Unknown model "resnet20". Did you mean "resnet-20"? '
        f'Run "tinyscope list models" to see all {len(zoo.NAMES)}.'
    )


def test_the_initializer_is_applied_to_every_kernel() -> None:
    shape = {"channels": 3, "classes": 10, "height": 32, "width": 32}
    for initializer, limit in (("glorot-uniform", (6 / (27 + 16 * 9)) ** 0.5), ("torch", 27**-0.5)):
        network = zoo.build("brittan-1", initializer=initializer, **shape)
        largest = network[0].weight.abs().max().item()
        assert 0.9 * limit < largest <= limit
    assert network[0].bias.any()  # torch's own biases are not zero


def test_frozen_parameters_are_those_of_the_whitened_networks_alone() -> None:
    frozen = {
        name: {key for key, each in build(name).named_parameters() if not each.requires_grad}
        for name in zoo.MODELS
    }
    scales = {f"groups.{group}.norms.{place}.weight" for group in range(3) for place in range(2)}
    assert frozen.pop("whitened-cnn") == {"whitening.weight", *scales}
    assert frozen.pop("whitened-cnn-folded") == scales
    assert not any(frozen.values())


def test_the_models_that_widths_shape_are_those_that_suggestions_widen() -> None:
    assert {name for name, entry in zoo.MODELS.items() if entry.shaped} == set(WHITENED)


@pytest.mark.parametrize("model", WHITENED)
def test_widths_and_depth_shape_the_whitened_networks(model: str) -> None:
    shape = {"channels": 3, "classes": 5, "height": 16, "width": 16}
    whitened = zoo.build(model, widths=(8, 24), depth=4, **shape)
    kernels = [each.weight for each in whitened.modules() if isinstance(each, nn.Conv2d)]
    in_front = [24] if model == "whitened-cnn" else []
    assert [each.shape[0] for each in kernels] == [*in_front, *[8] * 4, *[24] * 4]
    assert whitened.head.weight.shape == (5, 24)
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in kernels)


def test_widths_and_depth_shape_no_other_network() -> None:
    for name in zoo.MODELS.keys() - set(WHITENED):
        wide = zoo.MODELS[name].smallest
        shape = {"channels": 3, "classes": 5, "height": max(wide, 32), "width": max(wide, 32)}
        torch.manual_seed(0)
        ours = zoo.build(name, widths=(1,), depth=9, **shape).state_dict()
        torch.manual_seed(0)
        theirs = zoo.build(name, **shape).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name


@pytest.mark.parametrize("model", WHITENED)
def test_a_whitened_network_keeps_its_own_initial_weights(model: str) -> None:
    shape = {"channels": 3, "classes": 5, "height": 16, "width": 16}
    states = []
    for initializer in ("torch", "he-normal"):
        torch.manual_seed(0)
        states.append(zoo.build(model, initializer=initializer, **shape).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = build("compact-cnn"), build("compact-cnn")
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert first.training


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_model_says_in_one_line_what_it_is(name: str) -> None:
    summary = zoo.MODELS[name].summary
    assert summary
    assert "\n" not in summary
    assert len(summary) < 80
