"""A folder of parquet shards as the Hugging Face hub stores image data sets.

Shards are called `train-00000-of-00003.parquet`, `validation-…`, `test-…` and lie in the folder,
or in its one sub-folder that has any (`data/`, or the name of a configuration). The image column is
a struct with `bytes`, or binary; the labels are integers or strings. Class names are kept in the
order of the hub's own metadata (its class indices stay true); where there are none, they are the
labels of the training shards, sorted as strings.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyscope.data.dataset import Preprocessing, Splits
from tinyscope.data.decoded_cache import decode_found, measure_all
from tinyscope.data.encoded import Encoded, Found, class_faults, usual_side
from tinyscope.data.file_tree import files_below, printable
from tinyscope.errors import DataError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "labels", "fine_label")
_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_LARGEST_KEPT = 96  # pixels of the longer side, up to which images of one size keep it
_BATCH_BYTES = 16 << 20  # of encoded images in memory at once


def shards_in(folder: Path) -> list[Path]:
    """The parquet files of a folder or of its sub-folders, sorted; empty where it has none.

    Of its sub-folders where it has none itself, or none whose name tells a split and they do.
    Hidden ones, such as the `._train.parquet` that some systems leave beside a file, are passed
    over.
    """
    beside, below = (
        sorted(path for path in folder.glob(pattern) if not _is_hidden(path.relative_to(folder)))
        for pattern in ("*.parquet", "*/*.parquet")
    )
    if not beside or (any(map(_named, below)) and not any(map(_named, beside))):
        return below
    return beside


def holds_shards(folder: Path) -> bool:
    """Whether a folder is to be read as shards: a table may lie beside the images of a folder, too.

    It is where the name of a parquet file tells a split, or where there is no image file.
    """
    paths = shards_in(folder)
    return any(map(_named, paths)) or bool(paths and not files_below(folder, "", []))


def load(folder: Path, *, size: int | None = None, trainable: bool = True) -> Splits:
    """The images of a folder of shards as RGB arrays, decoded once and then read from the cache.

    Args:
        folder: as `shards_in` finds the shards.
        size: the side of the images; None for their own where all training images share one of at
            most 96 pixels, else 64 or 32 as for a folder of images.
        trainable: whether a single class, and classes with too few images, are refused.

    Returns:
        The splits that have shards. Rows whose image cannot be decoded are in `left_out`.

    Raises:
        DataError: no shards to train on, a shard that is missing, damaged, or lacks a column; a
            label that is missing or is no class; one class, or a class with too few images.
    """
    there = found(folder, trainable=trainable)

    def choose() -> Preprocessing:
        if size:
            return Preprocessing(size, size, 3)
        sizes = measure_all(there.parts[0].sources())
        if len(set(sizes)) == 1 and max(sizes[0]) <= _LARGEST_KEPT:
            return Preprocessing(sizes[0][1], sizes[0][0], 3)
        side = usual_side(sizes)
        return Preprocessing(side, side, 3)

    datasets = decode_found(there, origin=folder, size=size, choose=choose, trainable=trainable)
    return Splits(printable(folder.resolve().name), **{data.split: data for data in datasets})


def found(folder: Path, *, trainable: bool = True) -> Found:
    """The images of a folder of shards, none of them read.

    Raises:
        DataError: as `load`, all but what only decoding can tell.
    """
    source = f"{printable(folder.resolve().name)}/"
    shards = {split: [_open(p) for p in paths] for split, paths in _by_split(folder).items()}
    raw = {split: [_labels(shard) for shard in opened] for split, opened in shards.items()}
    classes = _classes(shards["train"], raw["train"])
    parts = []
    for split, opened in shards.items():
        labels = [_numbers(*pair, classes) for pair in zip(opened, raw[split], strict=True)]
        files = tuple(f"{printable(s.path.name)}[{row}]" for s in opened for row in range(s.rows))
        if not files:
            raise DataError(f"{source}: the {split} shards have no rows.")
        parts.append(Encoded(split, files, np.concatenate(labels), _Images(opened)))
    faults = class_faults(classes.names, {part.split: part.labels for part in parts})
    if faults and trainable:
        raise DataError(f"{source}: {'; '.join(faults)}.")
    paths = [shard.path for opened in shards.values() for shard in opened]
    return Found(source, classes.names, parts, {split: [] for split in shards}, lambda: paths)


class _Shard(NamedTuple):
    """A parquet file whose columns have been found."""

    path: Path
    rows: int
    image_column: str
    label_column: str
    batch_rows: int
    class_names: tuple[str, ...]
    """Of the hub's description; empty where the file has none."""


class _Classes(NamedTuple):
    """K class names, and the index of each label as the column holds it."""

    names: tuple[str, ...]
    number: dict[int | str, int]


class _Images:
    """The encoded images of some shards, in order, at each call."""

    def __init__(self, shards: list[_Shard]) -> None:
        self._shards = shards

    def __call__(self) -> Iterator[bytes]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        for shard in self._shards:
            try:
                with pq.ParquetFile(shard.path, buffer_size=1 << 20) as file:
                    batches = file.iter_batches(shard.batch_rows, columns=[shard.image_column])
                    for batch in batches:
                        images = batch.column(0)
                        if pa.types.is_struct(images.type):
                            images = pc.struct_field(images, "bytes")
                        for image in images:
                            yield image.as_py() or b""
            except (pa.ArrowException, OSError) as error:
                raise _damaged(shard.path, error) from None


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _named(path: Path) -> re.Match[str] | None:
    """The split that a shard's name tells, and of how many shards; None where it tells none."""
    named = re.match(r"([a-z]+)(?:-\d+-of-(\d+))?\b", path.name)
    return named if named and named[1] in _SPLITS else None


def _by_split(folder: Path) -> dict[str, list[Path]]:
    """The shards of each split that has any, "train" first."""
    paths = shards_in(folder)
    places = sorted({path.parent for path in paths})
    if len(places) > 1:
        names = ", ".join(f"{place.name}/" for place in places)
        raise DataError(f"{folder.name}/: shards in {names}. Give the path of one of them.")
    found: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for path in paths:
        named = _named(path)
        if not named:
            raise DataError(
                f"{path}: the name tells no split. Expected train-00000-of-00001.parquet, "
                "validation-… or test-…."
            )
        found[_SPLITS[named[1]]].append(path)
        if named[2]:
            of_split = re.compile(rf"{named[1]}-\d+-of-{named[2]}\b")
            there = sum(bool(of_split.match(each.name)) for each in paths)
            if there != int(named[2]):
                raise DataError(f"{path}: {there} of the {int(named[2])} {named[1]} shards found.")
    if not found["train"]:
        raise DataError(f"{folder.name}/: no shards called train-….parquet among {len(paths)}.")
    return {split: paths for split, paths in found.items() if paths}


def _open(path: Path) -> _Shard:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None
    columns = []
    for kind, names in (("image", _IMAGE_COLUMNS), ("label", _LABEL_COLUMNS)):
        column = next((name for name in names if name in schema.names), None)
        if column is None:
            raise DataError(
                f"{path}: no {kind} column. Found {', '.join(schema.names)}; "
                f"expected {' or '.join(names)}."
            )
        if schema.names.count(column) > 1:
            raise DataError(f"{path}: two columns are called {column}. Rename or remove one.")
        columns.append(column)
    kind = schema.field(columns[0]).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(
            f"{path}: column {columns[0]} is {kind}; expected binary, or a struct with bytes."
        )
    stored = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    batch_rows = max(1, min(1024, _BATCH_BYTES * metadata.num_rows // max(stored, 1)))
    class_names = _names(path, (schema.metadata or {}).get(b"huggingface", b"{}"), columns[1])
    return _Shard(path, metadata.num_rows, columns[0], columns[1], batch_rows, class_names)


def _names(path: Path, described: bytes, column: str) -> tuple[str, ...]:
    """The class names of the hub's description of a column; empty where it has none.

    Raises:
        DataError: the description is damaged, or its names are no list of different texts.
    """
    try:
        level = json.loads(described)
    except ValueError:
        raise DataError(f"{path}: its huggingface metadata are damaged.") from None
    keys = "info", "features", column, "names"
    for key in keys:
        if not isinstance(level, dict):
            raise DataError(
                f"{path}: its huggingface metadata are damaged: found {_shortly(level)} where a "
                f'table with "{key}" was expected.'
            )
        if key not in level:
            return ()
        level = level[key]
    if not isinstance(level, list) or not all(isinstance(name, str) for name in level):
        raise DataError(
            f"{path}: its huggingface metadata name the classes of {column} by {_shortly(level)}; "
            'expected a list of texts, such as ["cat", "dog"].'
        )
    for name in level:
        if printable(name) != name or level.count(name) > 1:
            fault = "twice" if printable(name) == name else "which is no Unicode"
            raise DataError(
                f"{path}: its huggingface metadata name the class {name!a}, {fault}; expected "
                "different texts."
            )
    return tuple(level)


def _shortly(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _labels(shard: _Shard) -> list[int | str]:
    """The labels of a shard as they stand there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard.path) as file:
            column = file.read(columns=[shard.label_column]).column(0)
            labels: list[int | str] = column.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(shard.path, error) from None
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    ):
        raise DataError(
            f"{shard.path}: column {shard.label_column} is {kind}; expected integers or strings."
        )
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{shard.path}[{row}]: no {shard.label_column}.")
    if -1 in labels and not shard.class_names:  # where there are names, it is none of the classes
        raise DataError(
            f"{shard.path}[{labels.index(-1)}]: {shard.label_column} -1, by which the hub means "
            'that there is none. Remove such rows; if it is a class, store labels as texts: "-1".'
        )
    return labels


def _classes(shards: list[_Shard], labels: list[list[int | str]]) -> _Classes:
    """The hub's classes where the metadata name them, else the distinct labels as strings."""
    named = shards[0].class_names
    if named:
        return _Classes(named, {number: number for number in range(len(named))})
    distinct = {label for shard in labels for label in shard}
    in_order = tuple(sorted(str(label) for label in distinct))
    return _Classes(in_order, {label: in_order.index(str(label)) for label in distinct})


def _numbers(shard: _Shard, labels: list[int | str], classes: _Classes) -> np.ndarray:
    """int64 (N,): the index of each row's class."""
    if shard.class_names and shard.class_names != classes.names:
        raise DataError(f"{shard.path}: its class names are not those of the first train shard.")
    try:
        return np.array([classes.number[label] for label in labels], np.int64)
    except KeyError as unknown:
        row = labels.index(unknown.args[0])
        raise DataError(
            f"{shard.path}[{row}]: {shard.label_column} {labels[row]!r} is none of the "
            f"{len(classes.names)} classes of the training shards."
        ) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: damaged, or no parquet file ({' '.join(str(error).split())}).")
