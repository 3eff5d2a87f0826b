import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tinyscope.data.batches import Batches
from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError, StorageError
from tinyscope.evaluation.predict import predict_logits
from tinyscope.plan.recipe import Recipe
from tinyscope.training import trainer
from tinyscope.training.trainer import train

SMALL = Recipe(
    model="layer-stack",
    layers=("conv 8 3x3 same batchnorm relu", "maxpool 2", "dropout 0.25", "flatten"),
    learning_rate=0.02,
    horizontal_flip=True,
    shift=1,
    cutout=3,
    epochs=4,
    batch_size=48,
    precision="fp32",
)


@pytest.fixture(autouse=True)
def _checkpoint_after_every_epoch(monkeypatch):
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)


def weights(network) -> dict[str, np.ndarray]:
    return {name: each.numpy().copy() for name, each in network.state_dict().items()}


def assert_same_bits(one, other) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].tobytes() == theirs[name].tobytes(), name


def without_times(history):
    return [
        {key: row[key] for key in row if key not in ("seconds", "images_per_second")}
        for row in history
    ]


def test_a_small_network_learns_classes_that_can_be_told_apart(world):
    trained = train(world, replace(SMALL, epochs=8, cutout=0))
    assert trained.history[-1]["val_accuracy"] > 0.9
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_the_last_rows_validation_figures_are_those_of_the_returned_network(world):
    trained = train(world, SMALL)
    images = Batches(world.validation, device=torch.device("cpu"))
    logits = predict_logits(trained.network, images, precision="fp32")
    labels = torch.from_numpy(world.validation.labels)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert trained.history[-1]["val_accuracy"] == accuracy
    assert trained.history[-1]["val_loss"] == pytest.approx(loss, rel=1e-6)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(world):
    assert_same_bits(train(world, SMALL, seed=3).network, train(world, SMALL, seed=3).network)


def test_another_seed_gives_other_weights(world):
    one, other = (weights(train(world, SMALL, seed=seed).network) for seed in (0, 1))
    assert any(one[name].tobytes() != other[name].tobytes() for name in one)


class Interrupted(Exception):
    pass


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
    checkpoint = tmp_path / "checkpoint.safetensors"
    seen = itertools.count(1)

    def interrupt(step: int, steps: int) -> None:
        if next(seen) == (at[0] - 1) * steps + at[1]:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(world, recipe, checkpoint=checkpoint, on_step=interrupt)
    told = []
    resumed = train(world, recipe, checkpoint=checkpoint, on_epoch=told.append)
    whole = train(world, recipe)
    assert_same_bits(resumed.network, whole.network)
    assert without_times(resumed.history) == without_times(whole.history)
    assert [row["epoch"] for row in told] == list(range(at[0], recipe.epochs + 1))


def test_an_interrupted_training_restores_the_best_weights_of_before(world, tmp_path):
    recipe = replace(
        SMALL, optimizer="adam", learning_rate=0.3, early_stopping_patience=2, epochs=12
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


def test_early_stopping_gives_back_the_weights_of_the_lowest_validation_loss(world):
    recipe = replace(
        SMALL, optimizer="adam", learning_rate=0.3, early_stopping_patience=2, epochs=12
    )
    trained = train(world, recipe)
    lowest = min(trained.history, key=lambda row: row["val_loss"])
    assert trained.best_epoch == lowest["epoch"]
    until_best = train(world, replace(recipe, epochs=lowest["epoch"]))
    assert_same_bits(trained.network, until_best.network)


def test_without_validation_images_every_epoch_is_trained_and_none_is_best(world):
    trained = train(Splits("world", world.train), replace(SMALL, early_stopping_patience=1))
    assert [row["val_loss"] for row in trained.history] == [None] * 4
    assert (trained.best_epoch, trained.stopped) == (None, "all epochs")


def test_a_training_that_diverges_says_so_and_gives_finite_weights(world):
    trained = train(world, replace(SMALL, learning_rate=1e30, momentum=0.0, nesterov=False))
    assert trained.stopped == "diverged"
    assert all(np.isfinite(each).all() for each in weights(trained.network).values())
    assert all(math.isfinite(row["train_loss"]) for row in trained.history)


def test_training_leaves_the_callers_random_numbers_alone(world):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(world, replace(SMALL, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_the_test_split_is_not_looked_at(world):
    blind = Splits("world", world.train, world.validation)
    assert_same_bits(train(world, SMALL).network, train(blind, SMALL).network)


def test_balanced_class_weights_change_the_loss_of_an_unbalanced_set(world):
    rows = np.flatnonzero((world.train.labels != 0) | (np.arange(256) < 32))
    uneven = Splits("uneven", world.train.select(rows, split="train"), world.validation)
    equal = train(uneven, replace(SMALL, epochs=1)).history[0]
    balanced = train(uneven, replace(SMALL, epochs=1, class_weights="balanced")).history[0]
    assert equal["train_loss"] != balanced["train_loss"]


def test_the_rows_say_the_rate_of_their_last_step(world):
    recipe = replace(SMALL, schedule="step", step_epochs=2, step_factor=0.1)
    rates = [row["learning_rate"] for row in train(world, recipe).history]
    assert rates == pytest.approx([0.02, 0.02, 0.002, 0.002])


def test_a_damaged_checkpoint_is_named_with_its_remedy(world, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"half of it")
    with pytest.raises(StorageError) as told:
        train(world, SMALL, checkpoint=checkpoint)
    assert str(told.value).startswith(f"{checkpoint} cannot be read: ")
    assert str(told.value).endswith("Remove it to train this run from the start.")


def test_label_smoothing_is_that_of_the_recipe(world):
    plain = train(world, replace(SMALL, epochs=1)).history[0]["train_loss"]
    smooth = train(world, replace(SMALL, epochs=1, label_smoothing=0.5)).history[0]["train_loss"]
    assert smooth != plain


def test_a_batch_of_one_is_refused_where_batch_norm_compares_images(world):
    with pytest.raises(InputError) as told:
        train(world, replace(SMALL, batch_size=1))
    assert str(told.value) == (
        "batch_size = 1 does not go with layer-stack, whose batch norm compares the images of a "
        "batch. Use 2 or more; 32 is usual."
    )


def test_a_network_that_the_last_step_ruins_counts_as_diverged_without_validation_too(world):
    ruined = replace(SMALL, epochs=1, batch_size=256, learning_rate=1e38)
    for data in (world, Splits("world", world.train)):
        trained = train(data, ruined)
        assert trained.stopped == "diverged"
        assert all(np.isfinite(each).all() for each in weights(trained.network).values())


def test_an_epoch_has_as_many_steps_as_batches_where_one_image_would_be_left(world):
    data = Splits("world", world.train.select(np.arange(97), split="train"), world.validation)
    seen = []
    train(data, replace(SMALL, epochs=1), on_step=lambda done, steps: seen.append((done, steps)))
    assert seen == [(1, 2), (2, 2)]
