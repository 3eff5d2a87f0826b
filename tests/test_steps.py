import json
import subprocess
import sys
from pathlib import Path

import pytest
import steps

from tinyscope.plan import recipe_book
from tinyscope.plan.recipe import Recipe

JOB = {"recipe": "tiny", "images": 96, "side": 16, "classes": 3, "steps": 8}


def tiny() -> Recipe:
    return Recipe(
        model="whitened-cnn",
        widths=(8, 8),
        optimizer="muon",
        learning_rate=0.1,
        training_sizes=(0.5, 0.5, 1.0),
        epochs=3,
        batch_size=32,
        precision="fp32",
    )


@pytest.fixture
def _tiny_recipe(monkeypatch):
    monkeypatch.setitem(recipe_book.RECIPES, "tiny", tiny)


def rounds(*seconds):
    """Rounds of two checkouts with one size of 10 steps, given each one's seconds."""
    return [
        {
            which: [{"pixels": 32, "steps": 10, "seconds": each}]
            for which, each in zip(("other", "this"), pair, strict=True)
        }
        for pair in seconds
    ]


@pytest.mark.usefixtures("_tiny_recipe")
def test_each_size_of_a_training_has_a_row_with_as_many_steps_as_the_training():
    rows = steps.measured(JOB)
    # Three epochs of three batches; the first two thirds at half of 16 pixels.
    assert [(row["pixels"], row["steps"]) for row in rows] == [(8, 6), (16, 3)]
    assert all(row["seconds"] > 0 for row in rows)


class Clocked:
    """A trainer whose steps take what a list says, on a clock of its own."""

    def __init__(self, monkeypatch, seconds):
        from tinyscope.training import stopwatch

        self.device, self.now, self.seconds, self.asked = None, 0.0, list(seconds), []
        trainer = self

        class Watch:
            def __init__(self, device):
                self.seconds = {}

            def clock(self, name):
                self.name = name
                return self

            def __enter__(self):
                self.start = trainer.now

            def __exit__(self, *error):
                self.seconds[self.name] = trainer.now - self.start

        monkeypatch.setattr(stopwatch, "Stopwatch", Watch)

    def batches(self, epoch):
        return iter([("pixels", "labels")] * 3)

    def step(self, pixels, labels, number):
        self.asked.append(number)
        self.now += self.seconds.pop(0)


def test_a_step_is_the_median_over_means_of_four_once_kernels_are_prepared(monkeypatch):
    trainer = Clocked(monkeypatch, [100] * steps.LEFT_OUT + [1, 1, 1, 5] + [1, 1, 1, 9] + [2] * 4)
    assert steps._seconds(trainer, first=20, of=6, steps=12) == 2


def test_steps_are_those_of_their_size_again_and_again(monkeypatch):
    trainer = Clocked(monkeypatch, [1] * 12)
    steps._seconds(trainer, first=20, of=6, steps=4)
    assert trainer.asked == [20, 21, 22, 23, 24, 25] * 2


def test_two_checkouts_are_compared_round_by_round():
    # The machine was half as fast in the second round; the ratio of medians would be 0.9.
    lines = list(steps.table("sprint", rounds((0.10, 0.08), (0.20, 0.16), (0.10, 0.09))))
    assert lines == [
        "sprint: other checkout, this checkout",
        "  32 pixels, 10 steps: 100.0 ms, 90.0 ms; this / other 0.800 (0.800 to 0.900, 3 rounds)",
        "  training: 1.0 s, 0.9 s; this / other 0.800 (0.800 to 0.900, 3 rounds)",
    ]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        steps.main(["sprint", "--against", str(tmp_path)])
    assert f"--against is {tmp_path}; expected a folder with src/tinyscope" in (
        capsys.readouterr().err
    )


def test_the_package_of_the_given_sources_is_timed(tmp_path, monkeypatch):
    asked = []

    def run(command, *, input, env, **rest):
        asked.append((json.loads(input), env["PYTHONPATH"]))
        return subprocess.CompletedProcess(command, 0, "noise\n[]\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert steps.timed(tmp_path, JOB) == []
    assert asked == [(JOB, str(tmp_path))]


def test_what_a_worker_stopped_with_is_told():
    with pytest.raises(SystemExit, match=r'sprit, .*/src: [^$]*Did you mean "sprint"'):
        steps.timed(Path(steps.SOURCES), JOB | {"recipe": "sprit"})


def test_an_unknown_recipe_is_refused_before_anything_is_timed(capsys):
    with pytest.raises(SystemExit):
        steps.main(["quick", "sprit"])
    assert 'Unknown recipe "sprit". Did you mean "sprint"?' in capsys.readouterr().err


def test_workers_import_torch_only_after_threads_are_prepared():
    code = "import sys, steps; sys.exit('torch' in sys.modules)"
    folder = str(Path(steps.__file__).parent)
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
