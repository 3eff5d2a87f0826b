"""Photos inside zip files and parquet files, read one after another.

Nothing is unpacked to the disk: names that lead out of a folder can do no harm. Whatever a zip file
claims, at most `MOST_BYTES` of one photo are unpacked in memory.
"""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tinyscope.data.file_tree import is_apart, is_clutter

MOST_BYTES = 256 << 20
"""Of a single photo; as many as an uncompressed one of `decoding.PIXEL_LIMIT` pixels has."""

_IMAGE_COLUMNS = ("img", "image")
_BATCH_BYTES = 16 << 20  # of encoded images in memory at once, as far as the file's own pages allow
_BATCH_ROWS = 1024


class Packed(NamedTuple):
    """A photo in a file of photos."""

    file: Path
    """The file that it is in."""
    path: str
    """Its own name there; empty where it has none."""
    row: int | None
    """Of a parquet file, from 0; None in a zip file, and for a file that cannot be read at all."""
    number: int
    """From 0, counted over all files."""
    content: bytes
    """Of its file; empty where there is a fault."""
    fault: str
    """Why it cannot be read, as a phrase, or empty."""


def in_zip(path: Path, *, order: Callable[[str], Any]) -> Iterator[Packed]:
    """The photos in a zip file; a damaged or encrypted one has a fault, as has a damaged file.

    Hidden members, texts and tables are no photos, as in folders (`file_tree.is_clutter`).

    Args:
        path: the zip file.
        order: what the members' names are sorted by.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            members = [
                member
                for member in packed.infolist()
                if not member.is_dir() and not _clutter(member.filename)
            ]
            members.sort(key=lambda member: order(member.filename))
            for number, member in enumerate(members):
                content, fault = _member(packed, member)
                yield Packed(path, member.filename, None, number, content, fault)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        yield Packed(path, "", None, 0, b"", f"damaged, or no zip file ({_told(error)})")


def _clutter(name: str) -> bool:
    """Whether a member, or a folder that it lies in, is not meant as an image."""
    *folders, file = PurePosixPath(name).parts or (".",)
    return is_clutter(file) or any(is_apart(each) for each in folders if each != "..")


def _member(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[bytes, str]:
    """Its content, or why there is none."""
    if member.file_size > MOST_BYTES:
        return b"", f"{member.file_size:,} bytes, more than the limit of {MOST_BYTES:,}"
    if member.flag_bits & 0x1:
        return b"", "encrypted"
    try:
        with packed.open(member) as file:
            return file.read(MOST_BYTES), ""  # no more than its header states is ever read
    except Exception as error:  # of zlib, lzma, bz2 and zipfile: each has its own
        return b"", f"damaged in its zip file ({_told(error)})"


def in_parquet(shards: Sequence[Path]) -> Iterator[Packed]:
    """The photos in parquet files as the Hugging Face hub stores them, row by row.

    The column is called "img" or "image"; it is binary, or a struct with "bytes" and mostly "path".
    A row without bytes has a fault, and so has a file that cannot be read or lacks the column.
    """
    import pyarrow as pa

    number = 0
    for shard in shards:
        try:
            for packed in _rows(shard, number):
                yield packed
                number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            fault = f"damaged, or no parquet file ({_told(error)})"
            yield Packed(shard, "", None, number, b"", fault)


def _rows(shard: Path, first: int) -> Iterator[Packed]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard, buffer_size=1 << 20) as file:
        schema, metadata = file.schema_arrow, file.metadata
        column = next((name for name in _IMAGE_COLUMNS if name in schema.names), None)
        fault = _column_fault(schema, column)
        if fault:
            yield Packed(shard, "", None, first, b"", fault)
            return
        stored = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(stored, 1)))
        row = 0
        for batch in file.iter_batches(rows, columns=[column]):
            for value in batch.column(0):
                held = value.as_py()
                content, path = held, ""
                if isinstance(held, dict):
                    content, path = held["bytes"], str(held.get("path") or "")
                missing = "" if content else "no bytes in its row"
                yield Packed(shard, path, row, first + row, content or b"", missing)
                row += 1


def _column_fault(schema: Any, column: str | None) -> str:
    import pyarrow as pa

    if column is None:
        return f"no column of images: found {', '.join(schema.names)}; expected img or image"
    if schema.names.count(column) > 1:
        return f"two columns are called {column}; expected one"
    kind = schema.field(column).type
    if pa.types.is_struct(kind):
        kind = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else kind
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return ""
    return f"column {column} is {kind}; expected binary, or a struct with bytes"


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
