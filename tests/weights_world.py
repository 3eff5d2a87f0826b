"""Weights of VGG16's first block, and what tests of where weights come from ask of them."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from tinyscope.features.weights import load_backbone
from tinyscope.models.vgg import VGG16


def block1(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return VGG16("block1").state_dict()


TENSORS = block1()
CONTENT = save(TENSORS)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


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
