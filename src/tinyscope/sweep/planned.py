"""What a study has to run: every variation with every seed, each with its identity and folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.models.generator import borrowed_generator
from tinyscope.plan.identity import identity
from tinyscope.plan.recipe import FEW_STEPS, Recipe
from tinyscope.plan.study import Study
from tinyscope.runs.run import Run, read_run
from tinyscope.runs.store import run_folder
from tinyscope.sweep.beginnings import Backbones, Beginning, beginning
from tinyscope.training import machine


@dataclass(frozen=True)
class Planned:
    """A study on a data set: its recipes as they will run, and its runs."""

    study: Study
    data: Splits
    folder: Path
    recipes: Mapping[str, Recipe]
    """By variation, with precision resolved."""
    runs: tuple[Run, ...]
    """Variation by variation, seed by seed."""
    beginnings: Mapping[str, Beginning]
    """What each run begins with, by the run's identity."""

    @property
    def missing(self) -> list[Run]:
        """The runs that are not finished, none before the one whose weights it begins with."""
        unfinished = [run for run in self.runs if not run.finished]
        return sorted(unfinished, key=lambda run: self.study.ancestors(run.variation))

    def begun(self) -> dict[str, Beginning]:
        """What the lowest seed's run of every variation begins with."""
        first = {run.variation: run for run in reversed(self.runs)}
        return {name: self.beginnings[first[name].identity] for name in self.recipes}

    def short(self) -> dict[str, int]:
        """The steps of those variations that have fewer than `FEW_STEPS` in all.

        Recipes are made for tens of thousands of images: a few hundred photos give so few batches
        that hardly anything is learnt, which only looks like a bad model.
        """
        images = len(self.data.train)
        steps = {
            name: recipe.steps(images)
            for name, recipe in self.recipes.items()
            if recipe.classifier == "dense"
        }
        return {name: count for name, count in steps.items() if count < FEW_STEPS}

    def changes(self) -> dict[str, dict[str, Any]]:
        """For each variation, what differs from the first one's recipe."""
        first = next(iter(self.recipes.values()))
        return {name: recipe.difference(first) for name, recipe in self.recipes.items()}


def plan_runs(
    study: Study, data: Splits, folder: Path, recipes: Mapping[str, Recipe] | None = None
) -> Planned:
    """Every run that the study asks for, finished or not; nothing is written.

    Args:
        study: what to run.
        data: complete, with its validation split cut.
        folder: the study's.
        recipes: those of the study where they were fitted to a budget.

    Raises:
        InputError: a model does not fit the images, or two variations are the same.
        StorageError: a run in the folder was written by a later version, or lacks a file.
    """
    device = machine.device()
    here = machine.environment(device)
    wanted = study.recipes() if recipes is None else recipes
    resolved = {name: machine.resolved(recipe, device) for name, recipe in wanted.items()}
    starts = study.starts()
    _refuse_equal(resolved, starts)
    runs: dict[tuple[str, int], Run] = {}
    beginnings: dict[str, Beginning] = {}
    backbones: Backbones = {}
    for variation in sorted(resolved, key=study.ancestors):
        recipe = resolved[variation]
        own = beginning(recipe, data, backbones)
        with borrowed_generator(torch.device("cpu")), _told_of(variation):
            network, _ = own.network()
        parameters = sum(each.numel() for each in network.parameters())
        weights = {name: tuple(each.shape) for name, each in network.state_dict().items()}
        for seed in study.seeds:
            start = own
            if variation in starts:
                start = own.going_on_from(runs[starts[variation], seed])
            name = identity(
                recipe,
                weights=weights,
                data_fingerprint=data.fingerprint,
                seed=seed,
                start=start.digest,
            )
            beginnings[name] = start
            place = run_folder(folder, variation=variation, seed=seed, identity=name)
            known = read_run(place) if (place / "run.json").exists() else None
            if known and known.finished:
                answered = [part.split for part in data.parts() if part.split != "train"]
                known.check_complete(answered)
            runs[variation, seed] = Run(
                folder=place,
                variation=variation,
                seed=seed,
                recipe=recipe,
                identity=name,
                data=_described(data),
                environment=known.environment
                if known and known.finished
                else {**here, "precision": recipe.precision},
                parameters=parameters,
            )
    in_order = [runs[variation, seed] for variation in resolved for seed in study.seeds]
    return Planned(study, data, folder, resolved, tuple(in_order), beginnings)


@contextmanager
def _told_of(variation: str) -> Iterator[None]:
    """Names the variation in what keeps its network from being built: models know none."""
    try:
        yield
    except InputError as error:
        raise InputError(f'variation "{variation}": {error}') from None


def _refuse_equal(recipes: Mapping[str, Recipe], starts: Mapping[str, str]) -> None:
    first_of: dict[tuple[Recipe, str | None], str] = {}
    for name, recipe in recipes.items():
        other = first_of.setdefault((recipe, starts.get(name)), name)
        if other != name:
            raise InputError(
                f'The variations "{other}" and "{name}" come to the same recipe: between them '
                "there is nothing to compare. Change one of them, or what --set sets for all."
            )


def _described(data: Splits) -> dict[str, Any]:
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "class_names": list(data.train.class_names),
        "preprocessing": data.train.preprocessing._asdict(),
        "images": {part.split: len(part) for part in data.parts()},
    }
