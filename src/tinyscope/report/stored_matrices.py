"""Confusion matrices as a study's summary.json holds them: those of many classes without zeros.

Two thousand classes are four million cells, of which a test split of ten thousand images fills ten
thousand at most; written out, they take 36 MB. In the file such a matrix is

    {"classes": 2000, "rows": ["0:9 17:1", "", ...]}

a text for each true class, with predicted classes and their images. In memory it is always whole.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

WHOLE = 100
"""Classes up to which a matrix is written out."""


def shortened(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary as it is written to a file; `restored` brings its matrices back.

    Args:
        summary: as of `summary.summarise`.
    """
    return _with_matrices(summary, lambda matrix: _short(matrix) if len(matrix) > WHOLE else matrix)


def restored(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The summary with whole matrices, whether it was written to a file or just made.

    Raises:
        ValueError, IndexError: the file was edited.
    """
    return _with_matrices(summary, _whole)


def _with_matrices(summary: Mapping[str, Any], form: Callable[[Any], Any]) -> dict[str, Any]:
    variations = []
    for one in summary["variations"]:
        parts = {key: one.get(key) for key in ("validation", "test", "published")}
        given = {
            key: {**part, "confusion": form(part["confusion"])}
            for key, part in parts.items()
            if part and "confusion" in part
        }
        variations.append({**one, **given})
    return {**summary, "variations": variations}


def _short(matrix: Sequence[Sequence[int]]) -> dict[str, Any]:
    rows = [" ".join(f"{k}:{images}" for k, images in enumerate(row) if images) for row in matrix]
    return {"classes": len(matrix), "rows": rows}


def _whole(stored: Sequence[Sequence[int]] | Mapping[str, Any]) -> Sequence[Sequence[int]]:
    if not isinstance(stored, Mapping):
        return stored
    matrix = [[0] * stored["classes"] for _ in stored["rows"]]
    for row, text in zip(matrix, stored["rows"], strict=True):
        for cell in text.split():
            called, _, images = cell.partition(":")
            row[int(called)] = int(images)
    return matrix
