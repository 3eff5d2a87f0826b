"""How long a study will take, from a few timed steps, and how to cut it to a budget."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from tinyscope.errors import InputError
from tinyscope.features.extraction import looks
from tinyscope.models.generator import borrowed_generator
from tinyscope.models.views import VIEWS
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.sweep.beginnings import Beginning
from tinyscope.sweep.frozen import FrozenBackbone
from tinyscope.training import machine
from tinyscope.training.allocator import freed_memory_kept
from tinyscope.training.material import images_of
from tinyscope.training.schedules import is_sharpness_aware, size_share
from tinyscope.training.trainer import Trainer

_TIMED_SECONDS = 1.0
_TIMED_STEPS = 8
_VALIDATION_SHARE = 1 / 3
"""Of a training image's cost: a forward pass, where the backward one costs twice as much."""
_RESERVE = 0.9
"""Of a budget that trainings and answers may use; the rest is for the report and errors."""


class Fitted(NamedTuple):
    """A study cut to a budget."""

    study: Study
    recipes: Mapping[str, Recipe]
    seconds: float
    """That it will about take."""
    told: str
    """What was cut, for people; empty where nothing was."""


@dataclass(frozen=True)
class Timing:
    """Seconds of a recipe on this machine."""

    epoch_seconds: float
    answer_seconds: float = 0.0
    """Of the finished model's answers for validation and test images, with all views."""
    features: Mapping[Path, float] = field(default_factory=dict)
    """Of those features of a frozen backbone that are still to be computed, by the place where they
    will be kept: once, for whichever runs need them."""

    def seconds(self, recipe: Recipe) -> float:
        """Of all its epochs, if none is spared by early stopping, and of the answers."""
        return self.epoch_seconds * recipe.epochs + self.answer_seconds


def total_seconds(runs: Iterable[tuple[str, Recipe]], timings: Mapping[str, Timing]) -> float:
    """That runs will about take one after another.

    Args:
        runs: the variation and the recipe of each.
        timings: by variation.
    """
    asked = list(runs)
    features = {place: each for name, _ in asked for place, each in timings[name].features.items()}
    return sum(timings[name].seconds(one) for name, one in asked) + sum(features.values())


def time_recipes(beginnings: Mapping[str, Beginning]) -> dict[str, Timing]:
    """Times a few training steps of each recipe; takes about a second for each.

    Recipes that differ in nothing that a step's time depends on are timed once. The fit of a model
    of scikit-learn is not timed: it counts as no time.

    Args:
        beginnings: what the recipe of each variation begins with.
    """
    timings: dict[str, Timing] = {}
    known: dict[str, Timing] = {}
    for name, start in beginnings.items():
        same = repr(replace(start.recipe, epochs=1, learning_rate=0.1, label_smoothing=0.0))
        if same not in known:
            untouched = replace(start, parent=None)
            known[same] = _time_frozen(untouched) if start.frozen else _time(untouched)
        timings[name] = known[same]
    return timings


def _time_frozen(start: Beginning) -> Timing:
    """Of the passes through a frozen backbone that are still to be made, and of the head."""
    backbone = FrozenBackbone(start)
    data, recipe = start.data, start.recipe
    needed = [(data.train, view) for view in backbone.views]
    if recipe.refit and data.validation is not None:
        needed += [(data.validation, view) for view in backbone.views]
    parts = [part for part in (data.validation, data.test) if part is not None]
    needed += [(part, view) for part in parts for view, _ in looks(recipe.test_views)]
    unknown = [(part, view) for part, view in needed if not backbone.knows(part, view)]
    each = backbone.seconds_an_image(data.train) if unknown else 0.0
    features = {backbone.place(part, view): each * len(part) for part, view in unknown}
    epoch = 0.0
    if recipe.classifier == "dense":
        with borrowed_generator(machine.device()), freed_memory_kept():
            trainer = Trainer(backbone.empty_material(), recipe)
            epoch = _time_step(trainer, 0, _TIMED_SECONDS) * trainer.steps_per_epoch
    return Timing(epoch, features=features)


def _time(start: Beginning) -> Timing:
    data, recipe = start.data, start.recipe
    with borrowed_generator(machine.device()), freed_memory_kept():
        trainer = Trainer(
            images_of(data, machine.device(), begin=lambda recipe: start.network()), recipe
        )
        per_epoch = trainer.steps_per_epoch
        # A step's time depends on the size that it sees images at, and on a second pass.
        kinds: dict[tuple[float, bool], list[int]] = {}
        for number in range(recipe.epochs * per_epoch):
            share = size_share(recipe, number, steps_per_epoch=per_epoch)
            aware = is_sharpness_aware(recipe, number, steps_per_epoch=per_epoch)
            kinds.setdefault((share, aware), []).append(number)
        seconds = {
            kind: _time_step(trainer, numbers[0], _TIMED_SECONDS / len(kinds))
            for kind, numbers in kinds.items()
        }
    epoch = sum(seconds[kind] * len(numbers) for kind, numbers in kinds.items()) / recipe.epochs
    validation = len(data.validation) if data.validation else 0
    whole = max(kinds, key=lambda kind: (kind[0], not kind[1]))  # of one pass, if there is such
    passes = 1 + whole[1] * recipe.sam_share
    per_image = seconds[whole] / recipe.learnt_from(-(-len(data.train) // per_epoch)) / passes
    look = per_image * _VALIDATION_SHARE
    # With several views the model looks once more, for the accuracy of a single view.
    times = VIEWS[recipe.test_views] + (recipe.test_views != "one")
    answered = validation + (len(data.test) if data.test else 0)
    return Timing(epoch + validation * look, answered * times * look)


def _time_step(trainer: Trainer, number: int, allowed: float) -> float:
    """The median over a few steps, all of which are taken as the step of that number."""
    taken: list[float] = []
    began = time.perf_counter()
    for pixels, labels in trainer.batches(1):
        before = time.perf_counter()
        loss, _ = trainer.step(pixels, labels, number)
        loss.item()  # waits for a GPU
        taken.append(time.perf_counter() - before)
        if len(taken) > _TIMED_STEPS or time.perf_counter() - began > allowed:
            break
    timed = sorted(taken[1:] or taken)  # the first step prepares kernels for all later ones
    return timed[len(timed) // 2]


def fit_to_budget(
    study: Study, recipes: Mapping[str, Recipe], timings: Mapping[str, Timing], budget: float
) -> Fitted:
    """Cuts a study until its trainings fit into a time.

    In this order: fewer epochs (down to a third), fewer seeds (down to the lowest), fewer
    variations (from the last, down to two; none goes before those that start from it, and none
    stays that was not asked for and that nothing starts from any more), fewer epochs (down to one).
    Every variation keeps the same share of its epochs, so that the comparison stays fair; no share
    is taken by which two variations would come to the same.

    Args:
        study: its seeds and variations may be cut.
        recipes: by variation.
        timings: of the recipes.
        budget: seconds.

    Raises:
        InputError: even the smallest cut takes longer; the message says how long.
    """
    allowed = budget * _RESERVE
    names = sorted(recipes, key=study.ancestors)
    seeds, starts = sorted(study.seeds), study.starts()

    def shortened(share: float, kept: Sequence[str]) -> dict[str, Recipe]:
        return {name: _shorter(recipes[name], share) for name in recipes if name in kept}

    def seconds(share: float, kept: Sequence[str], runs: int) -> float:
        return total_seconds([*shortened(share, kept).items()] * runs, timings)

    def differ(share: float, kept: Sequence[str]) -> bool:
        each = shortened(share, kept).items()
        return len({(recipe, starts.get(name)) for name, recipe in each}) == len(kept)

    first = _of_first(study, names, 2)
    cuts = [(names, len(seeds), 1 / 3)]
    cuts += [(names, runs, 1 / 3) for runs in range(len(seeds) - 1, 0, -1)]
    cuts += [(_of_first(study, names, count), 1, 1 / 3) for count in range(len(names) - 1, 1, -1)]
    cuts += [(first, 1, 0.0)]
    for kept, runs, least in cuts:
        if seconds(least, kept, runs) > allowed:
            continue
        shares = [hundredths / 100 for hundredths in range(100, math.ceil(least * 100), -1)]
        for share in (*shares, least):
            if seconds(share, kept, runs) <= allowed and differ(share, kept):
                fitted = shortened(share, kept)
                return Fitted(
                    replace(study, seeds=tuple(seeds[:runs])),
                    fitted,
                    seconds(share, kept, runs),
                    _told(recipes, fitted, seeds, runs),
                )
    share = next(one / 100 for one in range(101) if differ(one / 100, first) or one == 100)
    several = f"first {len(first)} variations" if len(first) > 1 else f'variation "{first[0]}"'
    what = (
        f"one epoch of its {several}"
        if not share
        else f"{share:.0%} of the epochs of its {several}"
    )
    raise InputError(
        f"A budget of {budget:g} s is too short for this study: {what}, with its answers, takes "
        f"about {math.ceil(seconds(share, first, 1) / _RESERVE)} s here."
    )


def _of_first(study: Study, names: Sequence[str], count: int) -> list[str]:
    """Those of the first names that the study asks for, and those that they begin from."""
    kept = names[:count]
    asked = tuple(name for name in kept if name in study.only)
    left_out = replace(study, only=asked).left_out() if asked else ()
    return [name for name in kept if name not in left_out]


def _shorter(recipe: Recipe, share: float) -> Recipe:
    return replace(recipe, epochs=max(1, math.floor(recipe.epochs * share)))


def _told(
    recipes: Mapping[str, Recipe], fitted: Mapping[str, Recipe], seeds: Sequence[int], runs: int
) -> str:
    parts = []
    if dropped := [name for name in recipes if name not in fitted]:
        parts.append("without " + ", ".join(dropped))
    if runs < len(seeds):
        parts.append(f"{runs} of {len(seeds)} seeds")
    shorter = {
        name: f"{name} {recipe.epochs} of {recipes[name].epochs}"
        for name, recipe in fitted.items()
        if recipe.epochs < recipes[name].epochs
    }
    if shorter:
        parts.append("epochs: " + ", ".join(shorter.values()))
    return "; ".join(parts)
