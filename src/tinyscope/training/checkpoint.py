"""Checkpoints: everything that a training needs to go on, in one safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from tinyscope.errors import StorageError
from tinyscope.files import replacing


def write_checkpoint(
    path: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Writes tensors and plain values; the previous checkpoint survives if that fails.

    Args:
        path: of the file.
        tensors: by group ("network", "optimizer") and name.
        state: plain JSON values; floats come back as they were, bit for bit.

    Raises:
        StorageError: the disk is full, or cannot be written.
    """
    # Copies, because safetensors refuses tensors that share memory or lie channels-last.
    flat = {
        f"{group}/{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for group, named in tensors.items()
        for name, tensor in named.items()
    }
    content = save(flat, metadata={"state": json.dumps(state)})
    with replacing(path) as file:
        file.write(content)


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `write_checkpoint` wrote.

    Raises:
        StorageError: it cannot be read; the message says which file to remove to start anew.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                group, _, name = key.partition("/")
                # A copy: what the file gives is a view of it, and Windows replaces no mapped file.
                tensors.setdefault(group, {})[name] = file.get_tensor(key).clone()
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise StorageError(
            f"{path} cannot be read: {error}. Remove it to train this run from the start."
        ) from None
    return tensors, state


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as named tensors and plain values; learning rates are not part of it."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                values[f"{index}.{name}"] = value
    return tensors, values


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Puts back what `optimizer_state` took, into an optimizer over the same parameters."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **values}.items():
        index, _, name = key.partition(".")
        if isinstance(value, Tensor) and value.shape == parameters[int(index)].shape:
            # Fused optimizers walk through memory as it lies: state has to lie as its parameter
            # does, channels-last among them, which a file does not tell.
            value = torch.empty_like(parameters[int(index)], dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
