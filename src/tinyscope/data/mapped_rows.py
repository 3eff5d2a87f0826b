"""Rows of a memory-mapped array as an array of their own that is read piece by piece."""

from typing import Any, cast

import numpy as np


class MappedRows:
    """Some rows of an array on disk, in any order, as an array that is read piece by piece.

    Stands where a numpy array of the same shape would stand: whoever takes rows of it, by a number,
    a slice or an array, gets a numpy array of its own in memory. `np.asarray` reads everything.

    Args:
        base: (M, ...), memory-mapped.
        rows: int (N,), in 0 … M-1; a row may stand more than once.

    Attributes:
        base: as given.
        rows: int64 (N,).
        shape: (N, ...).
        dtype: of `base`.
        ndim: axes of `base`.
        nbytes: bytes of all rows, were they in memory.
    """

    def __init__(self, base: np.ndarray, rows: np.ndarray) -> None:
        self.base = base
        self.rows = np.asarray(rows, np.int64)
        self.shape = (len(self.rows), *base.shape[1:])
        self.dtype = base.dtype
        self.ndim = base.ndim
        self.nbytes = int(np.prod(self.shape)) * base.itemsize

    def __repr__(self) -> str:
        return f"MappedRows({self.dtype} {self.shape} of {self.base.shape})"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        """The rows that a number, a slice, or an array of numbers or of truths chooses.

        Further indices choose within each row, as in numpy; they are numbers, slices or "...".

        Raises:
            IndexError: there is no such row, or too many indices are given.
            TypeError: an index of another kind.
        """
        first, *within = index if isinstance(index, tuple) else (index,)
        if first is None or first is Ellipsis or not all(map(_is_plain, within)):
            raise TypeError(
                f"[{index!r}]: of rows on disk, the first index says which ones; those after it "
                "are numbers, slices or '...'."
            )
        chosen = self.rows[first]
        if np.ndim(chosen) == 0:
            return np.array(self.base[chosen][tuple(within)])
        piece = self.base[chosen]
        return piece[(slice(None), *within)] if within else piece

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows in memory; numpy asks for this.

        Raises:
            ValueError: `copy` is False.
        """
        if copy is False:
            raise ValueError("Rows on disk cannot become an array without being copied.")
        return self.base[self.rows].astype(dtype or self.dtype, copy=False)


def is_mapped(array: Any) -> bool:
    """Whether values lie on disk: a memory-mapped array, a piece of one, or `MappedRows`."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap | MappedRows)


def taken(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows of an array: copied where it lies in memory, and left on the disk where it does not.

    Args:
        images: an array, or `MappedRows`.
        rows: int (n,), or bool (N,).

    Returns:
        (n, ...); `MappedRows` of a memory-mapped array. It is typed as an array because it may
        stand for one wherever images are read in pieces.
    """
    if not is_mapped(images):
        return images[rows]
    every = images.rows if isinstance(images, MappedRows) else np.arange(len(images))
    base = images.base if isinstance(images, MappedRows) else images
    return cast(np.ndarray, MappedRows(base, every[rows]))


def _is_plain(index: Any) -> bool:
    return index is Ellipsis or isinstance(index, int | np.integer | slice)
