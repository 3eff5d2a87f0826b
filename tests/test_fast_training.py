from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from training_world import FAST, SMALL, assert_same_bits, mirrored_images, weights, without_times

from tinyscope.data.batches import Batches
from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.evaluation.predict import predict_logits
from tinyscope.plan.recipe_book import recipe as recipe_named
from tinyscope.training.schedules import rate_factor
from tinyscope.training.trainer import Trainer, train


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
