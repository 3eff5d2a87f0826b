"""The training loop."""

import json
import math
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.data.balance import class_weights
from tinyscope.data.batches import Augmentation
from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError, StorageError
from tinyscope.evaluation.predict import forward, predict_logits
from tinyscope.files import path_of
from tinyscope.models.generator import borrowed_generator
from tinyscope.plan.identity import computed_otherwise, told_apart_by
from tinyscope.plan.recipe import Recipe
from tinyscope.runs.run import ALL_EPOCHS, DIVERGED, EARLY_STOPPING, Stopped
from tinyscope.training import machine
from tinyscope.training.allocator import freed_memory_kept
from tinyscope.training.checkpoint import read_checkpoint, write_checkpoint
from tinyscope.training.cost import training_flop
from tinyscope.training.learner import Learner
from tinyscope.training.material import Begin, Material, images_of
from tinyscope.training.patience import ValidationWatch
from tinyscope.training.proxy import Proxy, proxy_recipe
from tinyscope.training.schedules import (
    is_averaged,
    is_sharpness_aware,
    rate_factor,
    size_share,
)
from tinyscope.training.seeding import derived
from tinyscope.training.stopwatch import Stopwatch
from tinyscope.training.weight_average import STATISTICS_BATCHES, WeightAverage

Row = dict[str, Any]
"""An epoch, by `runs.run.HISTORY_COLUMNS`."""

_SECONDS_BETWEEN_CHECKPOINTS = 5.0


@dataclass(frozen=True)
class Trained:
    """What a training leaves."""

    network: nn.Module
    """Takes pixels (N, H, W, C), or features where it learnt from such, gives logits; on the
    training's device, in evaluation mode."""
    history: list[Row]
    best_epoch: int | None
    """The epoch with the lowest validation loss; None without validation images."""
    stopped: Stopped
    """Where it diverged, the weights are the best epoch's, or the initial ones."""
    flop: int
    """By the formula of `cost.training_flop`."""


def train(
    data: Splits | Material,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> Trained:
    """Trains a recipe on the training images, watching the validation images.

    With the same data, recipe, seed, kind of machine and number of threads the weights are the same
    bit for bit on a CPU, whether the training was interrupted or not. For this, only one thread of
    a process trains at a time; others wait, and say so in the log after a while. torch's generators
    are left as they were found. `on_epoch` and `on_step` must not wait for a training in another
    thread: it would wait for this one.

    Args:
        data: its test split is not looked at. `Material` where a training is not to begin with an
            untrained network for the images.
        recipe: every choice.
        seed: of the initial weights, the order of the images, augmentation and dropout.
        checkpoint: a file to go on from where it exists, and to keep the state in; it is kept.
        on_epoch: is given each finished epoch's row, those of an earlier part not again.
        on_step: is given the steps done and the steps of an epoch.

    Raises:
        InputError: the data are no `Splits`, or the model does not fit the images; the recipe waits
            for the validation loss to fall, and there are no validation images.
        StorageError: a checkpoint cannot be read or written, or is of another training.
    """
    if not isinstance(recipe, Recipe):
        raise InputError(f"recipe is {recipe!r}; expected a Recipe, as recipe(name) gives it.")
    if not isinstance(data, (Splits, Material)):
        raise InputError(
            f"data is {type(data).__name__}; expected Splits, as load gives them for a name or a "
            "path."
        )
    if data.validation is None:
        _refuse_waiting(recipe)
    checkpoint = None if checkpoint is None else path_of(checkpoint)
    with borrowed_generator(machine.device()), freed_memory_kept():
        return Trainer(data, recipe, seed=seed).run(checkpoint, on_epoch, on_step)


class Trainer:
    """A network in training: what a step needs, and the loop over epochs.

    Args:
        data: training and validation images are copied to the device; see `train`.
        recipe: "auto" precision is decided for the device.
        seed: see `train`.

    Raises:
        InputError: Muon is to train a backbone that it would spoil (`check_backbone`); the proxy of
            `hardest_share` does not fit the images or the size of batches.
    """

    def __init__(self, data: Splits | Material, recipe: Recipe, *, seed: int = 0) -> None:
        self.device = machine.device()
        self.recipe = recipe = machine.resolved(recipe, self.device)
        self.seed = seed
        self._splits = data if isinstance(data, Splits) else None
        material = images_of(data, self.device) if isinstance(data, Splits) else data
        self._images, self._validation = material.train, material.validation
        self._shape = material.shape
        self.steps_per_epoch = self._images.steps(recipe.batch_size)

        torch.manual_seed(derived(seed, 0, "weights"))
        self._preparation = Stopwatch(self.device)
        with self._preparation.clock("training"):
            network, mean = material.begin(recipe)
        self.network: nn.Module = network.to(self.device)
        self._mean_colour = mean
        weights: Tensor | None = None
        if recipe.class_weights == "balanced":
            balanced = class_weights(self._images.labels.cpu().numpy(), material.classes)
            weights = torch.from_numpy(balanced).float().to(self.device)
        self._learner = Learner(self.network, recipe, class_weights=weights)
        self._proxy: Proxy | None = None
        if recipe.hardest_share < 1:
            assert material.proxy is not None  # `plan.contradictions` refuses it for features
            torch.manual_seed(derived(seed, 0, "proxy"))
            with self._preparation.clock("training"):
                small, _ = _proxy_network(material.proxy, recipe)
            self._proxy = Proxy(
                small.to(self.device),
                recipe,
                steps_per_epoch=self.steps_per_epoch,
                class_weights=weights,
            )
        self._augmentation = Augmentation(
            **{key: getattr(recipe, key) for key in Augmentation.__dataclass_fields__}
        )
        self._average = WeightAverage(self.network) if recipe.averaged_steps else None
        self._watch = ValidationWatch(recipe)
        self._history: list[Row] = []
        self._best = deepcopy(self.network.state_dict())
        self._written_at = time.monotonic()

    def run(
        self,
        checkpoint: Path | None,
        on_epoch: Callable[[Row], None],
        on_step: Callable[[int, int], None],
    ) -> Trained:
        """All epochs that are left; see `train`."""
        stopped: Stopped = ALL_EPOCHS
        if checkpoint is not None and checkpoint.exists():
            self._restore(checkpoint)
        for epoch in range(len(self._history) + 1, self.recipe.epochs + 1):
            if self._watch.wants_to_stop:
                stopped = EARLY_STOPPING
                break
            row = self._epoch(epoch, on_step)
            if not self._sound(row):
                stopped = DIVERGED
                break
            self._history.append(row)
            if row["val_loss"] is None or self._watch.after_epoch(epoch, row["val_loss"]):
                self._best = deepcopy(self.network.state_dict())
            on_epoch(row)
            last = epoch == self.recipe.epochs
            overdue = time.monotonic() - self._written_at > _SECONDS_BETWEEN_CHECKPOINTS
            if checkpoint is not None and (overdue or last):
                self._write(checkpoint)
        if stopped != DIVERGED and self._watch.wants_to_stop:
            stopped = EARLY_STOPPING
        if stopped == DIVERGED or self.recipe.early_stopping_patience is not None:
            self._restore_best(diverged=stopped == DIVERGED)
        self.network.eval()
        flop = training_flop(
            self.network,
            self.recipe,
            shape=self._shape,
            images=len(self._images),
            steps_per_epoch=self.steps_per_epoch,
            epochs=len(self._history),
            proxy=None if self._proxy is None else self._proxy.learner.network,
        )
        return Trained(self.network, self._history, self._watch.best_epoch, stopped, flop)

    def step(self, pixels: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """One step of the optimizer.

        Args:
            pixels: (n, H, W, C) in 0 … 255, or features (n, F), on the device.
            labels: int64 (n,), on the device.
            number: of the step, from 0 over all epochs; the schedule reads it.

        Returns:
            The batch's mean loss, and how many of its images were right, before the step; both of
            those alone that it learns from (`Recipe.learnt_from`).
        """
        if self._proxy is not None:
            pixels, labels = self._proxy.hardest(pixels, labels, number)
        rate = self._rate_factor(number)
        recipe, per_epoch = self.recipe, self.steps_per_epoch
        answer = self._learner.step(
            pixels,
            labels,
            rate=rate,
            share=size_share(recipe, number, steps_per_epoch=per_epoch),
            sharpness_aware=is_sharpness_aware(recipe, number, steps_per_epoch=per_epoch),
        )
        if self._average and is_averaged(recipe, number, steps_per_epoch=per_epoch):
            self._average.after_step()
        return answer

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch, the same whenever they are asked for."""
        generator = torch.Generator().manual_seed(derived(self.seed, epoch, "images"))
        torch.manual_seed(derived(self.seed, epoch, "dropout"))
        return self._images.shuffled(
            self.recipe.batch_size,
            augmentation=self._augmentation,
            fill=self._mean_colour,
            generator=generator,
            mirrored=self._mirrored(epoch) if self.recipe.alternating_flip else None,
        )

    def _typical(self, epoch: int) -> Iterator[Tensor]:
        """Pixels of batches as the last ones that were learnt from, drawn anew."""
        for pixels, labels in islice(self.batches(epoch + 1), STATISTICS_BATCHES):
            if self._proxy is None:
                yield pixels
            else:
                yield self._proxy.chosen(pixels, labels, self.recipe.proxy_size)[0]

    def _mirrored(self, epoch: int) -> Tensor:
        """Which images are mirrored: drawn once, then turned about from epoch to epoch."""
        generator = torch.Generator().manual_seed(derived(self.seed, 0, "mirrored"))
        first = torch.randint(0, 2, (len(self._images),), generator=generator, dtype=torch.bool)
        return first if epoch % 2 else ~first

    def _epoch(self, epoch: int, on_step: Callable[[int, int], None]) -> Row:
        # What the first filters were taken from the images in belongs to the training's time.
        watch = self._preparation if epoch == 1 else Stopwatch(self.device)
        self.network.train()
        first = (epoch - 1) * self.steps_per_epoch
        # Sums stay on the device: reading a number from a GPU would stop it.
        loss_sum = torch.zeros((), device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        learnt = 0
        with watch.clock("training"):
            for number, (pixels, labels) in enumerate(self.batches(epoch)):
                loss, right = self.step(pixels, labels, first + number)
                learnt_from = self.recipe.learnt_from(len(labels))
                loss_sum += loss * learnt_from
                correct += right
                learnt += learnt_from
                on_step(number + 1, self.steps_per_epoch)
            if self._average and epoch == self.recipe.epochs:
                self._average.take_over(self._typical(epoch), precision=self.recipe.precision)
        seconds = watch.seconds["training"]
        count = len(self._images)
        row: Row = {
            "epoch": epoch,
            "learning_rate": self.recipe.learning_rate
            * self._rate_factor(first + self.steps_per_epoch - 1),
            "train_loss": loss_sum.item() / learnt,
            "train_accuracy": correct.item() / learnt,
            "val_loss": None,
            "val_accuracy": None,
            "seconds": round(seconds, 4),
            "cpu_seconds": round(watch.cpu_seconds["training"], 4),
            "images_per_second": round(count / seconds, 1),
        }
        if self._validation is not None and math.isfinite(row["train_loss"]):
            logits = predict_logits(
                self.network, self._validation, precision=self.recipe.precision
            ).cpu()
            labels = self._validation.labels.cpu()
            row["val_loss"] = F.cross_entropy(logits, labels).item()
            row["val_accuracy"] = (logits.argmax(1) == labels).double().mean().item()
        return row

    def _sound(self, row: Row) -> bool:
        """Whether the network, and what chooses its images, still answer in numbers.

        The training loss alone does not tell: the last step may have been the one too far.
        """
        if not math.isfinite(row["train_loss"]):
            return False
        if self._proxy is not None and not self._proxy.sound:
            return False  # what was to be the hardest images was any
        if row["val_loss"] is not None:
            return math.isfinite(row["val_loss"])
        self.network.eval()
        with torch.inference_mode():
            pixels, _ = next(self._images.in_order(64))
            logits = forward(self.network, pixels, precision=self.recipe.precision)
        return bool(logits.isfinite().all())

    def _rate_factor(self, step: int) -> float:
        factor = rate_factor(self.recipe, step, steps_per_epoch=self.steps_per_epoch)
        return factor * self._watch.rate_factor

    def _restore_best(self, *, diverged: bool) -> None:
        if diverged or self._watch.best_epoch is not None:
            self.network.load_state_dict(self._best)

    def _write(self, path: Path) -> None:
        tensors, values = {"best": self._best}, {}
        if self._average:
            tensors["average"] = self._average.state()
        for name, learner in self._learners().items():
            network, optimizer, numbers = learner.state()
            tensors |= {name: network, f"{name}'s optimizer": optimizer}
            values[name] = numbers
        state = {
            "optimizers": values,
            "watch": self._watch.state(),
            "history": self._history,
            "asked": self._asked,
        }
        write_checkpoint(path, tensors, state)
        self._written_at = time.monotonic()

    def _restore(self, path: Path) -> None:
        tensors, state = read_checkpoint(path)
        # The first versions told nothing, later ones all but the version.
        theirs = {"version": {}, **state.get("asked", {**self._asked, "version": None})}
        if other := [what for what, value in self._asked.items() if theirs[what] != value]:
            raise StorageError(
                f"{path} is of another training, with another {' and '.join(other)}. Choose "
                "another file, or remove it."
            )
        for name, learner in self._learners().items():
            optimizer = tensors.get(f"{name}'s optimizer", {})
            learner.restore(tensors[name], optimizer, state["optimizers"][name])
        self._best = {name: each.to(self.device) for name, each in tensors["best"].items()}
        if self._average:
            self._average.restore(tensors["average"])
        self._watch.restore(state["watch"])
        self._history = state["history"]

    @cached_property
    def _asked(self) -> dict[str, Any]:
        """What a training is told by; of material it is for the caller to keep them apart."""
        parts = () if self._splits is None else (self._splits.train, self._splits.validation)
        recipe = json.dumps(told_apart_by(self.recipe), sort_keys=True)
        data = [None if part is None else part.fingerprint for part in parts]
        version = computed_otherwise(self.recipe)
        return {"recipe": recipe, "seed": self.seed, "data": data, "version": version}

    def _learners(self) -> dict[str, Learner]:
        learners = {"network": self._learner}
        if self._proxy is not None:
            learners["proxy"] = self._proxy.learner
        return learners


def _refuse_waiting(recipe: Recipe) -> None:
    """Refuses what would never happen without validation images, as a study does."""
    for key in ("early_stopping_patience", "plateau_patience"):
        if (patience := getattr(recipe, key)) is not None:
            raise InputError(
                f"{key} = {patience} watches the validation loss, and the data hold no validation "
                f"images. tinyscope.complete(data) cuts some; or set {key} = None."
            )


def _proxy_network(begin: Begin, recipe: Recipe) -> tuple[nn.Module, Tensor]:
    try:
        return begin(proxy_recipe(recipe))
    except InputError as error:
        raise InputError(
            f"hardest_share = {recipe.hardest_share:g} trains a small network beside the model, to "
            f"choose images by, which does not fit: {error} Without it: hardest_share = 1."
        ) from None
