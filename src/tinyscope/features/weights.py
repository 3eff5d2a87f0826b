"""Backbones with their weights: published ones by name, or those of a file."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyscope.errors import InputError, StorageError
from tinyscope.features.hub import weights_file
from tinyscope.files import path_of
from tinyscope.models import timm_network
from tinyscope.models.backbones import TIMM, Backbone, build_backbone

PUBLISHED = {
    "vgg16": "timm/vgg16.tv_in1k",  # torchvision's weights
}
"""The repository on the hub that has the published weights of a backbone."""

SHIPPED = {"cifar100-backbone": Path(__file__).with_name("cifar100-backbone.safetensors")}
"""The file of each backbone that comes along; how it was trained stands beside it."""

_PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".tar")

_UNUSED_AT_PREDICTION = "num_batches_tracked"
"""A counter of batch norm's that older files have not."""


def load_backbone(name: str, *, weights: str = "", layer: str = "") -> tuple[Backbone, str]:
    """A backbone with trained weights, and a digest of them.

    Only the tensors that the layer needs are read.

    Args:
        name: of `models.backbones.BACKBONES`, or "timm:NAME".
        weights: "" for those that come along, or the published ones: in the hub's cache or ours,
            else downloaded. Or
            the path of a safetensors file, or of a folder that holds one: of the whole network or
            of the part that the layer needs, under the names of torchvision or of timm. Half
            precision becomes float32.
        layer: where the network is cut; "" is its default.

    Returns:
        The backbone, and `weights_digest` of its network.

    Raises:
        InputError: there is no such backbone, layer or file; an extra is not installed; the
            weights are not safetensors, or are published nowhere.
        DataError: published weights cannot be downloaded.
        StorageError: a file is damaged, or holds the weights of another network.
    """
    backbone = build_backbone(name, layer)
    if weights:
        path = _given_file(path_of(weights))
    else:
        path = SHIPPED[name] if name in SHIPPED else weights_file(_repository(name))
    with _opened(path) as file:
        tensors = _named_as_in_network(backbone, file, path)
        state = backbone.network.state_dict()
        with torch.no_grad():
            for target, tensor in tensors.items():
                state[target].copy_(tensor.reshape(state[target].shape))
    return backbone, weights_digest(backbone.network)


def weights_digest(network: nn.Module) -> str:
    """16 hexadecimal digits that tell a network's weights: their names, shapes and values.

    The same whatever file they came from, and however they lie in memory.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.endswith(_UNUSED_AT_PREDICTION):
            values = tensor.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {values.dtype} {values.shape} ".encode())
            digest.update(values.reshape(-1).data)
    return digest.hexdigest()[:16]


def _repository(name: str) -> str:
    found = PUBLISHED.get(name)
    if name.startswith(TIMM):
        found = timm_network.repository(name.removeprefix(TIMM))
    if found is None:
        raise InputError(
            f"No weights of {name} are published as safetensors. Set backbone_weights = "
            '"PATH" to a file of them.'
        )
    return found


def _given_file(path: Path) -> Path:
    """The file that a user means by a path."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            raise InputError(
                f"backbone_weights: {path} has to hold one .safetensors file; found: {names}."
            )
        return files[0]
    if not path.exists():
        raise InputError(
            f"backbone_weights: {path} does not exist. Expected a .safetensors file, or a folder "
            "that holds one."
        )
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            f"backbone_weights: {path} is a pickle, which can run any code when it is opened. "
            'Convert it: python -c "import torch; from safetensors.torch import save_file; '
            f"save_file(torch.load('{path}', weights_only=True), "
            f"'{path.with_suffix('.safetensors')}')\"."
        )
    if path.suffix.lower() != ".safetensors":
        raise InputError(
            f"backbone_weights: {path} is no .safetensors file, and no other is read. The hub has "
            "most published weights as model.safetensors."
        )
    return path


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file, mapped into memory; faults in it, then or later, are one line."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except (OSError, safetensors.SafetensorError) as error:
        raise StorageError(
            f"{path} is no whole safetensors file: {error}. Fetch it again."
        ) from None


def _named_as_in_network(backbone: Backbone, file: Any, path: Path) -> dict[str, Tensor]:
    """The tensors that the network needs, by its names.

    Raises:
        StorageError: something is missing, of another shape, or of another network.
    """
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    fault = _fault(backbone, shapes)
    if fault is None:
        used = {name: backbone.stored[name].name for name in shapes if backbone.stored[name].name}
        tensors = {target: file.get_tensor(name) for name, target in used.items()}
    elif backbone.name.startswith(TIMM) and (
        whole := timm_network.converted(
            backbone.name.removeprefix(TIMM), {name: file.get_tensor(name) for name in shapes}
        )
    ):
        tensors = {entry.name: whole[name] for name, entry in backbone.stored.items() if entry.name}
    else:
        raise StorageError(
            f"{path} does not hold the weights of {backbone.name}: {fault}. Set backbone_weights "
            "to a file of them, or leave it out for the published ones."
        )
    state = backbone.network.state_dict()
    for target, tensor in tensors.items():
        if state[target].is_floating_point() and not tensor.is_floating_point():
            raise StorageError(
                f"{path} holds {target} as {tensor.dtype}; expected floating-point numbers."
            )
    return tensors


def _fault(backbone: Backbone, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The first tensors that are missing, misshaped or not of the network, or None."""
    stored = backbone.stored
    there = {stored[name].name for name in shapes if name in stored}
    faults = []
    for name, entry in stored.items():
        if not entry.name or name.endswith(_UNUSED_AT_PREDICTION):
            continue
        if entry.name not in there:
            faults.append(f"{name} {entry.shape} is missing")
            break
        if name in shapes and shapes[name] != entry.shape:
            faults.append(f"{name} is {shapes[name]}, expected {entry.shape}")
            break
    foreign = next((name for name in shapes if name not in stored), None)
    if foreign:
        faults.append(f"{foreign} {shapes[foreign]} is not part of it")
    return "; ".join(faults) or None
