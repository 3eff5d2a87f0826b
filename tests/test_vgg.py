"""Tests of tinyscope.models.vgg."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models.vgg import LAYERS, TIMM_NAMES, VGG16, parameter_blocks, smallest_image

CONVOLUTIONS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""The numbers of each block's convolutions in torchvision's files."""


def empty(layer: str = "logits") -> VGG16:
    """Names and shapes without numbers."""
    with torch.device("meta"):
        return VGG16(layer)


def block_by_block(network: VGG16, images: Tensor, blocks: int) -> Tensor:
    """The paper's order, written out: convolution, ReLU ..., pool."""
    weights = dict(network.named_parameters())
    for numbers in CONVOLUTIONS[:blocks]:
        for number in numbers:
            kernel, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
            images = F.relu(F.conv2d(images, kernel, bias, padding=1))
        images = F.max_pool2d(images, 2)
    return images


@pytest.mark.parametrize(
    ("layer", "parameters"),
    [
        ("block1", 38_720),  # 3*9*64 + 64, 64*9*64 + 64
        ("block3", 1_735_488),
        ("block5", 14_714_688),
        ("fc1", 14_714_688 + 25_088 * 4_096 + 4_096),
        ("logits", 138_357_544),
    ],
)
def test_a_cut_network_has_the_parameters_up_to_its_layer_and_no_others(layer, parameters):
    assert sum(each.numel() for each in empty(layer).parameters()) == parameters


def test_the_parameters_have_torchvisions_names():
    numbers = [number for block in CONVOLUTIONS for number in block]
    places = [f"features.{number}" for number in numbers]
    places += [f"classifier.{number}" for number in (0, 3, 6)]

    assert list(empty().state_dict()) == [
        f"{place}.{kind}" for place in places for kind in ("weight", "bias")
    ]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("block1", (2, 64, 24, 20)),
        ("block2", (2, 128, 12, 10)),
        ("block3", (2, 256, 6, 5)),
        ("block5", (2, 512, 1, 1)),
    ],
)
def test_each_block_halves_the_image(layer, shape):
    assert VGG16(layer)(torch.zeros(2, 3, 48, 40)).shape == shape


def test_the_dense_layers_take_maps_of_any_size_as_means_of_seven_by_seven_parts():
    network = empty("fc1")
    network.features = network.classifier = nn.Identity()
    maps = torch.rand(2, 512, 14, 21)

    means = maps.view(2, 512, 7, 2, 7, 3).mean((3, 5))
    torch.testing.assert_close(network(maps), means.flatten(1))


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_block_computes_the_papers_layers_forwards_and_backwards(blocks):
    torch.manual_seed(0)
    network = VGG16(f"block{blocks}")
    images = torch.randn(2, 3, 18, 25)

    values, expected = network(images), block_by_block(network, images, blocks)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)

    got = torch.autograd.grad(values.square().sum(), list(network.parameters()))
    wanted = torch.autograd.grad(expected.square().sum(), list(network.parameters()))
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_dense_layers_end_after_their_relu():
    layers = {layer: list(empty(layer).classifier) for layer in ("fc1", "fc2", "logits")}
    kinds = {layer: [type(each).__name__ for each in modules] for layer, modules in layers.items()}

    one = ["Linear", "ReLU"]
    assert kinds["fc1"] == one
    assert kinds["fc2"] == [*one, "BitDropout", *one]
    assert kinds["logits"] == [*one, "BitDropout", *one, "BitDropout", "Linear"]
    assert [each.weight.shape for each in layers["logits"] if hasattr(each, "weight")] == [
        (4096, 25_088),
        (4096, 4096),
        (1000, 4096),
    ]


@pytest.mark.parametrize("layer", ["block1", "block3", "block5"])
def test_the_smallest_image_is_the_smallest_that_works(layer):
    side = smallest_image(layer)
    network = VGG16(layer)

    assert 0 not in network(torch.zeros(1, 3, side, side)).shape
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, side - 1, side - 1))


def test_what_lies_behind_the_last_block_needs_no_larger_images():
    assert {smallest_image(layer) for layer in LAYERS[4:]} == {32}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_parameter_lies_in_one_block(layer):
    blocks = parameter_blocks(layer)
    owners = [
        [number for number, modules in enumerate(blocks) if name.rpartition(".")[0] in modules]
        for name, _ in empty(layer).named_parameters()
    ]
    assert all(len(each) == 1 for each in owners)
    assert [each[0] for each in owners] == sorted(each[0] for each in owners)
    assert {each[0] for each in owners} == set(range(len(blocks)))


def test_timms_names_stand_for_as_many_values():
    state = empty().state_dict()
    for name, shape in TIMM_NAMES.values():
        assert state[name].numel() == torch.Size(shape).numel()


@pytest.mark.parametrize(("layer", "end"), [("block1", 5), ("block3", 17), ("block5", 31)])
def test_torchvisions_own_network_gives_the_same_with_the_same_weights(layer, end):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    ours = VGG16(layer).eval()
    with torch.device("meta"):
        theirs = models.vgg16(weights=None).features[:end].eval()
    state = {name.removeprefix("features."): each for name, each in ours.state_dict().items()}
    theirs.load_state_dict(state, strict=True, assign=True)
    images = torch.randn(2, 3, 70, 64)

    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))
