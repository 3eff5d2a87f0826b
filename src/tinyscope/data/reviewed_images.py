"""The images of a split, found again after a review by their names and their pixels."""

import hashlib
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from tinyscope.data.dataset import ImageDataset

_MARK = "px-"  # or spreadsheets take digests for numbers, as of 123456789012 and 12345678e901


class ReviewedImages:
    """The images of a split, and which of them a row of a review file is about.

    Attributes:
        part: the images.
        size: of every image, "32x32": width and height.
    """

    def __init__(self, part: ImageDataset) -> None:
        self.part = part
        height, width = part.images.shape[1:3]
        self.size = f"{width}x{height}"

    def known_by(self, row: int) -> dict[str, str]:
        """What a review file keeps of an image's pixels: a digest, how many have it, the size.

        Under the names of its columns; the digest is 12 hexadecimal digits with a mark before them.
        """
        digest = self._digest(row)
        alike = len(self._by_pixels[digest])
        return {"pixels": _MARK + digest, "alike": str(alike), "size": self.size}

    def named(self, row: Mapping[str, str]) -> int | None:
        """Where the image of a row's file is, or of its number where there are no names.

        None where there is none.
        """
        if self.part.files and row.get("file"):
            return self._by_name.get(row["file"])
        number = row["row"].strip()
        return int(number) if number.isdecimal() and int(number) < len(self.part) else None

    def place(self, row: Mapping[str, str]) -> int | None:
        """Where the image that was reviewed is now; None where its file is gone.

        By its name and pixels; by its pixels alone where it was the only image with them and there
        is one with them now. Of copies one may have been deleted meanwhile, and what is left is
        then not the one that the row is about.

        Raises:
            ValueError: the image has changed, or another one has its pixels or its number.
        """
        place, reviewed = self.named(row), row["pixels"].strip().removeprefix(_MARK)
        if place is not None and self._digest(place) == reviewed:
            return place
        now = self._by_pixels.get(reviewed, [])
        alike = int(row["alike"]) if row.get("alike", "").isdecimal() else 0
        if alike == len(now) == 1:
            return now[0]
        if self.part.files and place is None and len(now) < max(alike, 1):
            return None
        name = row.get("file") or f"{self.part.split} image {row['row']}"
        raise ValueError(
            f"{name} is not the image that was reviewed; the data set has changed since, so write "
            "the review anew"
        )

    def also_in(self, others: "ReviewedImages") -> set[int]:
        """Rows of the images of which another split has one with the same pixels."""
        alike = self._by_pixels.keys() & others._by_pixels.keys()
        return {row for digest in alike for row in self._by_pixels[digest]}

    def _digest(self, row: int) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.part.images[row]).data).hexdigest()[:12]

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.part.files)}

    @cached_property
    def _by_pixels(self) -> dict[str, list[int]]:
        """The rows of each digest."""
        rows: dict[str, list[int]] = {}
        for row in range(len(self.part)):
            rows.setdefault(self._digest(row), []).append(row)
        return rows
