"""The recipes that tests of training share, and how they compare what came out."""

import numpy as np

from tinyscope.plan.recipe import Recipe
from tinyscope.training.trainer import Trainer

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
