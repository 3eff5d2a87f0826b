"""Tests of tinyscope.models.backbones and tinyscope.models.timm_network."""

import sys

import pytest
import torch

from tinyscope.errors import InputError
from tinyscope.models.backbones import BACKBONES, Backbone, build_backbone

TIMM_NAMES = (
    "test_resnet",
    "mobilenetv3_small_050",
    "test_vit",
    "test_mambaout",
    "poolformer_s12",
)
"""Maps, maps with the classifier behind a dense layer, tokens, maps with channels last, and one
that does not say how its parameters are grouped."""


def blocks_of(backbone: Backbone) -> list[list[int]]:
    """For each parameter the numbers of the blocks that it lies in."""
    return [
        [
            number
            for number, modules in enumerate(backbone.blocks)
            if any(f"{name}.".startswith(f"{module}.") for module in modules)
        ]
        for name, _ in backbone.network.named_parameters()
    ]


def test_vgg16_is_cut_after_its_last_block_when_nothing_is_said():
    backbone = build_backbone("vgg16")

    assert (backbone.name, backbone.layer, backbone.smallest) == ("vgg16", "block5", 32)
    assert backbone.network(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 1, 1)
    assert len(backbone.blocks) == 5


def test_vgg16_at_48_pixels_gives_the_9216_features_of_the_report():
    backbone = build_backbone("vgg16", "block3")

    features = backbone.network(torch.zeros(2, 3, 48, 48))
    assert features.shape == (2, 256, 6, 6)
    assert features.flatten(1).shape == (2, 9216)
    assert backbone.smallest == 8
    assert blocks_of(backbone) == [[0]] * 4 + [[1]] * 4 + [[2]] * 6


def test_a_backbone_is_ready_for_prediction_on_a_cpu():
    network = build_backbone("vgg16", "block1").network

    assert not any(module.training for module in network.modules())
    kernel = network.get_parameter("features.2.weight")
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    # He et al. 2015: a variance of 2 / fan-in, here of 64 x 9 inputs.
    assert kernel.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    assert not network.get_parameter("features.2.bias").any()


def test_the_normalization_of_vgg16_is_imagenets_in_levels():
    backbone = build_backbone("vgg16", "block1")
    assert backbone.mean == pytest.approx([255 * each for each in (0.485, 0.456, 0.406)])
    assert backbone.deviation == pytest.approx([255 * each for each in (0.229, 0.224, 0.225)])


def test_what_a_file_may_hold_are_the_names_of_torchvision_and_of_timm():
    stored = build_backbone("vgg16", "block1").stored

    assert stored["features.2.weight"] == ("features.2.weight", (64, 64, 3, 3))
    assert stored["features.5.weight"] == ("", (128, 64, 3, 3))  # behind the layer
    assert stored["pre_logits.fc1.weight"] == ("", (4096, 512, 7, 7))
    assert len(stored) == 32 + 6
    assert sum(entry.name != "" for entry in stored.values()) == 4


@pytest.mark.parametrize("package", ["torchvision.models", "timm.models"])
def test_a_file_of_the_whole_vgg16_of_either_package_holds_what_may_be_held(package):
    models = pytest.importorskip(package)
    with torch.device("meta"):
        theirs = models.vgg16().state_dict()
    stored = build_backbone("vgg16", "block1").stored

    assert {name: stored[name].shape for name in theirs} == {
        name: tuple(tensor.shape) for name, tensor in theirs.items()
    }


def test_a_backbone_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(InputError) as caught:
        build_backbone("vgg61")
    assert str(caught.value) == (
        'Unknown backbone "vgg61". Did you mean "vgg16"? Expected one of: '
        f"{', '.join(BACKBONES)}, timm:NAME."
    )


def test_a_layer_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(InputError) as caught:
        build_backbone("vgg16", "blok3")
    assert str(caught.value) == (
        'Unknown layer "blok3". Did you mean "block3"? Its layers are: block1, block2, block3, '
        "block4, block5, fc1, fc2, logits."
    )


def test_without_timm_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError) as caught:
        build_backbone("timm:resnet18")
    assert str(caught.value) == (
        "Backbone timm:resnet18 needs timm, which is not installed: "
        'pip install "tinyscope[pretrained]".'
    )


@pytest.mark.parametrize("name", TIMM_NAMES)
def test_a_timm_network_gives_what_its_classifier_takes(name):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = build_backbone(f"timm:{name}")
    whole = timm.create_model(name).eval()
    whole.load_state_dict(backbone.network.network.state_dict(), strict=False)
    images = torch.randn(2, 3, backbone.smallest, backbone.smallest)

    with torch.no_grad():
        features = backbone.network(images)
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)

    assert (backbone.layer, backbone.layers[-1]) == ("pooled", "pooled")
    torch.testing.assert_close(features, expected)
    assert features.shape == (2, whole.head_hidden_size)


@pytest.mark.parametrize("name", TIMM_NAMES)
def test_every_parameter_of_a_timm_network_lies_in_one_block_from_input_to_output(name):
    pytest.importorskip("timm")
    backbone = build_backbone(f"timm:{name}")

    owners = blocks_of(backbone)
    assert all(len(each) == 1 for each in owners)
    assert {each[0] for each in owners} == set(range(len(backbone.blocks)))
    assert len(backbone.blocks) >= 3
    assert next(iter(dict(backbone.network.named_parameters()))).startswith("network.")


@pytest.mark.parametrize(
    ("name", "layer", "shape", "last"),
    [
        ("test_resnet", "layer2", (1, 48, 8, 8), ("network.layer2",)),
        ("test_resnet", "layer2.0.conv1", (1, 48, 8, 8), ("network.layer2",)),
        ("test_vit", "blocks.3", (1, 64, 101, 1), ("network.blocks.3",)),
        ("test_mambaout", "stages.1", (1, 32, 8, 8), ("network.stages.1",)),
    ],
)
def test_a_timm_network_is_cut_at_any_layer_and_gives_channels_first(name, layer, shape, last):
    pytest.importorskip("timm")
    backbone = build_backbone(f"timm:{name}", layer)
    side = max(64, backbone.smallest)

    assert backbone.network(torch.zeros(1, 3, side, side)).shape == shape
    assert backbone.blocks[-1] == last
    assert all(len(each) == 1 for each in blocks_of(backbone))  # nothing of later layers is left


def test_a_timm_network_of_one_size_says_which():
    pytest.importorskip("timm")
    backbone = build_backbone("timm:test_vit")

    assert backbone.smallest == 160
    with pytest.raises(InputError) as caught:
        backbone.network(torch.zeros(1, 3, 48, 64))
    assert str(caught.value) == (
        "test_vit takes images of 160x160 pixels only; these are 64x48. Set backbone_size = 160."
    )


def test_the_normalization_of_a_timm_network_is_that_of_its_weights():
    timm = pytest.importorskip("timm")
    for name in ("test_resnet", "test_mambaout"):
        settings = timm.get_pretrained_cfg(name)
        backbone = build_backbone(f"timm:{name}")
        assert [each / 255 for each in backbone.mean] == pytest.approx(settings.mean)
        assert [each / 255 for each in backbone.deviation] == pytest.approx(settings.std)
    assert timm.get_pretrained_cfg("test_resnet").mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("given", "nearest"), [("resnet5", "resnet50"), ("resnet18.a1_in2k", "resnet18.a1_in1k")]
)
def test_a_timm_network_that_does_not_exist_is_told_with_the_nearest(given, nearest):
    timm = pytest.importorskip("timm")
    with pytest.raises(InputError) as caught:
        build_backbone(f"timm:{given}")
    assert str(caught.value) == (
        f'timm {timm.__version__} has no "{given}". Did you mean "timm:{nearest}"? To see all: '
        'python -c "import timm; print(*timm.list_pretrained(), sep=chr(10))".'
    )


def test_a_layer_that_a_timm_network_has_not_is_told_with_those_that_it_has():
    pytest.importorskip("timm")
    with pytest.raises(InputError) as caught:
        build_backbone("timm:resnet18", "layer5")
    assert str(caught.value) == (
        'Unknown layer "layer5". Did you mean "layer4"? Its layers are: conv1, bn1, act1, maxpool, '
        "layer1, layer1.0, layer1.1, layer2, layer2.0, layer2.1, layer3, layer3.0, layer3.1, "
        "layer4, layer4.0, layer4.1, global_pool, global_pool.pool, global_pool.flatten, pooled."
    )
