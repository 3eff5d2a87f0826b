import os
import subprocess
import sys

import pytest
import torch

from tinyscope.errors import StorageError
from tinyscope.training.checkpoint import (
    optimizer_state,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)


def test_tensors_and_floats_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    kernel = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    state = {"loss": 0.1 + 0.2, "epoch": 3, "rows": [{"val_loss": None}]}
    write_checkpoint(path, {"network": {"a.b/c": kernel, "n": torch.tensor(7)}}, state)
    tensors, read = read_checkpoint(path)
    assert read == state
    assert torch.equal(tensors["network"]["a.b/c"], kernel)
    assert tensors["network"]["n"].item() == 7


def test_tensors_that_share_memory_are_each_written(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    shared = torch.arange(4.0)
    write_checkpoint(path, {"network": {"a": shared}, "best": {"a": shared}}, {})
    tensors, _ = read_checkpoint(path)
    assert tensors["network"]["a"].tolist() == tensors["best"]["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_an_optimizer_goes_on_as_if_it_had_not_stopped(tmp_path, kind):
    def steps(optimizer, parameter, seeds):
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
            optimizer.step()

    def make(start):
        parameter = torch.nn.Parameter(start.clone().to(memory_format=torch.channels_last))
        more = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return parameter, kind([parameter], lr=0.1, fused=True, **more)

    start = torch.randn(4, 3, 2, 2)
    whole, optimizer = make(start)
    steps(optimizer, whole, range(5))

    first, optimizer = make(start)
    steps(optimizer, first, range(3))
    path = tmp_path / "checkpoint.safetensors"
    tensors, values = optimizer_state(optimizer)
    write_checkpoint(path, {"optimizer": tensors}, {"values": values})
    read, state = read_checkpoint(path)
    second, optimizer = make(first.detach())
    restore_optimizer(optimizer, read["optimizer"], state["values"])
    steps(optimizer, second, range(3, 5))
    assert torch.equal(whole, second)


FULL_DISK = """
import resource, signal, sys
import torch
from pathlib import Path
from tinyscope.errors import StorageError
from tinyscope.training.checkpoint import write_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_checkpoint(Path(sys.argv[1]), {"network": {"a": torch.zeros(100_000)}}, {})
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_the_previous_checkpoint_survives_a_disk_that_fills_up_while_one_is_written(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, {"network": {"a": torch.ones(3)}}, {"epoch": 1})
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"{path} cannot be written: File too large. What it held before is kept.\n"
    )
    tensors, state = read_checkpoint(path)
    assert (tensors["network"]["a"].tolist(), state) == ([1, 1, 1], {"epoch": 1})
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux's list of mappings")
def test_a_checkpoint_that_was_read_is_no_longer_open(tmp_path):
    """Windows replaces and deletes no file that is mapped."""
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, {"network": {"a": torch.arange(5000.0)}}, {})
    tensors, _ = read_checkpoint(path)
    with open("/proc/self/maps", encoding="utf-8") as maps:
        assert str(path) not in maps.read()
    assert torch.equal(tensors["network"]["a"], torch.arange(5000.0))


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(StorageError, match="Remove it to train this run from the start"):
        read_checkpoint(path)
