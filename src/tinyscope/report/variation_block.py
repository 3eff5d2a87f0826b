"""The part of a summary that describes one variation: its runs, evaluations and pictures."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from tinyscope.data.dataset import ImageDataset
from tinyscope.diagnosis.learning_curves import only_guesses
from tinyscope.errors import DataError
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.evaluation.intervals import student, wilson
from tinyscope.report.pictures import Album
from tinyscope.runs.run import Run

PAIRS = 8
PICTURES_OF_A_PAIR = 4
GALLERY = 12
GALLERIES = ("confident wrong", "uncertain", "confident right")


def evaluations(runs: Sequence[Run], dataset: ImageDataset) -> list[Evaluation]:
    """The evaluation of every run on one split, in the order of the runs.

    Raises:
        DataError: a run has no predictions for the split, or was made with other images.
    """
    found = []
    for run in runs:
        predictions = run.predictions(dataset.split)
        if predictions is None:
            raise DataError(f"{run.folder}: no predictions for the {dataset.split} split.")
        if len(predictions.labels) != len(dataset) or (predictions.labels != dataset.labels).any():
            raise DataError(
                f"{run.folder}: its {dataset.split} predictions belong to other images than those "
                f'of "{dataset.source}".'
            )
        logits, labels = predictions.logits, predictions.labels
        found.append(Evaluation(dataset.split, logits, labels, dataset.class_names))
    return found


def variation_block(
    runs: Sequence[Run],
    *,
    validation: Sequence[Evaluation] | None,
    test: Sequence[Evaluation],
    test_images: ImageDataset,
    train_counts: Sequence[int],
    changes: dict[str, Any],
    published: dict[str, Any] | None,
    start_from: str | None,
    leaked: Sequence[int] | None,
    album: Album,
) -> dict[str, Any]:
    """Everything a report says of one variation.

    Args:
        runs: its runs in ascending order of seed.
        validation: the runs' evaluations on the validation images, or None without them.
        test: the runs' evaluations on the test images.
        test_images: where the pictures of mistakes come from.
        train_counts: of the training images of each class.
        changes: recipe keys that differ from the study's base, with their values.
        published: as of `beside_published.published_block`.
        start_from: the variation with whose weights its training began; None where with its own.
        leaked: rows of the test images that copy one that was learnt from; None where unknown.
        album: takes the pictures.
    """
    first = runs[0]
    return {
        "name": first.variation,
        "model": first.recipe.model,
        "parameters": first.parameters,
        "recipe": first.recipe.as_dict(),
        "changes": changes,
        "seeds": [run.seed for run in runs],
        "train_seconds": fmean(run.result["train_seconds"] for run in runs),
        "train_cpu_seconds": fmean(run.result["train_cpu_seconds"] for run in runs),
        "train_flop": fmean(run.result["train_flop"] for run in runs),
        "images_per_second": fmean(run.result["images_per_second"] for run in runs),
        "epochs_run": [run.result["epochs_run"] for run in runs],
        "validation": None if validation is None else _split_block(runs, validation),
        "test": _split_block(runs, test)
        | {"leaks": _leaks(test, leaked)}
        | _pictured(test[0], test_images, album),
        "published": published,
        "start_from": start_from,
        "runs": [
            _run_block(
                run, on_test, None if validation is None else validation[place], train_counts
            )
            for place, (run, on_test) in enumerate(zip(runs, test, strict=True))
        ],
    }


def _split_block(runs: Sequence[Run], found: Sequence[Evaluation]) -> dict[str, Any]:
    """Means over seeds, and the tables of the lowest seed."""
    of_seed = [one.overall() for one in found]
    means = {
        name: None if value is None else fmean(figures[name] or 0.0 for figures in of_seed)
        for name, value in of_seed[0].items()
    }
    interval = student([one.accuracy for one in found])
    shipped = found[0]
    return {
        "images": len(shipped.labels),
        **means,
        "one_view_accuracy": fmean(run.result["one_view_accuracy"][shipped.split] for run in runs),
        "seed_interval": None if interval is None else list(interval),
        "lowest_seed": runs[0].seed,
        "lowest_seed_accuracy": shipped.accuracy,
        "image_interval": list(shipped.image_interval),
        "per_class": shipped.per_class(),
        "confusion": shipped.matrix.tolist(),
    }


def _leaks(found: Sequence[Evaluation], leaked: Sequence[int] | None) -> dict[str, Any] | None:
    """Accuracy on the test images that have a copy among those learnt from, and on the others.

    Means over seeds; of the others also that of the lowest seed's run, with its 95% interval over
    images, which is what can be expected of the model that ships.
    """
    if leaked is None:
        return None
    among = np.zeros(len(found[0].labels), bool)
    among[list(leaked)] = True
    shipped = found[0].right[~among]
    return {
        "images": int(among.sum()),
        "accuracy": fmean(one.right[among].mean() for one in found) if among.any() else None,
        "accuracy_without": fmean(one.right[~among].mean() for one in found)
        if not among.all()
        else None,
        "lowest_seed_accuracy_without": float(shipped.mean()) if len(shipped) else None,
        "image_interval_without": list(wilson(int(shipped.sum()), len(shipped)))
        if len(shipped)
        else None,
    }


def _pictured(evaluation: Evaluation, images: ImageDataset, album: Album) -> dict[str, Any]:
    pairs = evaluation.confused_pairs(limit=PAIRS)
    for pair in pairs:
        rows = pair.pop("rows")
        pair["pictures"] = [album.place(images, row) for row in rows[:PICTURES_OF_A_PAIR]]
    galleries: dict[str, list[dict[str, Any]]] = {}
    for kind in GALLERIES:
        galleries[kind] = [
            answer | {"picture": album.place(images, answer["row"])}
            for answer in evaluation.gallery(kind, limit=GALLERY)
        ]
    return {"confused_pairs": pairs, "galleries": galleries}


def _run_block(
    run: Run, test: Evaluation, validation: Evaluation | None, train_counts: Sequence[int]
) -> dict[str, Any]:
    block = {
        "name": run.name,
        "identity": run.identity,
        "seed": run.seed,
        "test_accuracy": test.accuracy,
        "val_accuracy": None if validation is None else validation.accuracy,
        "one_view_accuracy": run.result["one_view_accuracy"],
        "train_seconds": run.result["train_seconds"],
        "train_cpu_seconds": run.result["train_cpu_seconds"],
        "train_flop": run.result["train_flop"],
        "images_per_second": run.result["images_per_second"],
        "epochs_run": run.result["epochs_run"],
        "best_epoch": run.result["best_epoch"],
        "stopped": run.result["stopped"],
        "test_openings": run.result["test_openings"],
        "history": [{key: _finite(value) for key, value in row.items()} for row in run.history],
    }
    guesses = validation is not None and only_guesses(
        block, run.recipe.as_dict(), validation.matrix.tolist(), train_counts
    )
    return {**block, "guesses": guesses}


def _finite(value: float | None) -> float | None:
    """JSON has no word for what a training that diverged reports as its loss."""
    return value if value is not None and math.isfinite(value) else None
