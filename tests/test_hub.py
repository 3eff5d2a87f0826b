"""Tests of tinyscope.features.hub: published weights, from caches and from a hub of the tests."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_server import ArchiveServer, archive_server
from safetensors.torch import save
from weights_world import CONTENT, SHA256, TENSORS, block1, fault, holds

from tinyscope.errors import DataError, InputError, StorageError
from tinyscope.features import hub
from tinyscope.features.weights import load_backbone

PLACE = "timm/vgg16.tv_in1k/resolve/main/model.safetensors"

pytestmark = pytest.mark.usefixtures("machine")


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


# The caches of this machine.


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


# The hub.


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
