"""Tests of tinyscope.features.weights and tinyscope.features.hub."""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from archive_server import ArchiveServer, archive_server
from safetensors.torch import save, save_file
from torch import Tensor, nn

from tinyscope.data import download
from tinyscope.errors import DataError, InputError, StorageError
from tinyscope.features import hub, weights
from tinyscope.features.weights import load_backbone, weights_digest
from tinyscope.models import timm_network
from tinyscope.models.backbones import Backbone, Stored
from tinyscope.models.vgg import VGG16

PLACE = "timm/vgg16.tv_in1k/resolve/main/model.safetensors"


def block1(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return VGG16("block1").state_dict()


TENSORS = block1()
CONTENT = save(TENSORS)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with empty caches whose hub cannot be reached."""
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    with archive_server() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)  # with a slash at its end
        yield running


def serve(server: ArchiveServer, content: bytes = CONTENT, sha256: str = SHA256, **how: object):
    """The hub: its answer tells the checksum, and where another host has the file."""
    url, stored = server.serve("elsewhere", content, etag='"cdn"', **how)
    headers = {"X-Linked-Etag": f'"{sha256}"'} if sha256 else {}
    elsewhere = url.replace("127.0.0.1", "localhost")
    _, asked = server.serve(PLACE, b"", moved_to=elsewhere, headers=headers)
    return asked, stored


def cached_by_hub(home: Path, content: bytes, *, snapshot: str = "c0ffee", name: str = "") -> Path:
    """A file where the hub's own tools keep it: a link to a blob with its checksum as name."""
    folder = home / "models--timm--vgg16.tv_in1k"
    blob = folder / "blobs" / (name or hashlib.sha256(content).hexdigest())
    path = folder / "snapshots" / snapshot / "model.safetensors"
    blob.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True)
    blob.write_bytes(content)
    path.symlink_to(blob)
    return path


def written(path: Path, tensors: dict[str, Tensor]) -> str:
    save_file(tensors, path)
    return str(path)


def fault(error: type[Exception], *names: str, **how: str) -> str:
    with pytest.raises(error) as caught:
        load_backbone(*names, **how)
    return str(caught.value)


def holds(network: nn.Module, tensors: dict[str, Tensor]) -> bool:
    state = network.state_dict()
    return list(state) == list(tensors) and all(
        torch.equal(state[name], tensor) for name, tensor in tensors.items()
    )


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


# Published weights: the caches of this machine.


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"])
def test_published_weights_are_found_where_the_hubs_own_tools_keep_them(
    machine, monkeypatch, variable
):
    folders = {
        "HF_HUB_CACHE": "",
        "HF_HOME": "hub",
        "XDG_CACHE_HOME": "huggingface/hub",
        "HOME": ".cache/huggingface/hub",
    }
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(machine))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cached_by_hub(machine / folders[variable], CONTENT)

    backbone, _ = load_backbone("vgg16", layer="block1")

    assert holds(backbone.network, TENSORS)


def test_of_several_snapshots_the_newest_is_taken(machine):
    home = machine / "hf" / "hub"
    cached_by_hub(home, save(block1(seed=1)), snapshot="aaa")
    cached_by_hub(home, CONTENT, snapshot="bbb")
    cached_by_hub(home, save(block1(seed=2)), snapshot="ccc")
    newest = home / "models--timm--vgg16.tv_in1k" / "refs" / "main"
    newest.parent.mkdir()
    newest.write_text("bbb")

    assert holds(load_backbone("vgg16", layer="block1")[0].network, TENSORS)


def test_an_altered_file_in_the_hubs_cache_is_told(machine):
    path = cached_by_hub(machine / "hf" / "hub", CONTENT[:-1] + b"x", name=SHA256)
    altered = hashlib.sha256(CONTENT[:-1] + b"x").hexdigest()

    assert fault(StorageError, "vgg16", layer="block1") == (
        f"{path} is damaged: its sha256 is {altered}; expected {SHA256}. Remove it, and it is "
        "downloaded again."
    )


# Published weights: the hub.


def test_published_weights_are_downloaded_once_and_checked(server, machine):
    asked, stored = serve(server)

    first = load_backbone("vgg16", layer="block1")
    second = load_backbone("vgg16", layer="block1")

    assert holds(first[0].network, TENSORS)
    assert first[1] == second[1]
    assert [request["method"] for request in asked.asked] == ["HEAD", "GET"]
    assert len(stored.asked) == 1
    path = machine / "ours" / "weights" / "timm--vgg16.tv_in1k" / "model.safetensors"
    assert path.read_bytes() == CONTENT


def test_a_download_that_was_cut_goes_on_where_it_stopped(server):
    _, stored = serve(server, cuts=[50_000])

    assert holds(load_backbone("vgg16", layer="block1")[0].network, TENSORS)
    assert [request.get("Range") for request in stored.asked] == [None, "bytes=50000-"]


def test_a_download_of_another_checksum_is_refused(server, machine):
    serve(server, save(block1(seed=1)))
    host = server.address.split("/")[2]
    path = machine / "ours" / "weights" / "timm--vgg16.tv_in1k" / "model.safetensors"

    assert fault(DataError, "vgg16", layer="block1") == (
        f"model.safetensors could not be downloaded ({host}: another file (its sha256 differs)). "
        f"Fetch {server.address}{PLACE} by hand (sha256 {SHA256}) and put it at {path}, or set "
        'backbone_weights = "PATH" to that file.'
    )
    assert not path.exists()


def test_a_downloaded_file_that_was_altered_since_is_told(server, machine):
    serve(server)
    load_backbone("vgg16", layer="block1")
    path = machine / "ours" / "weights" / "timm--vgg16.tv_in1k" / "model.safetensors"
    path.write_bytes(CONTENT[:-1] + b"x")

    assert fault(StorageError, "vgg16", layer="block1").startswith(f"{path} is damaged: its sha256")


def test_a_file_put_into_the_cache_by_hand_is_used(machine):
    path = machine / "ours" / "weights" / "timm--vgg16.tv_in1k" / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)

    assert holds(load_backbone("vgg16", layer="block1")[0].network, TENSORS)


def by_hand(address: str) -> str:
    return f'Fetch {address}{PLACE} by hand, and set backbone_weights = "PATH" to that file.'


def test_without_a_network_the_way_by_hand_is_told():
    assert fault(DataError, "vgg16", layer="block1") == (
        "The weights of timm/vgg16.tv_in1k could not be downloaded (127.0.0.1:9: connection "
        f"refused, 4 times). {by_hand('http://127.0.0.1:9/')}"
    )


def test_a_hub_that_tells_no_checksum_is_not_trusted(server):
    asked, _ = serve(server, sha256="")

    assert fault(DataError, "vgg16", layer="block1") == (
        "The weights of timm/vgg16.tv_in1k could not be downloaded (no checksum (X-Linked-ETag) "
        f"was told). {by_hand(server.address)}"
    )
    assert [request["method"] for request in asked.asked] == ["HEAD"]


@pytest.mark.parametrize("value", ["1", "True", "YES", "on"])
def test_offline_nobody_is_asked(server, monkeypatch, value):
    asked, _ = serve(server)
    monkeypatch.setenv("HF_HUB_OFFLINE", value)

    assert fault(InputError, "vgg16", layer="block1") == (
        "The weights of timm/vgg16.tv_in1k are not on this machine, and HF_HUB_OFFLINE forbids to "
        f"download them. Fetch {server.address}{PLACE} on another one, and set backbone_weights = "
        '"PATH" to that file.'
    )
    assert asked.asked == []


def test_an_endpoint_that_is_no_address_is_told(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "mirror.example.org")
    assert fault(InputError, "vgg16", layer="block1") == (
        'HF_ENDPOINT is "mirror.example.org"; expected an address such as https://huggingface.co.'
    )


def test_without_an_endpoint_the_hub_is_the_hub(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT")
    assert hub.address_of("timm/vgg16.tv_in1k") == f"https://huggingface.co/{PLACE}"


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
