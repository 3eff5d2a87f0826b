"""Which augmentations are valid for a data set, measured with a small model that knows none.

A small model is trained on the images as they are and asked for held-out images, unchanged and
changed. What falls is its skill: accuracy above that of naming the most frequent class.

- A change that only moves pixels (a flip, a quarter or half turn) leaves all detail as it is. Were
  the data as likely one way as the other, the model would know both, so a fall shows what the data
  are like: the images turn into those of another class, or into none that the data hold.
- Any other change (a small rotation, blur) alters detail too, and a model may fall for that alone.
  Where it does, a second model of the same cost is trained on the images and their changed copies.
  If it knows unchanged images as well as the first one does, the change does no harm; where the
  first one hardly knew changed images at all, it has to bring something to be called valid.

A change is called valid only where the 95% intervals leave no room for harm: for `UNLIKE` of the
skill without a second model; with one, for a fall of `COSTLY`, or of `HARMFUL` where they leave
none for `UNLIKE` either. Where these do, and harm is not shown either, it is unclear. Where one in
ten images is answered otherwise, as many lost as won, the interval is 1.1 points either way with
3,000 held-out images, and 6.7 with 100.

The second test does not replace the first: a model with capacity to spare can learn a six upside
down beside a nine and lose little, but a user's photo of either is then no longer certain.

Measured (two cores shared with several programs, 2026-11). Share of the skill that is left:

- CIFAR-10, 12,000 images, 3,000 held out, of which the model knows 74%: horizontal flip 0.99,
  vertical flip 0.45, shift by up to 4 pixels 0.94, rotation by up to 15 degrees 0.91. Twice as long
  a training (79% known): 0.99, 0.40, 0.96 and 0.91, quarter turn 0.34, half turn 0.39, brightness
  0.99, cutout 0.94, zoom 0.88. So nothing that moves pixels lies between 0.45 and 0.99.
- The 1,797 digits (99.6% of 447 known; also twice as long): flips 0.23 and 0.31, quarter turn 0,
  half turn 0.37 with 69% of the sixes like a nine; rotation, zoom and cutout 0.97 or more.
- CIFAR-100, as many images: once 24,000 were shown the model knows 15%, and a vertical flip keeps
  0.66; after 72,000 it knows 35%, and that keeps 0.54, a quarter turn 0.47, a half turn 0.55, the
  horizontal flip 1.01, shift and rotation 0.92 (70 s in all, 48 before). So with many classes the
  model learns longer.
- In CIFAR-10 no change that keeps 0.85 makes more than 9% of a class look like another one.
- Trained with the vertical flip CIFAR-10 falls by 10.0 points (1.4 either way), with the zoom by
  1.4 (1.3); another seed alone changes 0.7 (1.0). So a fall of 2 points counts. Digits fall by 0.7
  with the vertical flip, 0.8 with the half turn: without the first test both would pass.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from tinyscope.data.augmentation import shrunk
from tinyscope.data.batches import Batches
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.evaluation.comparison import mcnemar
from tinyscope.evaluation.predict import as_array, predict_logits
from tinyscope.inspection.augmentation_judgements import ClassEffect, Judgement, Measured
from tinyscope.inspection.candidate_augmentations import Augmentation, augmentations, changed
from tinyscope.inspection.small_recipe import small_recipe
from tinyscope.plan.recipe import Recipe
from tinyscope.training import machine
from tinyscope.training.trainer import train

VALID = 0.9
"""Share of the skill that a valid change keeps without a second model."""
UNLIKE = 0.6
"""Share of the skill below which, its 95% interval too, changed images are unlike any image."""
COSTLY = 0.02
"""Fall of the accuracy on unchanged images, by training with the change, that is a cost."""
HARMFUL = 0.05
"""Such a fall, its 95% interval too, where less than `UNLIKE` is left: the change is invalid."""
LOOKS_LIKE = 0.25
"""Share of a class's images that look like one other class, above which a change is invalid."""

_TYPICAL = 0.25  # quantile: as certain as three of four images of that class
_FEWEST = 5  # images of a class that look like another
_LEAST_SKILL = 0.2  # of the model, of 1; below, its answers tell nothing
_TRAINING, _HELD_OUT = 12_000, 3_000  # images, at most
_HELD_OUT_SHARE = 0.25
_PASSES, _BATCH = 24_000, 125  # images shown in a training, of 40 classes or fewer
_PASSES_A_CLASS, _MOST_PASSES = 600, 60_000  # of more classes
_SIDE = 32  # pixels; larger images are shrunk for the model
_EXAMPLES = 8
_AT_A_TIME = 1000


def measure(dataset: ImageDataset) -> Measured:
    """Which augmentations are valid for a data set; see the module for how.

    One short training, and another one for each change that it does not settle, on at most 12,000
    images, whatever the number of images.

    Args:
        dataset: training images; a quarter of each class, 3,000 in all at most, is held out.
    """
    training, rows = _parts(dataset.labels)
    held_out = _small(dataset, rows)
    known = _small(dataset, training)
    judge = _Judge(known, held_out, rows)
    return judge.measured({one.kind: one for one in augmentations(*dataset.images.shape[1:])})


def _parts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows, ascending, to train on and to hold out: each class in proportion."""
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, first, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    share = (np.arange(len(labels)) - np.repeat(first, sizes) + 0.5) / np.repeat(sizes, sizes)
    held_out = share < min(_HELD_OUT_SHARE, _HELD_OUT / len(labels))
    training = share - _HELD_OUT_SHARE < _TRAINING / len(labels)
    training &= share >= _HELD_OUT_SHARE
    return np.sort(order[training]), np.sort(order[held_out])


def _small(dataset: ImageDataset, rows: np.ndarray) -> ImageDataset:
    """The images at `rows`, at most 32 pixels a side."""
    part = dataset.select(rows, split="train")
    share = _SIDE / max(part.images.shape[1:3])
    if share >= 1 or not len(rows):
        return part
    starts = range(0, len(rows), _AT_A_TIME)
    pieces = (torch.from_numpy(np.asarray(part.images[k : k + _AT_A_TIME])) for k in starts)
    pixels = torch.cat([shrunk(piece, share).round().to(torch.uint8) for piece in pieces])
    return replace(part, images=pixels.numpy())


def _recipe(images: int, side: int, *, classes: int, copies: int) -> Recipe:
    """Of the small model: `small_recipe` without augmentation; with many classes it learns longer.

    A model that knows few images of 100 classes is not put out by an upside-down one either.
    """
    passes = max(_PASSES, min(_PASSES_A_CLASS * classes, _MOST_PASSES))
    epochs = max(1, math.ceil(passes / max(images, 1) / 2)) * 2 // copies
    choices = {
        "horizontal_flip": False,
        "alternating_flip": False,
        "shift": 0,
        "test_views": "one",
        "epochs": epochs,
        "batch_size": _BATCH,
    }
    if side < 16:
        choices["training_sizes"] = ()  # there is nothing to shrink
    return small_recipe().changed(choices)


class _Judge:
    """The model without augmentation, and what it answers for unchanged held-out images."""

    def __init__(self, known: ImageDataset, held_out: ImageDataset, rows: np.ndarray) -> None:
        self.known, self.held_out, self.rows = known, held_out, rows
        self.labels = held_out.labels
        self.names = held_out.class_names
        self.accuracy = 0.0

    def measured(self, whole: Mapping[str, Augmentation]) -> Measured:
        """All augmentations judged, or why none can be.

        Args:
            whole: by kind, those of images at their own size, which judgements name.
        """
        problem = self._too_small()
        judgements: list[Judgement] = []
        if not problem:
            self.network = self._trained(self.known, copies=1)
            self.before = self._answers(self.network, self.held_out.images)
            self.right = self.before.argmax(1) == self.labels
            self.accuracy = float(self.right.mean())
            counts = np.bincount(self.labels, minlength=len(self.names))
            self.chance = float(counts.max() / counts.sum())
            if self.accuracy - self.chance < _LEAST_SKILL * (1 - self.chance):
                problem = (
                    f"because a small model trained on {len(self.known):,} images knows only "
                    f"{self.accuracy:.1%} of {len(self.held_out):,} others, and naming the most "
                    f"frequent class would be right for {self.chance:.1%}"
                )
            else:
                tried = augmentations(*self.held_out.images.shape[1:])
                judgements = [
                    replace(self._judged(one), name=same.name, settings=same.settings)
                    for one in tried
                    if (same := whole.get(one.kind)) is not None
                ]
        return Measured(
            judgements=tuple(judgements),
            accuracy=self.accuracy,
            not_applicable=problem,
        )

    def _too_small(self) -> str:
        side = min(self.held_out.images.shape[1:3])
        if side < 8:
            return f"because images of {side} pixels are too small for the model that judges"
        if len(np.unique(self.labels)) < 2:
            return "because there are not two classes with the four images that it takes"
        return ""

    def _trained(self, data: ImageDataset, *, copies: int) -> torch.nn.Module:
        side = min(data.images.shape[1:3])
        recipe = _recipe(len(data) // copies, side, classes=len(self.names), copies=copies)
        return train(Splits(data.source, data), recipe).network

    def _answers(self, network: torch.nn.Module, images: np.ndarray) -> np.ndarray:
        """float32 (N, K): probabilities for the held-out images, changed to `images`."""
        device = machine.device()
        asked = Batches(replace(self.held_out, images=images), device=device)
        precision = machine.resolved(small_recipe(), device).precision
        return as_array(predict_logits(network, asked, precision=precision).softmax(1))

    def _judged(self, augmentation: Augmentation) -> Judgement:
        answers = self._answers(self.network, changed(self.held_out.images, augmentation))
        right = answers.argmax(1) == self.labels
        test = mcnemar(right, self.right)
        skill = self.accuracy - self.chance
        kept, low, high = (1 + each / skill for each in (test.difference, *test.interval))
        effects, closest = self._effects(answers)
        trained = None
        alike = closest is not None and augmentation.moves_pixels
        if not alike and not (kept >= VALID or (kept < UNLIKE and augmentation.moves_pixels)):
            trained = self._trained_with(augmentation)
        verdict, why = _verdict(kept, (low, high), closest if alike else None, trained)
        return Judgement(
            name=augmentation.name,
            settings=augmentation.settings,
            verdict=verdict,
            reason=(
                f"{right.mean():.1%} of {len(right):,} changed images are known, "
                f"{self.accuracy:.1%} of the unchanged ones; {why}."
            ),
            accuracy=float(right.mean()),
            difference=test.difference,
            interval=test.interval,
            kept=kept,
            classes=effects,
            examples=self._examples(answers),
        )

    def _trained_with(self, augmentation: Augmentation) -> tuple[float, tuple[float, float]]:
        """How much a model trained with the change is better on unchanged images."""
        known = self.known
        both = replace(
            known,
            images=np.concatenate([known.images, changed(known.images, augmentation)]),
            labels=np.concatenate([known.labels, known.labels]),
            files=(),
        )
        answers = self._answers(self._trained(both, copies=2), self.held_out.images)
        test = mcnemar(answers.argmax(1) == self.labels, self.right)
        return test.difference, test.interval

    def _effects(self, answers: np.ndarray) -> tuple[tuple[ClassEffect, ...], ClassEffect | None]:
        """The classes that fall most, and the one that looks most like another, if any does."""
        classes = len(self.names)
        typical = np.ones(classes)
        for label in range(classes):
            own = self.before[self.right & (self.labels == label), label]
            if len(own):
                typical[label] = np.quantile(own, _TYPICAL)

        def table(answers: np.ndarray, *, sure: bool) -> np.ndarray:
            """(K, K): held-out images by class and by what they are taken for."""
            answer = answers.argmax(1)
            counted = answers.max(1) >= typical[answer] if sure else np.ones(len(answer), bool)
            flat = np.bincount(
                self.labels[counted] * classes + answer[counted], minlength=classes**2
            )
            return flat.reshape(classes, classes)

        before, after = table(self.before, sure=False), table(answers, sure=False)
        looks = table(answers, sure=True) - table(self.before, sure=True)
        right = answers.argmax(1) == self.labels
        effects = []
        for label in np.unique(self.labels).tolist():
            others = after[label].copy()
            others[label] = -1
            other = int(np.where(np.arange(classes) == label, -1, looks[label]).argmax())
            if looks[label, other] < _FEWEST:
                other = int(others.argmax())
            own = self.labels == label
            test = mcnemar(right[own], self.right[own])
            count = int(own.sum())
            effects.append(
                ClassEffect(
                    class_name=self.names[label],
                    images=count,
                    before=before[label, label] / count,
                    after=after[label, label] / count,
                    difference=test.difference,
                    interval=test.interval,
                    taken_for=self.names[other],
                    taken=after[label, other] / count,
                    looks_like=looks[label, other] / count,
                )
            )
        alike = [
            each
            for each in effects
            if each.looks_like >= LOOKS_LIKE and each.looks_like * each.images >= _FEWEST - 0.5
        ]
        closest = max(alike, key=lambda each: each.looks_like, default=None)
        effects.sort(key=lambda each: (each.difference, -each.looks_like))
        return tuple(effects[:5]), closest

    def _examples(self, answers: np.ndarray) -> tuple[tuple[int, str], ...]:
        answer = answers.argmax(1)
        lost = np.flatnonzero(self.right & (answer != self.labels))
        best = lost[np.argsort(-answers[lost].max(1), kind="stable")[:_EXAMPLES]]
        return tuple((int(self.rows[place]), self.names[answer[place]]) for place in best.tolist())


def _verdict(
    kept: float,
    interval: tuple[float, float],
    alike: ClassEffect | None,
    trained: tuple[float, tuple[float, float]] | None,
) -> tuple[str, str]:
    """The verdict, and the part of its sentence that follows the accuracies."""
    if alike is not None:
        return "invalid", (
            f"{alike.looks_like:.0%} of {alike.class_name} now look like {alike.taken_for}, as "
            "certainly as its own images"
        )
    # "valid" is said of what the images show, not of what too few of them leave open.
    unlike, known = interval[1] < UNLIKE, interval[0] >= UNLIKE
    left = f"{max(kept, 0):.0%} of the skill left"
    few = f" (95% interval {max(interval[0], 0):.0%} to {interval[1]:.0%}), too few images to tell"
    if trained is None:
        if kept >= VALID and known:
            return "valid", f"that is {min(kept, 1):.0%} of the skill"
        if unlike:
            return "invalid", f"with {left}, they are unlike any image"
        return "unclear", f"that is {left}{few}"
    change, (low, high) = trained
    points = (
        f"training with the change moves the accuracy on unchanged images by {100 * change:+.1f} "
        f"points, at the same cost (95% interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    if unlike and high <= -HARMFUL:
        return "invalid", points
    if change <= -COSTLY and high < 0:
        return "costly", points
    cheap = low > -COSTLY or (known and low > -HARMFUL)
    if low > 0 or (kept >= UNLIKE and cheap):
        return "valid", points
    return ("costly", points) if unlike else ("unclear", f"{points}; that is {left}{few}")
