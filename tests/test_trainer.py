import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_world import SMALL, assert_same_bits, weights

from tinyscope.data.batches import Batches
from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.evaluation.predict import predict_logits
from tinyscope.training.trainer import Trainer, train


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


def test_what_is_no_recipe_is_refused(world):
    with pytest.raises(InputError, match="recipe is 'quick'; expected a Recipe"):
        train(world, "quick")


def test_a_name_where_loaded_images_are_expected_is_refused():
    with pytest.raises(InputError) as told:
        train("digits", SMALL)
    assert str(told.value) == (
        "data is str; expected Splits, as load gives them for a name or a path."
    )


def test_early_stopping_gives_back_the_weights_of_the_lowest_validation_loss(world):
    recipe = replace(
        SMALL, optimizer="adam", learning_rate=1.0, early_stopping_patience=2, epochs=12
    )
    trained = train(world, recipe)
    lowest = min(trained.history, key=lambda row: row["val_loss"])
    assert trained.best_epoch == lowest["epoch"]
    until_best = train(world, replace(recipe, epochs=lowest["epoch"]))
    assert_same_bits(trained.network, until_best.network)


@pytest.mark.parametrize("key", ["early_stopping_patience", "plateau_patience"])
def test_a_recipe_that_waits_for_the_validation_loss_needs_validation_images(world, key):
    with pytest.raises(InputError) as told:
        train(Splits("world", world.train), replace(SMALL, **{key: 2}))
    assert str(told.value) == (
        f"{key} = 2 watches the validation loss, and the data hold no validation images. "
        f"tinyscope.complete(data) cuts some; or set {key} = None."
    )


def test_without_validation_images_every_epoch_is_trained_and_none_is_best(world):
    trained = train(Splits("world", world.train), SMALL)
    assert [row["val_loss"] for row in trained.history] == [None] * 4
    assert (trained.best_epoch, trained.stopped) == (None, "all epochs")


def test_a_training_that_diverges_says_so_and_gives_finite_weights(world):
    trained = train(world, replace(SMALL, learning_rate=1e30, momentum=0.0, nesterov=False))
    assert trained.stopped == "diverged"
    assert all(np.isfinite(each).all() for each in weights(trained.network).values())
    assert all(math.isfinite(row["train_loss"]) for row in trained.history)


def test_without_validation_a_training_that_diverges_keeps_its_last_sound_epoch(world, monkeypatch):
    data, recipe = Splits("world", world.train), replace(SMALL, schedule="constant")
    sound = train(data, replace(recipe, epochs=2))
    judge = Trainer._sound
    monkeypatch.setattr(Trainer, "_sound", lambda self, row: row["epoch"] < 3 and judge(self, row))
    ruined = train(data, recipe)
    assert (ruined.stopped, len(ruined.history)) == ("diverged", 2)
    for name, each in weights(ruined.network).items():
        assert np.array_equal(each, weights(sound.network)[name]), name


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


@pytest.mark.parametrize(("images", "steps"), [(96, 2), (97, 3), (48, 1), (3, 1)])
def test_an_epoch_has_as_many_steps_as_batches(world, images, steps):
    data = Splits("world", world.train.select(np.arange(images), split="train"), world.validation)
    recipe = replace(SMALL, epochs=1, batch_size=2 if images == 3 else 48)
    seen = []
    train(data, recipe, on_step=lambda done, of: seen.append((done, of)))
    assert seen == [(done, steps) for done in range(1, steps + 1)]
