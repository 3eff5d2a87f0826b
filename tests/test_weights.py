"""Tests of tinyscope.features.weights."""

import hashlib
import re
import sys

import numpy as np
import pytest
import torch
from torch import nn
from weights_world import CONTENT, TENSORS, fault, holds, written

from tinyscope.errors import InputError, StorageError
from tinyscope.features import weights
from tinyscope.features.weights import load_backbone, weights_digest
from tinyscope.models import timm_network
from tinyscope.models.backbones import Backbone, Stored

pytestmark = pytest.mark.usefixtures("machine")


# Files that a user names.


def test_a_file_gives_the_network_its_weights_and_the_digest_tells_them(tmp_path):
    path = written(tmp_path / "a.safetensors", TENSORS)

    backbone, digest = load_backbone("vgg16", weights=path, layer="block1")

    assert holds(backbone.network, TENSORS)
    assert backbone.layer == "block1"
    by_hand = hashlib.sha256()
    for name in sorted(TENSORS):
        values = np.ascontiguousarray(TENSORS[name].numpy())
        by_hand.update(f"{name} float32 {values.shape} ".encode() + values.tobytes())
    assert digest == by_hand.hexdigest()[:16] == weights_digest(backbone.network)


def test_only_what_the_layer_needs_is_read_and_counts_in_the_digest(tmp_path):
    more = TENSORS | {"features.5.weight": torch.zeros(128, 64, 3, 3)}
    # What is not needed may be of any shape: the classes of another data set, say.
    more["classifier.6.weight"] = torch.zeros(10, 4096)
    large = load_backbone(
        "vgg16", weights=written(tmp_path / "b.safetensors", more), layer="block1"
    )
    small = load_backbone(
        "vgg16", weights=written(tmp_path / "a.safetensors", TENSORS), layer="block1"
    )

    assert large[1] == small[1]


def test_a_digest_does_not_depend_on_the_memory_layout_and_does_on_every_value():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    digest = weights_digest(network)

    assert weights_digest(network.to(memory_format=torch.channels_last)) == digest
    network[1].num_batches_tracked += 1  # no output depends on it
    assert weights_digest(network) == digest
    with torch.no_grad():
        network[1].running_mean[3] = 1e-30
    assert weights_digest(network) != digest


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_become_float32(tmp_path, kind):
    tensors = {name: tensor.to(kind) for name, tensor in TENSORS.items()}
    path = written(tmp_path / "a.safetensors", tensors)

    backbone, _ = load_backbone("vgg16", weights=path, layer="block1")

    assert holds(backbone.network, {name: each.float() for name, each in tensors.items()})
    assert {each.dtype for each in backbone.network.parameters()} == {torch.float32}


def test_integers_for_weights_are_refused(tmp_path):
    tensors = {name: (100 * tensor).to(torch.int8) for name, tensor in TENSORS.items()}
    path = written(tmp_path / "a.safetensors", tensors)

    assert fault(StorageError, "vgg16", weights=path, layer="block1") == (
        f"{path} holds features.0.bias as torch.int8; expected floating-point numbers."
    )


def test_a_folder_stands_for_the_one_file_in_it(tmp_path):
    written(tmp_path / "model.safetensors", TENSORS)
    backbone, _ = load_backbone("vgg16", weights=str(tmp_path), layer="block1")
    assert holds(backbone.network, TENSORS)

    written(tmp_path / "other.safetensors", TENSORS)
    assert fault(InputError, "vgg16", weights=str(tmp_path), layer="block1") == (
        f"backbone_weights: {tmp_path} has to hold one .safetensors file; found: "
        "model.safetensors, other.safetensors."
    )


def test_a_file_that_is_not_there_is_told(tmp_path):
    path = tmp_path / "no.safetensors"
    assert fault(InputError, "vgg16", weights=str(path), layer="block1") == (
        f"backbone_weights: {path} does not exist. Expected a .safetensors file, or a folder that "
        "holds one."
    )


def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path):
    path = tmp_path / "vgg16-397923af.pth"
    torch.save(TENSORS, path)

    said = fault(InputError, "vgg16", weights=str(path), layer="block1")

    code = (
        "import torch; from safetensors.torch import save_file; "
        f"save_file(torch.load('{path}', weights_only=True), '{path.with_suffix('.safetensors')}')"
    )
    assert said == (
        f"backbone_weights: {path} is a pickle, which can run any code when it is opened. Convert "
        f'it: python -c "{code}".'
    )
    exec(code)
    backbone, _ = load_backbone("vgg16", weights=str(tmp_path), layer="block1")
    assert holds(backbone.network, TENSORS)


def test_other_kinds_of_files_are_refused(tmp_path):
    path = tmp_path / "vgg16_weights.h5"
    path.write_bytes(b"HDF")
    assert fault(InputError, "vgg16", weights=str(path), layer="block1") == (
        f"backbone_weights: {path} is no .safetensors file, and no other is read. The hub has most "
        "published weights as model.safetensors."
    )


@pytest.mark.parametrize("damage", ["truncated", "empty", "header"])
def test_a_damaged_file_is_told(tmp_path, damage):
    path = tmp_path / "a.safetensors"
    content = {
        "truncated": CONTENT[: len(CONTENT) // 2],
        "empty": b"",
        "header": b"\xff" * 8 + CONTENT[8:],
    }[damage]
    path.write_bytes(content)

    said = fault(StorageError, "vgg16", weights=str(path), layer="block1")

    assert said.startswith(f"{path} is no whole safetensors file: ")
    assert said.endswith(". Fetch it again.")


REMEDY = "Set backbone_weights to a file of them, or leave it out for the published ones."


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"features.2.weight": None}, "features.2.weight (64, 64, 3, 3) is missing"),
        (
            {"features.0.weight": torch.zeros(64, 1, 3, 3)},
            "features.0.weight is (64, 1, 3, 3), expected (64, 3, 3, 3)",
        ),
        ({"features.3.weight": torch.ones(64)}, "features.3.weight (64,) is not part of it"),
        (
            {"features.0.weight": None, "conv1.weight": torch.zeros(64, 3, 7, 7)},
            "features.0.weight (64, 3, 3, 3) is missing; conv1.weight (64, 3, 7, 7) is not part "
            "of it",
        ),
    ],
)
def test_weights_of_another_network_are_told_by_the_first_that_differs(tmp_path, change, told):
    tensors = {name: each for name, each in (TENSORS | change).items() if each is not None}
    path = written(tmp_path / "a.safetensors", tensors)

    assert fault(StorageError, "vgg16", weights=path, layer="block1") == (
        f"{path} does not hold the weights of vgg16: {told}. {REMEDY}"
    )


def test_a_tensor_under_another_name_and_shape_is_laid_out_as_the_networks_is(
    tmp_path, monkeypatch
):
    network = nn.Linear(2 * 3 * 3, 4)
    stored = {
        "weight": Stored("weight", (4, 18)),
        "bias": Stored("bias", (4,)),
        "conv.weight": Stored("weight", (4, 2, 3, 3)),
    }
    small = Backbone("small", "", (), network, (), (), 1, (), stored)
    monkeypatch.setattr(weights, "build_backbone", lambda *_: small)
    torch.manual_seed(0)
    kernel, maps = torch.randn(4, 2, 3, 3), torch.randn(5, 2, 3, 3)
    path = written(tmp_path / "a.safetensors", {"conv.weight": kernel, "bias": torch.zeros(4)})

    load_backbone("small", weights=path)

    expected = nn.functional.conv2d(maps, kernel).flatten(1)
    torch.testing.assert_close(network(maps.flatten(1)), expected)
    path = written(tmp_path / "b.safetensors", {"conv.weight": torch.zeros(4, 18)})
    assert fault(StorageError, "small", weights=path) == (
        f"{path} does not hold the weights of small: bias (4,) is missing. {REMEDY}"
    )
    path = written(
        tmp_path / "c.safetensors", {"conv.weight": torch.zeros(4, 18), "bias": torch.zeros(4)}
    )
    assert fault(StorageError, "small", weights=path) == (
        f"{path} does not hold the weights of small: conv.weight is (4, 18), expected (4, 2, 3, "
        f"3). {REMEDY}"
    )


def test_unknown_names_are_told_before_anything_is_fetched():
    assert fault(InputError, "vgg16", layer="block9").startswith('Unknown layer "block9".')
    assert fault(InputError, "vgg17").startswith('Unknown backbone "vgg17".')


def test_without_timm_its_backbones_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert 'pip install "tinyscope[pretrained]"' in fault(InputError, "timm:resnet18")


# timm's own.


def test_a_timm_network_gets_its_weights_up_to_its_layer(tmp_path):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("test_resnet").eval()
    tensors = theirs.state_dict()
    tensors["fc.weight"] = torch.zeros(10, theirs.num_features)  # trained again for ten classes
    tensors["fc.bias"] = torch.zeros(10)
    path = written(tmp_path / "a.safetensors", tensors)
    images = torch.randn(1, 3, 64, 64)

    backbone, digest = load_backbone("timm:test_resnet", weights=path, layer="layer1")

    with torch.no_grad():
        stem = theirs.maxpool(theirs.act1(theirs.bn1(theirs.conv1(images))))
        torch.testing.assert_close(backbone.network(images), theirs.layer1(stem))
    assert digest == weights_digest(backbone.network)


def test_weights_under_the_names_of_a_networks_authors_are_converted(tmp_path):
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("test_convnext").eval()
    spelled = (
        (r"stem\.", "downsample_layers.0."),
        (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"\.blocks\.", "."),
        ("conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"head\.norm", "norm"),
        (r"head\.fc", "head"),
    )
    original = {}
    for name, tensor in theirs.state_dict().items():
        for ours, authors in spelled:
            name = re.sub(ours, authors, name)
        original[name] = tensor
    path = written(tmp_path / "a.safetensors", original)
    images = torch.randn(1, 3, 64, 64)

    backbone, _ = load_backbone("timm:test_convnext", weights=path)

    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone.network(images), expected)


@pytest.mark.parametrize(
    ("name", "lacks", "shape"),
    [
        ("test_convnext", "stages.1.blocks.0.conv_dw.weight", (32, 1, 7, 7)),
        ("dla46_c", "base_layer.0.weight", (16, 3, 7, 7)),  # timm itself would leave it random
    ],
)
def test_timm_weights_that_lack_a_tensor_are_refused(tmp_path, name, lacks, shape):
    timm = pytest.importorskip("timm")
    tensors = timm.create_model(name).state_dict()
    del tensors[lacks]
    path = written(tmp_path / "a.safetensors", tensors)

    assert fault(StorageError, f"timm:{name}", weights=path) == (
        f"{path} does not hold the weights of timm:{name}: {lacks} {shape} is missing. {REMEDY}"
    )


def test_each_timm_network_says_where_its_weights_are():
    pytest.importorskip("timm")
    assert timm_network.repository("resnet18") == "timm/resnet18.a1_in1k"
    assert timm_network.repository("resnet18.tv_in1k") == "timm/resnet18.tv_in1k"
    assert timm_network.repository("legacy_xception") is None


def test_a_timm_network_without_published_weights_says_so():
    pytest.importorskip("timm")
    assert fault(InputError, "timm:legacy_xception", layer="conv1") == (
        "No weights of timm:legacy_xception are published as safetensors. Set backbone_weights = "
        '"PATH" to a file of them.'
    )
