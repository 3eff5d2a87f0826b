from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tinyscope.data.augmentation import shrunk
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.models import zoo
from tinyscope.models.feature_tap import FeatureTap
from tinyscope.models.pixel_input import PixelInput
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.runs.run import read_run
from tinyscope.sweep.local import Listener, run_study
from tinyscope.training import muon, trainer
from tinyscope.training.cost import image_flop, training_flop
from tinyscope.training.trainer import Trainer
from tinyscope.training.untrained import untrained

MODELS = sorted(set(zoo.MODELS) - {"compact-cnn-wide", "brittan-final"})
"""The others differ from one of these in widths alone."""


SHORT = Recipe(
    model="whitened-cnn",
    widths=(8, 12),
    optimizer="sgd",
    epochs=2,
    batch_size=16,
    precision="fp32",
)


def built(model, *, size=32, channels=3, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = zoo.build(
            model, channels=channels, classes=10, height=size, width=size, **changes
        )
    return PixelInput(network, mean=[120.0] * channels, deviation=[60.0] * channels)


def counted_by_torch(network, *, images, shape, share=1.0) -> tuple[int, int]:
    """Forward and backward, as torch counts what it is really asked to do."""
    pixels = shrunk(torch.randint(0, 256, (images, *shape), dtype=torch.uint8), share)
    network.train()
    with FlopCounterMode(display=False) as forward:
        loss = F.cross_entropy(network(pixels), torch.zeros(images, dtype=torch.int64))
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize("model", MODELS)
def test_an_images_flop_are_those_that_torch_counts_in_a_real_step(model):
    network = built(model)
    ours = image_flop(network, shape=(32, 32, 3))
    theirs = counted_by_torch(network, images=2, shape=(32, 32, 3))
    # What makes the kernel for pixels once a batch is not an image's: 64 of 12 maps of 3 x 3, each
    # value times 12 of a filter.
    folding = 2 * 64 * 12 * 9 * 12 if model == "whitened-cnn-folded" else 0
    assert (2 * ours.forward + folding, 2 * ours.backward + folding) == theirs


@pytest.mark.parametrize(
    ("model", "share"),
    [*((model, 1.0) for model in MODELS), ("whitened-cnn", 0.75), ("whitened-cnn-folded", 0.75)],
)
def test_a_network_of_shapes_without_numbers_costs_what_one_with_numbers_does(model, share):
    with torch.device("meta"):
        shapes = built(model)
    assert image_flop(shapes, shape=(32, 32, 3), share=share) == image_flop(
        built(model), shape=(32, 32, 3), share=share
    )


@pytest.mark.parametrize("share", [0.4, 0.75])
@pytest.mark.parametrize("depth", [2, 3])
def test_small_images_and_deep_groups_cost_what_torch_counts(share, depth):
    network = built("whitened-cnn", size=20, channels=1, widths=(8, 16, 24), depth=depth)
    ours = image_flop(network, shape=(20, 20, 1), share=share)
    theirs = counted_by_torch(network, images=2, shape=(20, 20, 1), share=share)
    assert (2 * ours.forward, 2 * ours.backward) == theirs


def test_a_grouped_convolution_counts_the_channels_that_it_joins():
    network = nn.Sequential(nn.Conv2d(6, 9, (3, 5), stride=2, groups=3), nn.Flatten())
    pixels = PixelInput(network, mean=[0.0] * 6, deviation=[1.0] * 6)
    # 9 channels of 4 x 4 values, each a sum over 2 channels of a 3 x 5 kernel.
    assert image_flop(pixels, shape=(10, 12, 6)) == (2 * 9 * 16 * 2 * 15, 2 * 9 * 16 * 2 * 15)


def test_a_frozen_layer_at_the_front_costs_its_forward_pass_alone():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 5), nn.Linear(5, 7))
    pixels = PixelInput(network, mean=[0.0] * 3, deviation=[1.0] * 3)
    # Convolution: 4 values of 4 channels from 3; dense layers: 5 from 16, 7 from 5.
    first, second, third = 2 * 4 * 4 * 3, 2 * 5 * 16, 2 * 7 * 5
    forward = first + second + third
    assert image_flop(pixels, shape=(2, 2, 3)) == (forward, first + 2 * second + 2 * third)
    network[0].requires_grad_(False)
    assert image_flop(pixels, shape=(2, 2, 3)) == (forward, second + 2 * third)
    network[2].requires_grad_(False)
    network[3].requires_grad_(False)
    assert image_flop(pixels, shape=(2, 2, 3)) == (forward, 0)


def test_the_layer_at_which_a_network_is_tapped_counts_too():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, 1), nn.Flatten())
    whole = PixelInput(FeatureTap(network, "2"), mean=[0.0] * 3, deviation=[1.0] * 3)
    assert image_flop(whole, shape=(2, 2, 3)).forward == 2 * 4 * (4 * 3 + 5 * 4)


def test_the_count_leaves_the_network_as_it_was():
    network = built("compact-cnn").train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    image_flop(network, shape=(32, 32, 3))
    assert network.training
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_eight_epochs_of_the_known_recipe_take_about_0_25_petaflop():
    network = built("whitened-cnn", widths=(64, 256, 256))
    # By hand, multiply-adds of an image: whitening 31 x 31 x 24 values over 12; then convolutions
    # of 3 x 3, the first of each group at the resolution that comes in, as far as pools look: 30 of
    # 31 places, 14 of 15, 6 of 7.
    whitening = 31 * 31 * 24 * 12
    first = 30 * 30 * 64 * 24 * 9
    later = (
        15 * 15 * 64 * 64 * 9
        + 14 * 14 * 256 * 64 * 9
        + 7 * 7 * 256 * 256 * 9
        + 6 * 6 * 256 * 256 * 9
        + 3 * 3 * 256 * 256 * 9
        + 256 * 10
    )
    of_an_image = image_flop(network, shape=(32, 32, 3))
    assert of_an_image == (2 * (whitening + first + later), 2 * (first + 2 * later))

    folded = built("whitened-cnn-folded", widths=(64, 256, 256))
    first_of_pixels = 30 * 30 * 64 * 3 * 4 * 4
    assert image_flop(folded, shape=(32, 32, 3)) == (
        2 * (first_of_pixels + later),
        2 * (first_of_pixels + 2 * later),
    )

    recipe = Recipe(model="whitened-cnn", optimizer="muon", epochs=8, batch_size=1000)
    muon_step = sum(
        muon.flop(shape)
        for shape in (
            (64, 24, 3, 3),
            (64, 64, 3, 3),
            (256, 64, 3, 3),
            (256, 256, 3, 3),
            (256, 256, 3, 3),
            (256, 256, 3, 3),
        )
    )
    flop = training_flop(
        network, recipe, shape=(32, 32, 3), images=50_000, steps_per_epoch=50, epochs=8
    )
    assert flop == 400_000 * sum(of_an_image) + 400 * muon_step
    assert flop == pytest.approx(0.25e15, rel=0.03)


def test_sgd_pays_nothing_for_orthogonal_kernels_and_half_the_epochs_cost_half():
    network = built("whitened-cnn", widths=(8, 8), size=16)
    recipe = Recipe(model="whitened-cnn", optimizer="sgd", epochs=4)
    arguments = {"shape": (16, 16, 3), "images": 100, "steps_per_epoch": 3}
    of_an_image = sum(image_flop(network, shape=(16, 16, 3)))
    assert training_flop(network, recipe, **arguments, epochs=4) == 400 * of_an_image
    assert training_flop(network, recipe, **arguments, epochs=2) == 200 * of_an_image
    assert training_flop(network, recipe, **arguments, epochs=0) == 0


def world_of(images: int) -> Splits:
    random = np.random.default_rng(0)
    return Splits(
        "noise",
        ImageDataset(
            random.integers(0, 256, (images, 12, 12, 3), dtype=np.uint8),
            np.arange(images) % 3,
            ("a", "b", "c"),
            "train",
            "noise",
        ),
    )


@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize(
    ("sizes", "aware"), [((), 0.0), ((0.5, 0.75, 1.0), 0.0), ((0.5, 0.75, 1.0), 0.6)]
)
def test_a_whole_trainings_steps_cost_what_torch_counts(sizes, share, aware):
    """Real steps of the trainer, uneven batches and sizes that change within an epoch included."""
    recipe = replace(
        SHORT, training_sizes=sizes, hardest_share=share, sam_steps=aware, sam_share=0.3
    )
    made = Trainer(world_of(50), recipe)
    small = None
    if made._proxy is not None:
        small = made._proxy.learner.network
        made._proxy.learner._pass = made._proxy.learner._forward_and_backward
    # A recording is tried out, and would count twice.
    made._learner._pass = made._learner._forward_and_backward
    made._learner._sharpness_aware._compute = made._learner._forward_and_backward
    made._learner._sharpness_aware._ascent = made._learner._ascent
    made.network.train()
    total = 0
    for epoch in range(2):
        for number, (pixels, labels) in enumerate(made.batches(epoch + 1)):
            with FlopCounterMode(display=False) as counter:
                made.step(pixels, labels, epoch * made.steps_per_epoch + number)
            total += counter.get_total_flops()
    assert made.steps_per_epoch == 4
    assert total == training_flop(
        made.network,
        recipe,
        shape=(12, 12, 3),
        images=50,
        steps_per_epoch=4,
        epochs=2,
        proxy=small,
    )


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_statistics_of_averaged_weights_cost_what_torch_counts(share):
    recipe = replace(SHORT, hardest_share=share, averaged_steps=0.5, batch_size=8)
    made = Trainer(world_of(50), recipe)
    small = None if made._proxy is None else made._proxy.learner.network
    arguments = {"shape": (12, 12, 3), "images": 50, "steps_per_epoch": 7, "proxy": small}
    with FlopCounterMode(display=False) as counter:
        made._average.take_over(made._typical(2), precision="fp32")
    plain = replace(recipe, averaged_steps=0.0)
    extra = [
        training_flop(made.network, recipe, **arguments, epochs=epochs)
        - training_flop(made.network, plain, **arguments, epochs=epochs)
        for epochs in (1, 2)
    ]
    assert extra == [0, counter.get_total_flops()]


def test_muons_products_are_among_what_torch_counts_in_a_step():
    recipe = replace(SHORT, optimizer="muon", epochs=1, batch_size=64)
    made = Trainer(world_of(50), recipe)
    made.network.train()
    (batch,) = made.batches(1)
    with FlopCounterMode(display=False) as counter:
        made.step(*batch, 0)
    ours = training_flop(
        made.network, recipe, shape=(12, 12, 3), images=50, steps_per_epoch=1, epochs=1
    )
    plain = training_flop(
        made.network,
        replace(recipe, optimizer="sgd"),
        shape=(12, 12, 3),
        images=50,
        steps_per_epoch=1,
        epochs=1,
    )
    assert ours > plain
    assert counter.get_total_flops() == ours


class Interrupting(Listener):
    def __init__(self, epoch):
        self._epoch = epoch

    def epoch(self, run, row):
        if row["epoch"] == self._epoch:
            raise KeyboardInterrupt


def test_an_interrupted_runs_cost_adds_up_over_its_parts(world, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    changes = {"model": "whitened-cnn", "widths": [8, 8], "optimizer": "muon", "epochs": 3}
    study = Study(name="s", seeds=1, overrides={**changes, "batch_size": 100})
    with pytest.raises(KeyboardInterrupt):
        run_study(study, world, out=tmp_path / "s", listener=Interrupting(3))
    (folder,) = (tmp_path / "s" / "runs").iterdir()
    first_part = read_run(folder).history
    made = run_study(study, world, out=tmp_path / "s")
    run = read_run(folder)
    assert run.history[:2] == first_part[:2]
    assert all(row["cpu_seconds"] > 0 for row in run.history)
    assert run.result["train_cpu_seconds"] == pytest.approx(
        sum(row["cpu_seconds"] for row in run.history), abs=1e-3
    )
    recipe = run.recipe
    with torch.random.fork_rng():
        network = untrained(world, recipe)[0]
    flop = training_flop(
        network, recipe, shape=(16, 16, 3), images=256, steps_per_epoch=3, epochs=3
    )
    assert run.result["train_flop"] == flop == made.summary["variations"][0]["train_flop"]
