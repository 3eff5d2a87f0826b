"""What a study has to run: every variation with every seed, each with its identity and folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError
from tinyscope.plan.recipe import FEW_STEPS, Recipe, identity
from tinyscope.plan.study import Study
from tinyscope.runs.run import Run, read_run
from tinyscope.runs.store import run_folder
from tinyscope.training import machine
from tinyscope.training.untrained import untrained


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

    @property
    def missing(self) -> list[Run]:
        """The runs that are not finished."""
        return [run for run in self.runs if not run.finished]

    def short(self) -> dict[str, int]:
        """The steps of those variations that have fewer than `FEW_STEPS` in all.

        Recipes are made for tens of thousands of images: a few hundred photos give so few batches
        that hardly anything is learnt, which only looks like a bad model.
        """
        images = len(self.data.train)
        steps = {name: recipe.steps(images) for name, recipe in self.recipes.items()}
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
    _refuse_equal(resolved)
    runs = []
    for variation, recipe in resolved.items():
        with torch.random.fork_rng(devices=[]):
            network, _ = untrained(data, recipe)
        parameters = sum(each.numel() for each in network.parameters())
        weights = {name: tuple(each.shape) for name, each in network.state_dict().items()}
        for seed in study.seeds:
            name = identity(recipe, weights=weights, data_fingerprint=data.fingerprint, seed=seed)
            place = run_folder(folder, variation=variation, seed=seed, identity=name)
            known = read_run(place) if (place / "run.json").exists() else None
            if known and known.finished:
                answered = [part.split for part in data.parts() if part.split != "train"]
                known.check_complete(answered)
            runs.append(
                Run(
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
            )
    return Planned(study, data, folder, resolved, tuple(runs))


def _refuse_equal(recipes: Mapping[str, Recipe]) -> None:
    first_of: dict[Recipe, str] = {}
    for name, recipe in recipes.items():
        other = first_of.setdefault(recipe, name)
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
