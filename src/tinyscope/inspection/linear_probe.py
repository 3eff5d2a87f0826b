"""A linear probe: what the backbone that comes along says of images, out of sample.

A second opinion beside that of networks which are trained on the images (`out_of_sample`): it rests
on other images, so that it errs elsewhere, and is good where images are few. What it brings stands
in `label_errors`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.data.dataset import Splits
from tinyscope.data.duplicates import cached_groups
from tinyscope.errors import StorageError
from tinyscope.features.extraction import AS_IT_IS, features_of, fresh_features
from tinyscope.features.weights import load_backbone
from tinyscope.inspection.out_of_sample import folds_of
from tinyscope.models.generator import borrowed_generator
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import Extractor, TransferNetwork
from tinyscope.training import machine
from tinyscope.training.cost import image_flop

_BACKBONE, _SIDE = "cifar100-backbone", 32  # pixels, as its training images had
_FOLDS, _SEED = 5, 0
_BATCH, _EPOCHS, _STEPS = 500, 12, 300
_RATE = 0.005
_DECAY, _DECAY_OF_FEW = 0.01, 200
_AT_A_TIME = 4096
_TINY = 1e-6


@dataclass(frozen=True, eq=False)
class ProbeAnswers:
    """What the probe says of every image.

    Attributes:
        logits: float32 (N, K) by split; a training image's by the layer of the fold that it was
            left out of, other images' the mean of all layers'.
        flop: of the backbone's passes and of the layers, by `training.cost`.
        seconds: that took, or once took where the features were kept.
    """

    logits: dict[str, np.ndarray]
    flop: int
    seconds: float


class _BothWays(nn.Module):
    """Features of an image and of its mirror image, averaged."""

    def __init__(self, extract: Extractor) -> None:
        super().__init__()
        self.extract = extract

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) of 0 … 255 to features (N, F)."""
        features: Tensor = (self.extract(pixels) + self.extract(pixels.flip(2))) / 2
        return features


def probe_answers(
    data: Splits, *, on_progress: Callable[[float], None] = lambda share: None
) -> ProbeAnswers:
    """What a linear layer on the features of the backbone that comes along says of every image.

    Logistic regression with a penalty on squared weights, one for each of five folds, all of them
    trained together by Adam in a few passes; copies of an image (`duplicates.copy_groups`) are
    in one fold. Images are brought to 32 pixels, grey ones get equal channels. An image and its
    mirror image count half each, also where that is no valid augmentation: how much the probe's
    word counts is found out from the labels.

    Args:
        data: its validation and test images are only answered.
        on_progress: is given the share of the work that is done, in 0 … 1.
    """
    device = machine.device()
    precision = machine.fast_precision(device)
    with borrowed_generator(torch.device("cpu")):  # weights are drawn before they are read
        backbone, digest = load_backbone(_BACKBONE)
    transfer = TransferNetwork(backbone.network, nn.Identity(), size=_SIDE, pooling="mean")
    wrapped = PixelInput(transfer, mean=backbone.mean, deviation=backbone.deviation)
    extract = _BothWays(Extractor(wrapped)).to(device).eval()
    parts = data.parts()
    count, done = sum(map(len, parts)), 0
    features, seconds = {}, 0.0

    def tell(some: int, of: int) -> None:
        on_progress(0.9 * (done + some) / count)

    how: dict[str, Any] = {"precision": precision, "device": device, "on_batch": tell}
    called = f"{digest} both ways, {_SIDE} pixels"
    for part in parts:
        began = time.perf_counter()
        try:
            kept = features_of(extract, part, AS_IT_IS, digest=called, **how)
            features[part.split] = kept.values
            seconds += kept.seconds
        except StorageError:  # they are computed again next time
            features[part.split] = fresh_features(extract, part, AS_IT_IS, **how)
            seconds += time.perf_counter() - began
        done += len(part)
    started = time.perf_counter()
    labels, classes = data.train.labels, len(data.train.class_names)
    fold = folds_of(labels, cached_groups(data.train), folds=_FOLDS, seed=_SEED)
    layers = _Layers(features["train"], labels, fold, classes)
    logits = {
        split: layers(values, fold if split == "train" else None)
        for split, values in features.items()
    }
    on_progress(1.0)
    passes = count * image_flop(extract, shape=tuple(data.train.preprocessing)).forward
    return ProbeAnswers(
        logits=logits,
        flop=passes + layers.flop,
        seconds=seconds + time.perf_counter() - started,
    )


class _Layers:
    """A linear layer for each fold, trained on the images of all others.

    On the CPU: it is less work than to move the features.

    Args:
        features: (N, F), any float.
        labels: int64 (N,).
        fold: int64 (N,), in 0 … 4.
        classes: K.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, fold: np.ndarray, classes: int
    ) -> None:
        count, self._classes = len(labels), classes
        total = np.zeros(features.shape[1])
        squares = np.zeros(features.shape[1])
        for start in range(0, count, _AT_A_TIME):
            some = np.asarray(features[start : start + _AT_A_TIME], np.float32)
            total += some.sum(0, dtype=np.float64)
            squares += np.square(some).sum(0, dtype=np.float64)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - np.square(mean), 0)) + _TINY
        self._mean = torch.from_numpy(mean).float()
        self._scale = torch.from_numpy(1 / spread).float()
        self._weight = torch.zeros(features.shape[1], _FOLDS * classes, requires_grad=True)
        self._bias = torch.zeros(_FOLDS * classes, requires_grad=True)
        self.flop = 0
        self._train(features, torch.from_numpy(labels), torch.from_numpy(fold))

    def __call__(self, features: np.ndarray, fold: np.ndarray | None) -> np.ndarray:
        """Features (N, F) to logits, float32 (N, K): each image's by the layer of its fold.

        Where there are no folds, the mean of all layers'.
        """
        found = []
        for start in range(0, len(features), _AT_A_TIME):
            rows = np.arange(start, min(start + _AT_A_TIME, len(features)))
            with torch.no_grad():
                answers = self._logits(features, rows).numpy()
            own = None if fold is None else answers[np.arange(len(rows)), fold[rows]]
            found.append(answers.mean(1) if own is None else own)
        return np.concatenate(found)

    def _logits(self, features: np.ndarray, rows: np.ndarray) -> Tensor:
        values = torch.from_numpy(features[rows]).float().sub_(self._mean).mul_(self._scale)
        return torch.addmm(self._bias, values, self._weight).view(-1, _FOLDS, self._classes)

    def _train(self, features: np.ndarray, labels: Tensor, fold: Tensor) -> None:
        count = len(labels)
        generator = torch.Generator().manual_seed(_SEED)
        of_epoch = -(-count // _BATCH)
        epochs = max(_EPOCHS, -(-_STEPS // of_epoch))
        steps = epochs * of_epoch
        decay = max(_DECAY, _DECAY_OF_FEW / count)
        optimizer = torch.optim.Adam([self._weight, self._bias], _RATE, (0.9, 0.99), fused=True)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / steps, steps)
        for _ in range(epochs):
            for rows in torch.randperm(count, generator=generator).tensor_split(of_epoch):
                logits = self._logits(features, rows.numpy())
                mine = (fold[rows][:, None] != torch.arange(_FOLDS)).float()
                losses = F.cross_entropy(
                    logits.flatten(0, 1), labels[rows].repeat_interleave(_FOLDS), reduction="none"
                )
                loss = (losses * mine.flatten()).sum() / len(rows)
                optimizer.zero_grad()
                (loss + decay / 2 * self._weight.square().sum()).backward()
                optimizer.step()
                falling.step()
        # Forward, and backward for the weights.
        self.flop = 2 * 2 * epochs * count * self._weight.numel()
