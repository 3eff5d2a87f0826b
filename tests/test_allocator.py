import pytest
from training_world import SMALL

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
