"""Trains, compares, explains and ships small-image classifiers on the computer you have."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tinyscope.api import compare as compare
    from tinyscope.api import evaluate as evaluate
    from tinyscope.api import explore as explore
    from tinyscope.api import improve as improve
    from tinyscope.api import run as run
    from tinyscope.data.catalogue import load as load
    from tinyscope.data.dataset import ImageDataset as ImageDataset
    from tinyscope.data.dataset import Splits as Splits
    from tinyscope.data.splitting import complete as complete
    from tinyscope.errors import DataError as DataError
    from tinyscope.errors import InputError as InputError
    from tinyscope.errors import StorageError as StorageError
    from tinyscope.evaluation.evaluation import Evaluation as Evaluation
    from tinyscope.inspection.inspection import Inspection as Inspection
    from tinyscope.plan.recipe import Recipe as Recipe
    from tinyscope.plan.recipe_book import recipe as recipe
    from tinyscope.plan.study import Study as Study
    from tinyscope.report.page import write_report as write_report
    from tinyscope.runs.run import Run as Run
    from tinyscope.runs.run import read_run as read_run
    from tinyscope.shipping.classifier import (
        Classifier as Classifier,
    )
    from tinyscope.shipping.classifier import (
        load_classifier as load_classifier,
    )
    from tinyscope.sweep.listener import Listener as Listener
    from tinyscope.sweep.outcome import StudyResult as StudyResult
    from tinyscope.sweep.outcome import read_study as read_study
    from tinyscope.training.trainer import train as train

_HOMES = {
    "Classifier": "shipping.classifier",
    "DataError": "errors",
    "Evaluation": "evaluation.evaluation",
    "ImageDataset": "data.dataset",
    "InputError": "errors",
    "Inspection": "inspection.inspection",
    "Listener": "sweep.listener",
    "Recipe": "plan.recipe",
    "Run": "runs.run",
    "Splits": "data.dataset",
    "StorageError": "errors",
    "Study": "plan.study",
    "StudyResult": "sweep.outcome",
    "compare": "api",
    "complete": "data.splitting",
    "evaluate": "api",
    "explore": "api",
    "improve": "api",
    "load": "data.catalogue",
    "load_classifier": "shipping.classifier",
    "read_run": "runs.run",
    "read_study": "sweep.outcome",
    "recipe": "plan.recipe_book",
    "run": "api",
    "train": "training.trainer",
    "write_report": "report.page",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for: `tinyscope --help` starts at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tinyscope.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
