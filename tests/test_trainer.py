import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tinyscope.data.batches import Batches
from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError, StorageError
from tinyscope.evaluation.predict import predict_logits
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import recipe as recipe_named
from tinyscope.training import trainer
from tinyscope.training.checkpoint import read_checkpoint, write_checkpoint
from tinyscope.training.schedules import rate_factor
from tinyscope.training.trainer import Trainer, train

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

FAST = Recipe(
    model="whitened-cnn",
    widths=(8, 12),
    optimizer="muon",
    learning_rate=0.2,
    momentum=0.6,
    schedule="linear",
    warmup=0.1,
    label_smoothing=0.1,
    horizontal_flip=True,
    alternating_flip=True,
    shift=1,
    training_sizes=(0.5, 0.75, 1.0),
    epochs=4,
    batch_size=48,
    precision="fp32",
)
"""All that makes short trainings short, together."""


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
        {key: row[key] for key in row if key not in ("seconds", "cpu_seconds", "images_per_second")}
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


def test_what_is_no_recipe_is_refused(world):
    with pytest.raises(InputError, match="recipe is 'quick'; expected a Recipe"):
        train(world, "quick")


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


def test_early_stopping_gives_back_the_weights_of_the_lowest_validation_loss(world):
    recipe = replace(
        SMALL, optimizer="adam", learning_rate=1.0, early_stopping_patience=2, epochs=12
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


@pytest.mark.parametrize(("images", "steps"), [(96, 2), (97, 3), (48, 1), (3, 1)])
def test_an_epoch_has_as_many_steps_as_batches(world, images, steps):
    data = Splits("world", world.train.select(np.arange(images), split="train"), world.validation)
    recipe = replace(SMALL, epochs=1, batch_size=2 if images == 3 else 48)
    seen = []
    train(data, recipe, on_step=lambda done, of: seen.append((done, of)))
    assert seen == [(done, steps) for done in range(1, steps + 1)]


def test_the_fast_recipe_learns_too_and_sooner(world):
    trained = train(world, FAST)
    assert trained.history[-1]["val_accuracy"] == 1
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_the_fast_recipes_weights_are_the_same_bit_for_bit_for_a_seed(world):
    first, second = (train(world, FAST, seed=3) for _ in range(2))
    assert_same_bits(first.network, second.network)
    assert without_times(first.history) == without_times(second.history)
    assert any(
        one.tobytes() != other.tobytes()
        for one, other in zip(
            weights(first.network).values(),
            weights(train(world, FAST, seed=4).network).values(),
            strict=True,
        )
    )


@pytest.mark.parametrize("changes", [{"depth": 2}, {"depth": 3}, {"hardest_share": 0.5}])
@pytest.mark.parametrize("at", [(2, 3), (3, 6), (4, 1)])
def test_the_fast_recipe_goes_on_after_an_interruption_with_the_same_bits(
    world, tmp_path, at, changes
):
    recipe = replace(FAST, **changes)
    assert_goes_on_with_the_same_bits(world, recipe, tmp_path / "checkpoint.safetensors", at)


def test_the_fast_recipe_stops_early_with_the_best_epochs_weights(world):
    # No schedule, or a shorter training would not be the beginning of a longer one.
    recipe = replace(
        FAST,
        learning_rate=2.0,
        schedule="constant",
        warmup=0.0,
        training_sizes=(),
        early_stopping_patience=2,
        epochs=12,
    )
    trained = train(world, recipe)
    assert trained.stopped == "early stopping"
    lowest = min(trained.history, key=lambda row: row["val_loss"])
    assert trained.best_epoch == lowest["epoch"]
    assert len(trained.history) == trained.best_epoch + 2 < 12
    until_best = train(world, replace(recipe, epochs=lowest["epoch"]))
    assert_same_bits(trained.network, until_best.network)


def test_early_stopping_goes_with_growing_sizes(world):
    recipe = replace(FAST, learning_rate=2.0, early_stopping_patience=1, epochs=12)
    trained = train(world, recipe)
    lowest = min(trained.history, key=lambda row: row["val_loss"])
    assert trained.stopped == "early stopping"
    assert trained.best_epoch == lowest["epoch"] == len(trained.history) - 1
    images = Batches(world.validation, device=torch.device("cpu"))
    logits = predict_logits(trained.network, images, precision="fp32")
    labels = torch.from_numpy(world.validation.labels)
    loss = nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(lowest["val_loss"], rel=1e-6)


def sizes_seen(data, recipe) -> list[list[int]]:
    """The side of the images of each training step, epoch by epoch."""
    seen: list[list[int]] = []
    made = Trainer(data, recipe)
    made._learner._pass = made._learner._forward_and_backward  # A replay calls no hooks.
    made.network.network.register_forward_hook(
        lambda module, args, out: seen[-1].append(args[0].shape[2]) if module.training else None
    )
    for epoch in range(1, recipe.epochs + 1):
        seen.append([])
        made.network.train()
        first = (epoch - 1) * made.steps_per_epoch
        for number, (pixels, labels) in enumerate(made.batches(epoch), start=first):
            made.step(pixels, labels, number)
    return seen


def test_images_grow_in_equal_parts_of_all_steps(world):
    # 4 epochs of 6 steps: 8 steps each at 8, 12 and 16 pixels.
    assert sizes_seen(world, FAST) == [[8] * 6, [8] * 2 + [12] * 4, [12] * 4 + [16] * 2, [16] * 6]


def test_validation_images_are_seen_whole(world):
    shapes = []
    made = Trainer(world, replace(FAST, training_sizes=(0.5, 1.0), epochs=2))
    made.network.network.register_forward_hook(
        lambda module, args, out: None if module.training else shapes.append(args[0].shape)
    )
    made.run(None, lambda row: None, lambda step, of: None)
    assert [shape[2:] for shape in shapes if len(shape) == 4 and shape[0] == 64] == [(16, 16)] * 2


def mirrored_among(shown: list[bytes], images: np.ndarray) -> set[int]:
    """Which of the training images are mirrored in what an epoch has shown."""
    straight = {image.tobytes(): row for row, image in enumerate(images)}
    turned = {image[:, ::-1].tobytes(): row for row, image in enumerate(images)}
    found = {turned[each] for each in shown if each in turned}
    assert {straight[each] for each in shown if each in straight} == set(range(len(images))) - found
    return found


def mirrored_images(made: Trainer, images: np.ndarray, epoch: int) -> set[int]:
    """The same for the batches that an epoch would get."""
    batches = made.batches(epoch)
    return mirrored_among(
        [image.numpy().tobytes() for each, _ in batches for image in each], images
    )


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


def test_without_alternation_mirrors_are_drawn_anew_for_every_epoch(world):
    made = Trainer(world, replace(FAST, shift=0, alternating_flip=False))
    first, second = (mirrored_images(made, world.train.images, epoch) for epoch in (1, 2))
    assert first != second
    assert 30 < len(first & second) < 100  # 64 on average


def test_muon_is_given_sums_over_images_at_the_schedules_rate(world):
    recipe = replace(FAST, training_sizes=(), label_smoothing=0.0)
    made = Trainer(world, recipe)
    made.network.train()
    pixels, labels = next(made.batches(1))
    before = {name: each.detach().clone() for name, each in made.network.named_parameters()}
    loss = nn.functional.cross_entropy(made.network(pixels), labels, reduction="sum")
    names = ("network.head.weight", "network.groups.0.norms.1.bias")
    wanted = [each for name, each in made.network.named_parameters() if name in names]
    bias, head = torch.autograd.grad(loss, wanted)
    made.step(pixels, labels, 5)
    factor = rate_factor(recipe, 5, steps_per_epoch=made.steps_per_epoch)
    assert 0 < factor < 1
    after = dict(made.network.named_parameters())
    # Nesterov's first step is 1 + momentum times the gradient.
    for name, gradient, rate in zip(names, (head, bias), (4.5, 0.35), strict=True):
        expected = before[name] - factor * rate * (1 - 0.85) * (1 + 0.85) * gradient
        torch.testing.assert_close(after[name].detach(), expected, rtol=1e-4, atol=1e-5)


def test_whitening_comes_from_the_training_images_and_stays_through_training(world):
    before = Trainer(world, FAST).network.network.whitening.weight
    after = train(world, FAST).network.network.whitening.weight
    assert torch.equal(before, after)
    turned = replace(world.train, images=world.train.images.transpose(0, 2, 1, 3))
    other = Trainer(Splits("turned", turned), FAST).network.network.whitening.weight
    assert not torch.allclose(other, before, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "share", "side"),
    [
        ({"model": "layer-stack", "layers": SMALL.layers}, 0.5, 8),
        ({"model": "compact-cnn"}, 0.25, 4),
    ],
)
def test_sizes_that_a_model_does_not_take_are_refused_before_anything_is_trained(
    world, changes, share, side
):
    with pytest.raises(InputError) as told:
        train(world, replace(SMALL, **{"layers": ()} | changes, training_sizes=(0.75, share, 1)))
    assert str(told.value) == (
        f"training_sizes = [0.75, {share}, 1] does not go with {changes['model']}, which does not "
        f"take images of {side}x{side}. training_sizes = [] trains at full size; whitened-cnn "
        "takes all sizes."
    )


def test_sizes_go_with_other_models_that_take_them(world):
    recipe = replace(SMALL, model="compact-cnn", layers=(), training_sizes=(0.5, 1.0))
    trained = train(world, replace(recipe, batch_size=16))
    assert trained.history[-1]["val_accuracy"] > 0.9


@pytest.mark.parametrize("model", ["resnet-20", "compact-cnn"])
def test_other_models_learn_with_the_rates_of_the_quick_recipe(world, model):
    changes = {"model": model, "epochs": 3, "batch_size": 16, "precision": "fp32"}
    trained = train(world, recipe_named("quick").changed(changes))
    assert trained.stopped == "all epochs"
    assert trained.history[-1]["val_accuracy"] > 0.9


def test_sizes_that_change_nothing_are_no_reason_to_refuse(world):
    plain, whole = (train(world, replace(SMALL, training_sizes=sizes)) for sizes in ((), (1, 1)))
    assert_same_bits(plain.network, whole.network)


def test_the_fast_recipe_learns_in_bfloat16_with_weights_of_full_precision(world):
    trained = train(world, replace(FAST, precision="bf16"))
    assert trained.history[-1]["val_accuracy"] == 1
    assert {each.dtype for each in trained.network.parameters()} == {torch.float32}


def test_a_training_with_muon_that_diverges_says_so_and_gives_finite_weights(world):
    trained = train(world, replace(FAST, head_learning_rate=1e30, epochs=2))
    assert trained.stopped == "diverged"
    assert all(np.isfinite(each).all() for each in weights(trained.network).values())
