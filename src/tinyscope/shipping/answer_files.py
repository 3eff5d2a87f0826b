"""What a model answers for many photos, one by one, and the files that it can be written to.

A csv or parquet file has a row for every photo: file, class, probability, `probability_CLASS` for
each class in the model's order, and error, which says why a photo could not be read; its other
cells are empty then. Probabilities are the model's own, in 0 … 1. These tables are for programs,
which look files up by their names: names stand in them unchanged, one that begins with "=" as well.
A spreadsheet may take that for a formula; whoever opens a csv file of photos from strangers in one
should import its columns as text.

A Kaggle file has an id and a label for every photo, and nothing else: there is no row for "could
not be read", and a label that no model gave would be made up. So where a single photo fails it is
not written, and what lay there before is kept; csv and parquet files are written all the same.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from tinyscope.data.file_tree import printable
from tinyscope.errors import InputError
from tinyscope.files import replacing
from tinyscope.runs.kept_files import is_kept
from tinyscope.shipping.classifier import Classifier, Prediction
from tinyscope.shipping.photos import Photo

KAGGLE_COLUMNS = ("id", "label")

_GROUP = 128  # photos read and answered at once
_GROUP_BYTES = 128 << 20  # of zip and parquet photos among them
_PARQUET_ROWS = 4096


class Answer(NamedTuple):
    """A photo and what the model says of it."""

    photo: Photo
    prediction: Prediction
    """Under the photo's name."""


def answers(classifier: Classifier, photos: Iterable[Photo], *, top: int) -> Iterator[Answer]:
    """What a classifier answers for photos, in their order, while they are being read.

    Args:
        classifier: see `load_classifier`.
        photos: any number; a hundred at a time are in memory.
        top: classes to name, at most.
    """
    for group in _groups(photos):
        found = classifier.predict_each([one.source for one in group if not one.fault], top=top)
        for photo in group:
            if photo.fault:
                yield Answer(photo, Prediction(photo.name, error=photo.fault))
            else:
                answered = next(found)
                yield Answer(photo, Prediction(photo.name, answered.top, answered.error))


def _groups(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    group: list[Photo] = []
    held = 0
    for photo in photos:
        group.append(photo)
        held += len(photo.source) if isinstance(photo.source, bytes) else 0
        if len(group) == _GROUP or held >= _GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


class AnswerFiles:
    """Files that take answers one by one, and are there, whole, once the block around them ends.

    Use as a context. Where it ends with an error, every file is as it was before.

    Args:
        class_names: K names, in the model's order.
        csv: where to write a table as text, if anywhere.
        parquet: where to write the same table as parquet.
        kaggle: where to write ids and labels.
        kaggle_columns: the two headings of that file.

    Raises:
        InputError: two of the files are one, one is a folder, keeps a study, run or model, or is
            among the photos, whose place it would take; two photos have the same id for Kaggle.
        StorageError: a file cannot be written.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        csv: Path | None = None,
        parquet: Path | None = None,
        kaggle: Path | None = None,
        kaggle_columns: tuple[str, str] = KAGGLE_COLUMNS,
    ) -> None:
        self.class_names = tuple(class_names)
        self.paths = [path for path in (csv, parquet, kaggle) if path is not None]
        """Of the files that were asked for; once the block has ended, of those written."""
        self.not_written = ""
        """Why there is no Kaggle file, once the block has ended; empty where nothing is missing."""
        _check(self.paths)
        self._places = {_place(path): path for path in self.paths}
        self._csv_path, self._parquet_path, self._kaggle = csv, parquet, kaggle
        self._kaggle_columns = kaggle_columns
        self._kept = ExitStack()
        self._tables: list[_CsvTable | _ParquetTable] = []
        self._labels: dict[str, tuple[str, str]] = {}  # by id: the photo's name and its class
        self._failed: list[Prediction] = []
        self._count = 0

    def __enter__(self) -> "AnswerFiles":
        """Opens what is written while answers come."""
        with ExitStack() as kept:
            if self._csv_path is not None:
                file = kept.enter_context(replacing(self._csv_path))
                self._tables.append(kept.enter_context(_CsvTable(file, self.class_names)))
            if self._parquet_path is not None:
                file = kept.enter_context(replacing(self._parquet_path))
                self._tables.append(kept.enter_context(_ParquetTable(file, self.class_names)))
            if self._kaggle is not None:  # before any photo is answered: it may not be writable
                kept.enter_context(self._kaggle_file(self._kaggle))
            self._kept = kept.pop_all()
        return self

    def add(self, answer: Answer) -> None:
        """Takes an answer; its prediction has to name every class."""
        photo, prediction = answer
        if photo.file is not None and (replaced := self._places.get(_place(photo.file))):
            raise InputError(
                f"{replaced} is read as images; what is written would replace them. Give it "
                "another name."
            )
        self._count += 1
        if prediction.error is not None:
            self._failed.append(prediction)
        for table in self._tables:
            table.add(prediction)
        if self._kaggle is not None:
            key, name = printable(photo.id), printable(photo.name)
            if key in self._labels:
                raise InputError(
                    f"{self._labels[key][0]} and {name} would both have the id {key} in "
                    f"{self._kaggle}. Give only the images of one set, without copies in other "
                    "formats."
                )
            self._labels[key] = (name, prediction.class_name or "")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Puts the files into their places, or leaves everything as it was."""
        self._kept.__exit__(kind, error, trace)

    @contextmanager
    def _kaggle_file(self, path: Path) -> Iterator[None]:
        """The Kaggle file, which is written at the end if every photo has an answer by then."""
        with suppress(_Unanswered), replacing(path) as file:
            yield
            if self._failed:
                first = self._failed[0]
                self.not_written = (
                    f"{path} was not written: {len(self._failed):,} of {self._count:,} images have "
                    f"no answer ({printable(first.file)}: {first.error}), and there every id "
                    "needs a label."
                )
                self.paths.remove(path)
                raise _Unanswered
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(self._kaggle_columns)
            writer.writerows((key, label) for key, (_, label) in self._labels.items())
            file.write(text.getvalue().encode())


class _Unanswered(Exception):
    """Leaves what lay in the place of a Kaggle file as it was."""


def _check(paths: Sequence[Path]) -> None:
    for path in paths:
        if os.path.isdir(path):
            raise InputError(f"{path} is a folder; expected the name of a file to write.")
        if is_kept(path):
            raise InputError(
                f"{path} keeps a part of a study or model; what is written would replace it. Give "
                "it another name."
            )
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"Two kinds of files would have the same name {paths[-1]}.")


def _place(path: Path) -> tuple[int, int] | str:
    """The same for every name of a file, those with other links or other letter case included."""
    try:
        state = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return state.st_dev, state.st_ino


class _CsvTable:
    """Rows as text; use as a context within that of the file."""

    def __init__(self, file: IO[bytes], class_names: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._classes = class_names
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(_columns(class_names))

    def __enter__(self) -> "_CsvTable":
        return self

    def add(self, prediction: Prediction) -> None:
        self._writer.writerow(_cells(prediction, self._classes))

    def __exit__(self, *error: object) -> None:
        self._text.detach()


class _ParquetTable:
    """Rows as parquet, written some thousand at a time; use as a context within the file's."""

    def __init__(self, file: IO[bytes], class_names: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = ("file", "class", "error")
        self._schema = pa.schema(
            [
                (name, pa.string() if name in texts else pa.float64())
                for name in _columns(class_names)
            ]
        )
        self._classes = class_names
        self._writer = pq.ParquetWriter(file, self._schema)
        self._rows: list[list[Any]] = []

    def __enter__(self) -> "_ParquetTable":
        return self

    def add(self, prediction: Prediction) -> None:
        self._rows.append(_cells(prediction, self._classes))
        if len(self._rows) == _PARQUET_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = zip(*self._rows, strict=True)
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._rows = []

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None and self._rows:
            self._flush()
        self._writer.close()


def _columns(class_names: Sequence[str]) -> list[str]:
    shares = [f"probability_{name}" for name in class_names]
    return ["file", "class", "probability", *shares, "error"]


def _cells(prediction: Prediction, class_names: Sequence[str]) -> list[Any]:
    shares = dict(prediction.top)
    error = None if prediction.error is None else printable(prediction.error)
    return [
        printable(prediction.file),
        prediction.class_name,
        prediction.probability,
        *(shares.get(name) for name in class_names),
        error,
    ]
