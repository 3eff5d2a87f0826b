"""Run: one training in a folder; `result.json` is written last and says that it is complete."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open

from tinyscope.errors import InputError, StorageError
from tinyscope.files import path_of, read_json, replacing, write_json, write_text
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.spelling import spelled

FORMAT = 1
"""Of the files in a run's folder; a larger one was written by a later version."""

Stopped = Literal["all epochs", "early stopping", "diverged"]
"""Why a training ended; "diverged": its loss was no number any more."""
ALL_EPOCHS: Stopped = "all epochs"
EARLY_STOPPING: Stopped = "early stopping"
DIVERGED: Stopped = "diverged"

HISTORY_COLUMNS = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
    "cpu_seconds",
    "images_per_second",
)
"""Of `history.csv`: learning_rate at the epoch's last step, losses in nats, accuracies as fractions
(training ones averaged over what the epoch's steps learnt from, augmented and with dropout;
train_loss with the recipe's label smoothing and class weights, val_loss without), seconds of
training alone, the first epoch's with the network's preparation, by the clock on the wall and by
the processor's, which adds up the threads."""


_ADDED_COLUMN = "cpu_seconds"
"""Of the columns, the one that histories by the first versions lack."""

RESULT_KEYS = (
    "epochs_run",
    "best_epoch",
    "stopped",
    "val_accuracy",
    "one_view_accuracy",
    "train_seconds",
    "train_cpu_seconds",
    "train_flop",
    "images_per_second",
    "test_openings",
)
"""Of `result.json`, beside its format; val_accuracy is that of the weights that are kept, with the
recipe's test views; one_view_accuracy, by split, that of a single look at each image; train_flop
the whole training's, by the formula of `training.cost`."""


_FIGURES = ("epochs_run", "train_seconds", "train_cpu_seconds", "train_flop", "images_per_second")
"""Of `RESULT_KEYS`, those that are numbers in every run."""

_MACHINE = ("cpu", "cores", "threads", "precision")
"""Of a finished run's environment, what its seconds mean nothing without."""


class Predictions(NamedTuple):
    """What a run answered for the images of one split, in the split's order."""

    logits: np.ndarray
    """float32 (N, K)"""
    labels: np.ndarray
    """int64 (N,)"""


@dataclass(frozen=True)
class Run:
    """One training of one recipe with one seed on one data set, as its folder holds it."""

    folder: Path
    variation: str
    seed: int
    recipe: Recipe
    identity: str
    """Eight hexadecimal digits of recipe, shapes of the weights, data and seed together."""
    data: Mapping[str, Any]
    """name, fingerprint, class_names, preprocessing."""
    environment: Mapping[str, Any]
    parameters: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether its result is complete."""
        return (self.folder / "result.json").exists()

    def check_complete(self, splits: Iterable[str]) -> None:
        """Refuses a finished run of which a file has gone, or was damaged, since.

        Args:
            splits: those that it has to have answered for.

        Raises:
            StorageError: a file is missing or damaged, its result or its environment lacks a key.
        """
        answers = [f"predictions-{split}.npz" for split in splits]
        needed = ["history.csv", "weights.safetensors", "model.json", *answers]
        missing = [name for name in needed if not (self.folder / name).exists()]
        missing += [f"{key} in result.json" for key in RESULT_KEYS if key not in self.result]
        missing += [f"{key} in run.json" for key in _MACHINE if key not in self.environment]
        if missing:
            raise StorageError(
                f"{self.folder} is finished but lacks {missing[0]}. Remove it to train this run "
                "again."
            )
        for key in _FIGURES:
            if not is_number(self.result[key]):
                raise self._damaged("result.json", f"{key} is {spelled(self.result[key])}")
        try:
            # The header states the file's size: one that a full disk has cut does not pass.
            with safe_open(self.folder / "weights.safetensors", framework="np"):
                pass
        except (OSError, SafetensorError) as error:
            raise self._damaged("weights.safetensors", error) from None
        try:
            read_json(self.folder / "model.json")
        except StorageError as error:
            raise StorageError(f"{error} Remove {self.folder} to train this run again.") from None

    def _damaged(self, name: str, why: object) -> StorageError:
        return StorageError(
            f"{self.folder / name} is damaged: {why}. Remove {self.folder} to train this run again."
        )

    @cached_property
    def result(self) -> dict[str, Any]:
        """Figures by `RESULT_KEYS`.

        Raises:
            StorageError: the run is not finished, or the file cannot be read.
        """
        return read_json(self.folder / "result.json")

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row for each epoch so far, by `HISTORY_COLUMNS`; None where nothing was measured.

        The first versions measured no `cpu_seconds`.

        Raises:
            StorageError: the file cannot be read, or a row of it is none of these.
        """
        try:
            text = (self.folder / "history.csv").read_text(encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{self.folder}: history.csv cannot be read: {error}.") from None
        except ValueError as error:
            raise self._damaged("history.csv", error) from None
        rows = csv.DictReader(StringIO(text))
        there = rows.fieldnames or ()
        missing = [name for name in HISTORY_COLUMNS if name not in there]
        if missing and missing != [_ADDED_COLUMN]:
            raise self._damaged("history.csv", f"it lacks the column {missing[0]}")
        try:
            return [
                dict.fromkeys(missing)
                | {key: _number(row[key], whole=key == "epoch") for key in there}
                for row in rows
            ]
        except (TypeError, ValueError, csv.Error):  # a row that was cut has no text in some columns
            raise self._damaged("history.csv", f"line {rows.line_num} is no row of numbers") from (
                None
            )

    def predictions(self, split: str) -> Predictions | None:
        """What it answered for "validation" or "test", or None where there is no such split.

        Raises:
            StorageError: the file is damaged, or an answer in it is no number.
        """
        path = self.folder / f"predictions-{split}.npz"
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = Predictions(stored["logits"], stored["labels"])
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            raise StorageError(
                f"{path} is damaged. Remove {self.folder} to train this run again."
            ) from None
        if not np.isfinite(found.logits).all():  # no run writes such: of those that diverge, the
            raise self._damaged(path.name, "an answer is no number")  # weights before are kept
        return found

    def write_start(self) -> None:
        """Writes `run.json`: everything that is known before the training."""
        content = {
            "format": FORMAT,
            "variation": self.variation,
            "seed": self.seed,
            "identity": self.identity,
            "parameters": self.parameters,
            "recipe": self.recipe.as_dict(),
            "data": dict(self.data),
            "environment": dict(self.environment),
        }
        write_json(self.folder / "run.json", content)

    def write_history(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes `history.csv` anew."""
        text = StringIO()
        writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.folder / "history.csv", text.getvalue())

    def add_epoch(self, row: Mapping[str, Any]) -> None:
        """Writes `history.csv` with one more row; later ones, of before an interruption, go."""
        known = self.history if (self.folder / "history.csv").exists() else []
        self.write_history([*(each for each in known if each["epoch"] < row["epoch"]), row])

    def write_predictions(self, split: str, predictions: Predictions) -> None:
        """Writes the answers for one split."""
        with replacing(self.folder / f"predictions-{split}.npz") as file:
            np.savez(file, **predictions._asdict())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes `result.json`, after which the run is finished."""
        write_json(self.folder / "result.json", {"format": FORMAT, **result})

    def open_test_split(self, images: int, purpose: str) -> dict[str, Any]:
        """Records that the test split is about to be read; every opening stays on record.

        Returns:
            All openings so far, as `test-openings.json` holds them.
        """
        path = self.folder / "test-openings.json"
        openings = read_json(path).get("openings") if path.exists() else []
        if not isinstance(openings, list):
            raise self._damaged(path.name, "it holds no list of openings")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        openings.append({"time": now, "images": images, "purpose": purpose})
        write_json(path, {"openings": openings})
        return {"test_openings": openings}


def read_run(folder: str | Path) -> Run:
    """The run in a folder, finished or not.

    Raises:
        StorageError: the folder holds no run, or one that another version has written and this one
            cannot read.
    """
    folder = path_of(folder)
    content = read_json(folder / "run.json")
    version = content.get("format", 0)
    if not isinstance(version, int):
        raise StorageError(
            f"{folder / 'run.json'} is not a run's: format = {spelled(version)} is not a whole "
            "number."
        )
    if version > FORMAT:
        raise StorageError(
            f"{folder} was written by a later version of Tinyscope (format {version}; this one "
            f'reads up to {FORMAT}). Update with "pip install -U tinyscope", or choose '
            "another folder with --out."
        )
    for key in ("data", "environment"):
        if not isinstance(content.get(key, {}), dict):
            raise StorageError(f"{folder / 'run.json'} is not a run's: {key} is no table.")
    try:
        return Run(
            folder=folder,
            variation=content["variation"],
            seed=content["seed"],
            recipe=Recipe().changed(content["recipe"]),
            identity=content["identity"],
            data=content["data"],
            environment=content["environment"],
            parameters=content["parameters"],
        )
    except (KeyError, TypeError) as error:
        raise StorageError(f"{folder / 'run.json'} is not a run's: {error!r}.") from None
    except InputError as error:  # its recipe asks for what this version does not have
        raise StorageError(
            f"{folder / 'run.json'} cannot be used, perhaps because another version of Tinyscope "
            f"wrote it: {error}"
        ) from None


def is_number(value: object) -> bool:
    """Whether a value of a JSON file is one; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(text: str, *, whole: bool) -> float | int | None:
    if text == "":
        return None
    return int(text) if whole else float(text)
