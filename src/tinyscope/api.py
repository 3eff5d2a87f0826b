"""The verbs of the Python package that join several parts: run, improve, evaluate, compare."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinyscope.data.batches import Batches
from tinyscope.data.catalogue import as_text, load
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.errors import InputError
from tinyscope.evaluation.comparison import Comparison, compare_all
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.evaluation.predict import as_array, predict_logits
from tinyscope.files import path_of
from tinyscope.inspection.inspection import Inspection, inspect
from tinyscope.models.recipe_faults import JUDGES
from tinyscope.plan.spelling import spelled
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import load_study
from tinyscope.shipping.classifier import Classifier
from tinyscope.sweep.improve import improve as carry_out_suggestions
from tinyscope.sweep.local import Listener, run_study
from tinyscope.sweep.outcome import StudyResult


def run(
    study: Study | str | Path,
    data: Splits | str | Path | None = None,
    *,
    out: str | Path | None = None,
    seeds: Sequence[int] | int | None = None,
    only: Sequence[str] | str = (),
    budget: float | None = None,
    listener: Listener | None = None,
) -> StudyResult:
    """Trains and compares what a study asks for, and writes its report.

    Args:
        study: a `Study`, a name of `tinyscope list studies`, or a `.toml` file.
        data: instead of the study's own: loaded images, a name, or a path.
        out: the study's folder; by default `tinyscope-runs/<study name>`.
        seeds: instead of the study's own; a count stands for the first ones.
        only: the variation or variations to run, and those that they begin from; empty for those
            that the study asks for.
        budget: seconds that the trainings may about take.
        listener: is told what happens.

    Raises:
        InputError: an argument is of another kind, the study has faults, or its models do not fit
            the images; the loaded images are not of the size that it asks for.
        DataError: the data cannot be used.
        StorageError: the folder cannot be used.
    """
    if not isinstance(study, (Study, str, Path)):
        raise InputError(
            f"study is {type(study).__name__}; expected a Study, a name of "
            '"tinyscope list studies", or the path of a .toml file.'
        )
    asked = study if isinstance(study, Study) else load_study(study, judges=JUDGES)
    if seeds is not None:
        asked = replace(asked, seeds=_of_python(seeds))
    if budget is not None:
        budget = _seconds(budget)
    if only:
        asked = replace(asked, only=(only,) if isinstance(only, str) else tuple(only))
    if isinstance(data, (str, Path)):
        asked, data = asked.on(as_text(data)), None
    elif data is not None:
        _refuse_other(data)
        asked = asked.on(data.name)
    return run_study(
        asked,
        data,
        out=path_of(out) if out is not None else None,
        budget=budget,
        listener=listener,
    )


def _of_python(seeds: Sequence[int] | int) -> Any:
    """Numbers of numpy as Python's, which a study file can hold; the study judges all of them."""
    if isinstance(seeds, (Sequence, np.ndarray)) and not isinstance(seeds, str):
        return tuple(_of_python(seed) for seed in seeds)
    return int(seeds) if isinstance(seeds, np.integer) else seeds


def _seconds(budget: object) -> float:
    number = isinstance(budget, Real) and not isinstance(budget, bool)
    if not number or not math.isfinite(budget):  # type: ignore[arg-type]
        raise InputError(f"budget = {spelled(budget)} is no time; expected seconds, such as 600.")
    return float(budget)  # type: ignore[arg-type]


def _refuse_other(data: object) -> None:
    if not isinstance(data, Splits):
        raise InputError(
            f"data is {type(data).__name__}; expected Splits, as load gives them, a name or a "
            "path. Splits(name, train, validation, test) joins image data sets."
        )


def improve(
    folder: str | Path,
    *,
    steps: int = 2,
    data: Splits | str | Path | None = None,
    listener: Listener | None = None,
) -> StudyResult:
    """Carries out the first suggestions of a finished study's report, as variations of the study.

    Args:
        folder: the study's.
        steps: at most so many, one after another; each asks anew what to suggest, and passes over
            what the data do not take.
        data: the images, where the study was run on loaded ones; or a name or a path, where they
            are no longer found where they were.
        listener: is told what happens.

    Returns:
        The study with its new variations; its summary's "improvements" say what each has brought.

    Raises:
        InputError: there is nothing to suggest, or nothing of it can be trained, there are no
            validation images to judge by, or the images are not found.
        DataError: the data are not those that the study was run on.
        StorageError: there is no finished study, or the folder cannot be used.
    """
    return carry_out_suggestions(path_of(folder), steps=steps, data=data, listener=listener)


def explore(
    data: Splits | str | Path,
    *,
    size: int | None = None,
    training: bool = True,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Inspection:
    """Looks at images before anything is learnt from them: what they are like, and what is wrong.

    Args:
        data: loaded images, a name, or a path. Loaded images have no files that could be looked at.
        size: the side that images of a name or a path are brought to.
        training: whether models are trained for it: for labels that are probably wrong, for easy
            and hard classes, for valid augmentations.
        on_stage: is told what is looked at next, as a phrase.

    Raises:
        InputError: no such name or path.
        DataError: there are no images that could be looked at.
    """
    if not isinstance(data, (str, Path)):
        _refuse_other(data)
        return inspect(data, training=training, on_stage=on_stage)
    loaded = load(data, size=size, trainable=False)
    return inspect(loaded, origin=data, training=training, on_stage=on_stage)


def evaluate(classifier: Classifier, images: ImageDataset) -> Evaluation:
    """What a classifier answers for a split, with every figure and table that follows from it.

    Computed in float32, as every answer of a classifier. A run that was trained in bfloat16 has
    answered its test images in bfloat16: a few in a thousand of them may get another class here,
    and the accuracy another last digit; see `load_classifier`.

    Args:
        classifier: as `load_classifier` gives it.
        images: one split, such as `data.test`, of the classifier's size, with its classes in its
            order. A source without such a split has None there; `complete` cuts it.

    Raises:
        InputError: there is no classifier or no `ImageDataset`, or the images or their classes are
            not the classifier's.
    """
    if not isinstance(classifier, Classifier):
        raise InputError(
            f"classifier is {type(classifier).__name__}; expected a Classifier: load_classifier "
            "gives that of a model, run or study folder."
        )
    if images is None:
        raise InputError(
            "images is None: as loaded, the data set has no such split. complete(data) cuts "
            "validation and test images from the training images, as a study does."
        )
    if not isinstance(images, ImageDataset):
        raise InputError(
            f"images is {type(images).__name__}; expected the ImageDataset of one split. load "
            "gives all splits of a data set: take data.test, data.validation or data.train of them."
        )
    if images.class_names != classifier.class_names:
        raise InputError(
            f"The images have {len(images.class_names)} classes ({images.class_names[0]} …), the "
            f"classifier has {len(classifier.class_names)} ({classifier.class_names[0]} …); "
            "expected the same, in the same order."
        )
    if images.preprocessing != classifier.preprocessing:
        raise InputError(
            f"The images are {tuple(images.preprocessing)}, the classifier takes "
            f"{tuple(classifier.preprocessing)} (height, width, channels). load(..., size=N) "
            "brings images to another size."
        )
    logits = predict_logits(
        classifier.network, Batches(images, device=torch.device("cpu")), precision="fp32"
    )
    return Evaluation(images.split, as_array(logits), images.labels, images.class_names)


def compare(evaluations: Mapping[str, Evaluation]) -> list[Comparison]:
    """Paired tests between all pairs of evaluations of the same images.

    Args:
        evaluations: by name; two or more.

    Raises:
        InputError: they have no names, there are fewer than two, or they are not of the same
            images, as far as split, classes and labels tell.
    """
    named = isinstance(evaluations, Mapping)
    if not named or not all(isinstance(each, Evaluation) for each in evaluations.values()):
        raise InputError(
            f"evaluations is {type(evaluations).__name__}; expected a dictionary of evaluations by "
            'name, such as {"base": evaluate(first, images), "wide": evaluate(second, images)}.'
        )
    if len(evaluations) < 2:
        raise InputError(
            f"evaluations holds {len(evaluations)}; expected two or more by name, each as evaluate "
            "gives it."
        )
    first, *others = evaluations.values()
    if any(
        (other.split, other.class_names) != (first.split, first.class_names)
        or not np.array_equal(other.labels, first.labels)
        for other in others
    ):
        raise InputError("Only evaluations of the same images, in the same order, can be compared.")
    return list(compare_all({name: each.right for name, each in evaluations.items()}))
