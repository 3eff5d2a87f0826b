"""What a person decided in a review file, carried over into the one that takes its place."""

import os
from collections.abc import Iterable
from pathlib import Path

from tinyscope.data.dataset import Splits
from tinyscope.data.decoding import Undecodable, measure
from tinyscope.data.review_table import Rows, asked, class_meant, rows_of
from tinyscope.data.reviewed_images import ReviewedImages
from tinyscope.errors import InputError, StorageError

Cells = dict[str, str]
"""Of a row, by column."""


def rows_before(path: Path) -> Rows:
    """The rows of the review file that lies where one is to be written; none where nothing does.

    Raises:
        InputError: there is something else, which a review would destroy.
        StorageError: it cannot be read.
    """
    if not os.path.exists(path):
        return []
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "a device or a pipe"
        raise InputError(f"{path} is {kind}; expected the name of a review file to write.")
    try:
        if _is_image(path):
            raise ValueError("it is an image")
        return rows_of(path.read_bytes())
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as fault:
        raise InputError(
            f"{path} is there already, and it is no review file: {fault}. Give the review another "
            "name, or delete that file first."
        ) from None


class EarlierReview:
    """The decisions of the review file that lies where one is to be written, if one does.

    Args:
        path: of the file.
        splits: the images that are reviewed now.

    Attributes:
        parts: the images, by split.
        dropped: how many rows of it ask for something and are about images that are there no more,
            or that have changed.

    Raises:
        InputError: see `rows_before`; or it was written for images of another size, or names none
            of these images, as that of another data set does.
        StorageError: it cannot be read.
    """

    def __init__(self, path: Path, splits: Splits) -> None:
        self.parts = {part.split: ReviewedImages(part) for part in splits.parts()}
        self.dropped = 0
        self._rows: dict[tuple[str, int, str], list[Cells]] = {}
        rows = rows_before(path)
        self._check_size(path, rows)
        for _, row in rows:
            split, place = row["split"].strip(), self._place(row)
            if place is None:
                self.dropped += asked(row) != "keep"
                continue
            about = split, place, row.get("finding", "").strip()
            self._rows.setdefault(about, []).append(row)
        if rows and not self._rows:
            raise InputError(
                f"{path} is there already, and none of the images that it names is: it is a review "
                "of another data set, or all of it was done by hand. Give the review another name, "
                "or delete that file first."
            )

    def carried_over(self, proposed: Iterable[Cells]) -> tuple[list[Cells], int]:
        """The rows of the new file: those proposed, as they were decided before.

        A row for the same image and finding has the action, the class and any columns of a
        person's own from before. Rows about other images, or of other findings, follow unless they
        ask for nothing.

        Args:
            proposed: rows, each with every column.

        Returns:
            The rows, and how many of them ask for something else than is proposed.
        """
        left = {about: list(rows) for about, rows in self._rows.items()}
        made, differing = [], 0
        for row in proposed:
            before = left.get((row["split"], int(row["row"]), row["finding"]))
            if not before:
                made.append(row)
                continue
            decided = self._decided(row, before.pop(0))
            differing += self._asks(decided) != self._asks(row)
            made.append(decided)
        for (split, place, _), rows in left.items():
            for row in rows:
                if asked(row) != "keep":
                    made.append({**row, **self._about(split, place)})
                    differing += 1
        return made, differing

    def _decided(self, row: Cells, before: Cells) -> Cells:
        return {**before, **row, "action": before["action"], "new_class": before["new_class"]}

    def _asks(self, row: Cells) -> tuple[str, str]:
        action, names = asked(row), self.parts[row["split"]].part.class_names
        return action, class_meant(row["new_class"], names) if action == "relabel" else ""

    def _about(self, split: str, place: int) -> Cells:
        images = self.parts[split]
        part = images.part
        return {
            "split": split,
            "row": str(place),
            "file": part.name_of(place),
            "class": part.class_names[part.labels[place]],
            **images.known_by(place),
        }

    def _place(self, row: Cells) -> int | None:
        """Where the image of a row is now; None where it is gone or has changed."""
        images = self.parts.get(row["split"].strip())
        if images is None:
            return None
        if not row["pixels"].strip():  # written by hand
            return images.named(row)
        try:
            return images.place(row)
        except ValueError:
            return None

    def _check_size(self, path: Path, rows: Rows) -> None:
        """Refuses a review of images of another size, of which no pixels can be known again."""
        for _, row in rows:
            images, then = self.parts.get(row["split"].strip()), row.get("size", "").strip()
            if images is not None and then not in ("", images.size):
                raise InputError(
                    f"{path} is there already, and it was written for images of {then} pixels; "
                    f"these have {images.size}. Ask for that size, give the review another name, "
                    "or delete that file first."
                )


def _is_image(path: Path) -> bool:
    try:
        measure(path)
    except Undecodable:
        return False
    return True
