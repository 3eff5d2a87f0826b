"""The small world that tests share: 16x16 images of four classes that can be told apart."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

# Test processes run side by side: a thread each, or they would wait for one another's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from tinyscope import cli
from tinyscope.data import download
from tinyscope.data.dataset import ImageDataset, Splits

CLASSES = ("bars", "blank", "dots", "edge")


def make_images(count: int, *, seed: int, split: str = "train") -> ImageDataset:
    """`count` noisy 16x16 RGB images, a quarter of each class, in random order."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 4).astype(np.int64)
    images = random.integers(90, 140, (count, 16, 16, 3))
    images[labels == 0, ::4] += 80
    images[labels == 2, ::4, ::4] += 110
    images[labels == 3, :, :8] -= 60
    return ImageDataset(images.clip(0, 255).astype(np.uint8), labels, CLASSES, split, "world")


@pytest.fixture(scope="session")
def world() -> Splits:
    """256 training, 64 validation and 64 test images."""
    return Splits(
        "world",
        make_images(256, seed=0),
        make_images(64, seed=1, split="validation"),
        make_images(64, seed=2, split="test"),
    )


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory):
    """No test reads or writes the user's cache folder; one process's tests share one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYSCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


class Answer(NamedTuple):
    """What a command answered."""

    status: int
    out: str
    err: str


@pytest.fixture
def tinyscope(monkeypatch, capsys):
    """`tinyscope("run", "demo")` gives status, standard output and standard error."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["tinyscope", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Answer(ended.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own that commands are run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without figures, which take most of the time."""
    for module in ("page", "data_page"):
        monkeypatch.setattr(f"tinyscope.report.{module}.markup", lambda figure, label, name: "")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with empty caches whose hub cannot be reached."""
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path
