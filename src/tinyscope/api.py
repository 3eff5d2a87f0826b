"""The verbs of the Python package that join several parts: run, improve, evaluate, compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tinyscope.data.batches import Batches
from tinyscope.data.catalogue import load
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.errors import InputError
from tinyscope.evaluation.comparison import Comparison, compare_all
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.evaluation.predict import as_array, predict_logits
from tinyscope.inspection.inspection import Inspection, inspect
from tinyscope.models.zoo import NAMES
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
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    budget: float | None = None,
    listener: Listener | None = None,
) -> StudyResult:
    """Trains and compares what a study asks for, and writes its report.

    Args:
        study: a `Study`, a name of `tinyscope list studies`, or a `.toml` file.
        data: instead of the study's own: loaded images, a name, or a path.
        out: the study's folder; by default `tinyscope-runs/<study name>`.
        seeds: instead of the study's own.
        only: the variations to run, and those that they begin from; empty for those that the study
            asks for.
        budget: seconds that the trainings may about take.
        listener: is told what happens.

    Raises:
        InputError: the study has faults, or its models do not fit the images.
        DataError: the data cannot be used.
        StorageError: the folder cannot be used.
    """
    asked = study if isinstance(study, Study) else load_study(study, choices={"model": NAMES})
    if seeds is not None:
        asked = replace(asked, seeds=tuple(seeds))
    if only:
        asked = replace(asked, only=tuple(only))
    if isinstance(data, (str, Path)):
        asked, data = asked.on(str(data)), None
    elif data is not None:
        asked = asked.on(data.name)
    return run_study(
        asked, data, out=Path(out) if out is not None else None, budget=budget, listener=listener
    )


def improve(
    folder: str | Path,
    *,
    steps: int = 2,
    data: Splits | None = None,
    listener: Listener | None = None,
) -> StudyResult:
    """Carries out the first suggestions of a finished study's report, as variations of the study.

    Args:
        folder: the study's.
        steps: at most so many, one after another; each asks anew what to suggest.
        data: the images, where the study was run on loaded ones.
        listener: is told what happens.

    Returns:
        The study with its new variations; its summary's "improvements" say what each has brought.

    Raises:
        InputError: there is nothing to suggest, or there are no validation images to judge by.
        DataError: the data are not those that the study was run on.
        StorageError: there is no finished study, or the folder cannot be used.
    """
    return carry_out_suggestions(Path(folder), steps=steps, data=data, listener=listener)


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
    if isinstance(data, Splits):
        return inspect(data, training=training, on_stage=on_stage)
    loaded = load(data, size=size, trainable=False)
    return inspect(loaded, origin=data, training=training, on_stage=on_stage)


def evaluate(classifier: Classifier, images: ImageDataset) -> Evaluation:
    """What a classifier answers for a split, with every figure and table that follows from it.

    Args:
        classifier: as `load_classifier` gives it.
        images: of the classifier's size, with its classes in its order.

    Raises:
        InputError: the classes or the images are not the classifier's.
    """
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
        InputError: they are not of the same images.
    """
    labels = [each.labels for each in evaluations.values()]
    if any(len(other) != len(labels[0]) or (other != labels[0]).any() for other in labels[1:]):
        raise InputError("Only evaluations of the same images, in the same order, can be compared.")
    return list(compare_all({name: each.right for name, each in evaluations.items()}))
