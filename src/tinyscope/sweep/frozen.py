"""Trainings on a frozen backbone: each image passes it once a view, then a classifier learns."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.data.batches import Augmentation, Batches
from tinyscope.data.dataset import ImageDataset
from tinyscope.evaluation.predict import as_array, forward, predict_logits
from tinyscope.features.classical import fitted
from tinyscope.features.extraction import (
    AS_IT_IS,
    FeatureBatches,
    Kept,
    View,
    at_once,
    features_of,
    looks,
    place_of,
    random_view,
)
from tinyscope.features.weights import weights_digest
from tinyscope.models.classical_head import ClassicalHead
from tinyscope.models.generator import borrowed_generator
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import Extractor, TransferNetwork, side_of
from tinyscope.plan.recipe import Recipe
from tinyscope.runs.run import ALL_EPOCHS
from tinyscope.sweep.beginnings import Beginning
from tinyscope.training import machine
from tinyscope.training.cost import image_flop
from tinyscope.training.material import Material
from tinyscope.training.stopwatch import Stopwatch
from tinyscope.training.trainer import Row, Trained, train

_AT_A_TIME = 2048
_TIMED = 128


@dataclass(frozen=True)
class TrainedOnFeatures:
    """What a training on a frozen backbone leaves."""

    trained: Trained
    """Its network takes pixels, as that of any training, and with `Recipe.refit` is the one that
    learnt from the validation images too; its FLOP include the backbone's."""
    answer: Callable[[ImageDataset, str], np.ndarray]
    """Logits float32 (N, K) for a split, from its kept features, with so many views as a key of
    `models.views.LOOKS` says; of the validation split those of the model before `Recipe.refit`."""


class FrozenBackbone:
    """A frozen backbone on this machine's device, with the features that it gives.

    Args:
        start: of a recipe with a frozen backbone.
        on_batch: is told how many images are done, and of how many.
    """

    def __init__(
        self, start: Beginning, on_batch: Callable[[int, int], None] = lambda done, of: None
    ) -> None:
        self.device = machine.device()
        self.recipe = machine.resolved(start.recipe, self.device)
        with borrowed_generator(torch.device("cpu")):
            wrapped, self.mean_colour = start.network()
        self._extract = Extractor(wrapped).to(self.device).eval()
        self._whole = wrapped
        assert start.backbone is not None
        self._digest = _digest(wrapped, start.backbone.layer)
        self._start = start
        self._tell = on_batch
        augmentation = Augmentation(
            **{key: getattr(self.recipe, key) for key in Augmentation.__dataclass_fields__}
        )
        self.views = [AS_IT_IS] + [
            random_view(number, augmentation, self.mean_colour)
            for number in range(1, self.recipe.feature_views)
        ]

    def features(self, images: ImageDataset, view: View = AS_IT_IS) -> Kept:
        """Of every image, in a view; from the cache where they are known."""
        return features_of(
            self._extract,
            images,
            view,
            digest=self._digest,
            precision=self.recipe.precision,
            device=self.device,
            on_batch=self._tell,
        )

    def place(self, images: ImageDataset, view: View = AS_IT_IS) -> Path:
        """Where the features of a split in a view are kept, or will be."""
        return place_of(
            images,
            view,
            digest=self._digest,
            precision=self.recipe.precision,
            side=side_of(self._extract),
        )

    def knows(self, images: ImageDataset, view: View = AS_IT_IS) -> bool:
        """Whether the features of a split in a view are kept already."""
        return self.place(images, view).with_suffix(".json").exists()

    def seconds_an_image(self, images: ImageDataset) -> float:
        """That an image's pass takes, from one batch after another one."""
        together = min(_TIMED, at_once(images, side=side_of(self._extract)))
        some = images.select(np.arange(min(_TIMED, len(images))), split=images.split)
        with torch.inference_mode():
            for _ in range(2):
                began = time.perf_counter()
                for pixels, _ in Batches(some, device=self.device).in_order(together):
                    forward(self._extract, pixels, precision=self.recipe.precision).sum().item()
        return (time.perf_counter() - began) / len(some)

    def empty_material(self) -> Material:
        """Material of the right shape whose features are all zero, to time steps with."""
        train = self._start.data.train
        zeros = np.zeros((len(train), self._start.description["features"]), np.float16)
        return self.material([zeros], None)

    def material(self, views: Sequence[np.ndarray], validation: FeatureBatches | None) -> Material:
        """What a head learns from: features of the training images in some views."""
        train = self._start.data.train
        return Material(
            FeatureBatches(views, train.labels, device=self.device),
            validation,
            (views[0].shape[1],),
            len(train.class_names),
            lambda recipe: (self._start.head(), self.mean_colour),
        )

    def batches(self, images: ImageDataset, view: View = AS_IT_IS) -> FeatureBatches:
        """Features of a split's images in a view, in batches."""
        values = self.features(images, view).values
        return FeatureBatches([values], images.labels, device=self.device)

    def with_head(self, head: nn.Module) -> PixelInput:
        """The backbone with a trained head, taking pixels, in evaluation mode."""
        network = self._whole.network
        assert isinstance(network, TransferNetwork)
        network.head = head
        return self._whole.eval()

    def flop(self, shape: tuple[int, ...]) -> int:
        """Of one image's pass, by the formula of `training.cost`."""
        return image_flop(self._extract, shape=shape).forward


def _digest(wrapped: PixelInput, layer: str) -> str:
    """Tells the features that a backbone gives at a layer from those of all others."""
    network = wrapped.network
    assert isinstance(network, TransferNetwork)
    weights = weights_digest(network.backbone)
    normalization = (wrapped.mean.tolist(), wrapped.scale.tolist())
    # Two layers may need the same weights: a pool and the activation after it.
    how = (layer, repr(network.backbone), network.size, network.pooling)
    told = (weights, normalization, how)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def train_frozen(
    start: Beginning,
    *,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[Row], None],
    on_step: Callable[[int, int], None],
    on_features: Callable[[int, int], None],
) -> TrainedOnFeatures:
    """Trains the classifier of a recipe on the features of a frozen backbone.

    Seconds, FLOP and images a second count the backbone's passes over all images that are learnt
    from, those of validation too with `Recipe.refit`. Where features were kept from an earlier run,
    it is the seconds that they took there.

    Args:
        start: what the training begins with.
        seed: as of `training.trainer.train`.
        checkpoint: likewise.
        on_epoch: likewise.
        on_step: likewise.
        on_features: is told how many images have passed the backbone, and of how many.

    Raises:
        InputError: the head does not fit the features.
        StorageError: features or checkpoints cannot be kept.
    """
    backbone = FrozenBackbone(start, on_features)
    data, recipe = start.data, backbone.recipe
    learnt = [data.train]
    if recipe.refit and data.validation is not None:
        learnt.append(data.validation)
    kept = [[backbone.features(part, view) for view in backbone.views] for part in learnt]
    views = [[each.values for each in part] for part in kept]
    taken = sum(one.seconds for part in kept for one in part)
    cpu_taken = sum(one.cpu_seconds for part in kept for one in part)

    def epoch(row: Row) -> None:
        if row["epoch"] == 1:
            row["seconds"] = round(row["seconds"] + taken, 4)
            row["cpu_seconds"] = round(row["cpu_seconds"] + cpu_taken, 4)
            row["images_per_second"] = round(sum(map(len, learnt)) / row["seconds"], 1)
        on_epoch(row)

    validation = None if data.validation is None else backbone.batches(data.validation)
    material = backbone.material(views[0], validation)
    if recipe.classifier == "dense":
        trained = train(
            material, recipe, seed=seed, checkpoint=checkpoint, on_epoch=epoch, on_step=on_step
        )
        final = trained.network
    else:
        labels = [part.labels for part in learnt]
        trained, final = _fit(material, views, labels, recipe, seed=seed)
        epoch(trained.history[0])

    def answer(images: ImageDataset, views: str) -> np.ndarray:
        head = trained.network if images.split == "validation" else final
        logits = np.zeros((len(images), material.classes), np.float32)
        for view, weight in looks(views):
            batches = backbone.batches(images, view)
            found = predict_logits(head, batches, precision=recipe.precision)
            logits += np.float32(weight) * as_array(found)
        return logits

    passed = len(backbone.views) * sum(map(len, learnt))
    flop = trained.flop + passed * backbone.flop(tuple(data.train.preprocessing))
    whole = replace(trained, network=backbone.with_head(final), flop=flop)
    return TrainedOnFeatures(whole, answer)


def _fit(
    material: Material,
    views: Sequence[Sequence[np.ndarray]],
    labels: Sequence[np.ndarray],
    recipe: Recipe,
    *,
    seed: int,
) -> tuple[Trained, ClassicalHead]:
    """Fits a model of scikit-learn; its one row of history has the figures of an epoch.

    Args:
        material: of the training images.
        views: features of each split that is learnt from, in each view; the training split's first.
        labels: of each split.
        recipe: names the model and says how classes count.
        seed: of its randomness.

    Returns:
        The model of the training images; and that of all splits, the same where there is but one.
    """
    watch = Stopwatch(machine.device())

    def of(splits: int) -> ClassicalHead:
        together = zip(*views[:splits], strict=True)
        every = [np.asarray(part, np.float32) for parts in together for part in parts]
        known = np.concatenate(list(labels[:splits]) * len(views[0]))
        with watch.clock("training"):
            model = fitted(
                recipe.classifier,
                np.concatenate(every),
                known,
                seed=seed,
                balanced=recipe.class_weights == "balanced",
            )
        return ClassicalHead(model, material.classes)

    head = of(1)
    final = head if len(views) == 1 else of(len(views))
    seconds = watch.seconds["training"]
    loss, right = _figures(head, material.train.in_order(_AT_A_TIME))
    row: Row = {
        "epoch": 1,
        "learning_rate": 0.0,
        "train_loss": loss,
        "train_accuracy": right,
        "val_loss": None,
        "val_accuracy": None,
        "seconds": round(seconds, 4),
        "cpu_seconds": round(watch.cpu_seconds["training"], 4),
        "images_per_second": round(sum(map(len, labels)) / seconds, 1),
    }
    if material.validation is not None:
        figures = _figures(head, material.validation.in_order(_AT_A_TIME))
        row["val_loss"], row["val_accuracy"] = figures
    best = None if material.validation is None else 1
    return Trained(head, [row], best, ALL_EPOCHS, 0), final


def _figures(head: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy."""
    loss = right = count = 0.0
    for features, labels in batches:
        logits = head(features)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    return loss / count, right / count
