import ctypes
import os
import platform
from dataclasses import replace

import pytest
import torch
from tiny_study import STUDY
from training_world import SMALL

from tinyscope.inspection.inspection import inspect
from tinyscope.sweep import local
from tinyscope.sweep.listener import Listener
from tinyscope.sweep.local import run_study
from tinyscope.training import allocator
from tinyscope.training.allocator import freed_memory_kept
from tinyscope.training.trainer import train


class Library:
    """A C library that only notes what it is told."""

    def __init__(self):
        self.settings, self.trimmed = {}, 0

    def mallopt(self, name, value):
        self.settings[name] = value
        return 1

    def malloc_trim(self, pad):
        self.trimmed += 1

    @property
    def maps(self):
        """Whether large blocks are mapped, and so given back when they are freed."""
        return self.settings.get(allocator._MMAP_MAX, 65536) > 0


@pytest.fixture
def library(monkeypatch):
    told = Library()
    monkeypatch.setattr(allocator, "_glibc", lambda: told)
    return told


def test_memory_is_kept_while_a_training_runs_and_goes_back_after_it(world, library):
    during = []
    train(world, SMALL, on_epoch=lambda row: during.append((library.maps, library.trimmed)))
    assert during == [(False, 0)] * SMALL.epochs
    assert library.maps
    assert library.settings[allocator._TRIM_THRESHOLD] == 64 * 2**20
    assert library.trimmed == 1


@pytest.mark.skipif(allocator._glibc() is None, reason="the allocator is not glibc's, or not ours")
def test_more_than_two_gib_that_are_free_at_once_are_kept_too():
    library = ctypes.CDLL(None)
    library.sbrk.restype = ctypes.c_void_p
    with freed_memory_kept():
        block = torch.empty(5 * 2**29, dtype=torch.uint8)  # never written to: it takes no memory
        end = library.sbrk(0)
        del block
        assert library.sbrk(0) == end
    assert library.sbrk(0) < end


class Told(Listener):
    """Notes whether memory goes back while a study is at its stages."""

    def __init__(self, library):
        self.library, self.maps = library, []

    def inspected(self, inspection):
        self.maps.append(("inspected", self.library.maps))

    def planned(self, planned, seconds, cut):
        self.maps.append(("planned", self.library.maps))

    def epoch(self, run, row):
        self.maps.append(("epoch", self.library.maps))


@pytest.mark.usefixtures("undrawn")
def test_a_study_keeps_memory_only_while_something_trains(world, library, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))
    told, summarised, summarise = Told(library), [], local.summarise

    def noted(*arguments, **options):
        summarised.append(library.maps)
        return summarise(*arguments, **options)

    monkeypatch.setattr(local, "summarise", noted)
    study = replace(STUDY, seeds=(0,), variations={})
    run_study(study, world, out=tmp_path / "s", listener=told)
    assert told.maps == [
        ("inspected", True),
        ("planned", True),
        ("epoch", False),
        ("epoch", False),
    ]
    assert summarised == [True]


def test_a_look_at_images_without_training_keeps_no_memory(world, library, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))
    stages = []
    inspect(world, training=False, on_stage=lambda stage: stages.append(library.maps))
    assert stages
    assert all(stages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_glibc_is_found_and_takes_every_setting(monkeypatch):
    for name in [each for each in os.environ if each.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    libc = allocator._glibc.__wrapped__()
    assert libc is not None
    for setting in (*allocator._KEEPING, *allocator._USUAL):
        assert libc.mallopt(*setting) == 1, setting


def test_of_blocks_within_one_another_the_outermost_decides(library):
    with freed_memory_kept():
        with freed_memory_kept():
            pass
        assert not library.maps
        assert not library.trimmed
    assert library.maps


def test_a_training_that_fails_gives_memory_back_as_well(library):
    with pytest.raises(KeyboardInterrupt), freed_memory_kept():
        raise KeyboardInterrupt
    assert library.maps


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_MAX_", "0"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0")],
)
def test_what_somebody_has_set_by_hand_stays(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert allocator._glibc.__wrapped__() is None
