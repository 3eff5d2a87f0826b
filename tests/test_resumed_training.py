import itertools
from dataclasses import replace

import numpy as np
import pytest
from training_world import (
    FAST,
    SMALL,
    assert_same_bits,
    mirrored_among,
    mirrored_images,
    without_times,
)

from tinyscope.errors import StorageError
from tinyscope.training import trainer
from tinyscope.training.checkpoint import read_checkpoint, write_checkpoint
from tinyscope.training.trainer import Trainer, train


@pytest.fixture(autouse=True)
def _checkpoint_after_every_epoch(monkeypatch):
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)


class Interrupted(Exception):
    pass


def assert_goes_on_with_the_same_bits(data, recipe, checkpoint, at) -> None:
    """Interrupts a training at an epoch's step, goes on, and compares with an undisturbed one."""
    seen = itertools.count(1)

    def interrupt(step: int, steps: int) -> None:
        if next(seen) == (at[0] - 1) * steps + at[1]:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(data, recipe, checkpoint=checkpoint, on_step=interrupt)
    told = []
    resumed = train(data, recipe, checkpoint=checkpoint, on_epoch=told.append)
    whole = train(data, recipe)
    assert_same_bits(resumed.network, whole.network)
    assert without_times(resumed.history) == without_times(whole.history)
    assert [row["epoch"] for row in told] == list(range(at[0], recipe.epochs + 1))


@pytest.mark.parametrize(
    ("change", "other"), [("seed", "seed"), ("recipe", "recipe"), ("data", "data")]
)
def test_a_checkpoint_of_another_training_is_refused(world, tmp_path, change, other):
    """Three seeds that share a file would be one seed three times."""
    path = tmp_path / "c"
    train(world, SMALL, checkpoint=path)
    recipe = replace(SMALL, learning_rate=0.01) if change == "recipe" else SMALL
    data = replace(world, train=world.validation.select(np.arange(64), split="train"))
    with pytest.raises(StorageError) as told:
        train(
            data if change == "data" else world,
            recipe,
            seed=int(change == "seed"),
            checkpoint=str(path),
        )
    assert str(told.value) == (
        f"{path} is of another training, with another {other}. Choose another file, or remove it."
    )


@pytest.mark.parametrize("written", ["nothing", "all but the version", "another version"])
def test_a_checkpoint_of_a_version_that_computes_otherwise_is_refused(world, tmp_path, written):
    path = tmp_path / "c"
    train(world, FAST, checkpoint=path)
    tensors, state = read_checkpoint(path)
    if written == "nothing":  # as the first versions did, which kept one optimizer
        state = {"optimizer": {}, "watch": state["watch"], "history": state["history"]}
    elif written == "all but the version":
        del state["asked"]["version"]
    else:
        state["asked"]["version"]["muon"] = "six steps"
    write_checkpoint(path, tensors, state)
    with pytest.raises(StorageError, match="of another training, with another version"):
        train(world, FAST, checkpoint=path)


def test_a_checkpoint_without_a_version_goes_on_where_all_versions_compute_alike(world, tmp_path):
    path = tmp_path / "c"
    whole = train(world, SMALL, checkpoint=path)
    tensors, state = read_checkpoint(path)
    del state["asked"]["version"]
    write_checkpoint(path, tensors, state)
    assert_same_bits(train(world, SMALL, checkpoint=path).network, whole.network)


def test_a_damaged_checkpoint_is_named_with_its_remedy(world, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"half of it")
    with pytest.raises(StorageError) as told:
        train(world, SMALL, checkpoint=checkpoint)
    assert str(told.value).startswith(f"{checkpoint} cannot be read: ")
    assert str(told.value).endswith("Remove it to train this run from the start.")


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("at", [(2, 3), (4, 1)])
def test_an_interrupted_training_ends_with_the_same_weights(world, tmp_path, optimizer, at):
    recipe = replace(
        SMALL,
        optimizer=optimizer,
        learning_rate=0.01,
        plateau_patience=1,
        plateau_factor=0.5,
        schedule="cosine",
    )
    assert_goes_on_with_the_same_bits(world, recipe, tmp_path / "checkpoint.safetensors", at)


def test_an_interrupted_training_restores_the_best_weights_of_before(world, tmp_path):
    recipe = replace(
        SMALL, optimizer="adam", learning_rate=1.0, early_stopping_patience=2, epochs=12
    )
    whole = train(world, recipe)
    assert whole.stopped == "early stopping"
    assert len(whole.history) == whole.best_epoch + 2 < 12
    checkpoint = tmp_path / "checkpoint.safetensors"

    def interrupt(row) -> None:
        if row["epoch"] == whole.best_epoch + 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(world, recipe, checkpoint=checkpoint, on_epoch=interrupt)
    resumed = train(world, recipe, checkpoint=checkpoint)
    assert resumed.stopped == "early stopping"
    assert_same_bits(resumed.network, whole.network)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 2},
        {"depth": 3},
        {"hardest_share": 0.5},
        {"hardest_share": 0.5, "averaged_steps": 0.6, "sam_steps": 0.5, "sam_share": 0.5},
    ],
)
@pytest.mark.parametrize("at", [(2, 3), (3, 6), (4, 1)])
def test_the_fast_recipe_goes_on_after_an_interruption_with_the_same_bits(
    world, tmp_path, at, changes
):
    recipe = replace(FAST, **changes)
    assert_goes_on_with_the_same_bits(world, recipe, tmp_path / "checkpoint.safetensors", at)


def test_an_image_is_mirrored_in_exactly_one_of_two_epochs_that_follow_one_another(
    world, tmp_path, monkeypatch
):
    images, shown, step = world.train.images, [], Trainer.step

    def watched(self, pixels, labels, number):
        shown.extend(image.numpy().tobytes() for image in pixels)
        return step(self, pixels, labels, number)

    def interrupt(row) -> None:
        if row["epoch"] == 3:
            raise Interrupted

    monkeypatch.setattr(Trainer, "step", watched)
    recipe = replace(FAST, shift=0, epochs=5)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        train(world, recipe, checkpoint=checkpoint, on_epoch=interrupt)
    train(world, recipe, checkpoint=checkpoint)
    epochs = [mirrored_among(shown[at : at + 256], images) for at in range(0, len(shown), 256)]
    assert len(epochs) == 6, "the third one twice"
    first, second = epochs[:2]
    assert 90 < len(first) < 166  # 128 on average, with a deviation of 8
    assert second == set(range(256)) - first
    assert epochs == [first, second, first, first, second, first]
    other = Trainer(world, recipe, seed=1)
    assert mirrored_images(other, images, 1) != first
