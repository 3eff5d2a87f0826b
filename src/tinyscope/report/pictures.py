"""Images as PNG data URIs, each held once however often a page shows it."""

import base64
import io

import numpy as np

from tinyscope.data.dataset import ImageDataset
from tinyscope.data.decoding import resized

SHOWN_CLASSES = 100
"""Classes of which a page shows images at most: of thousands, they would weigh 100 MB."""


def spread(count: int, most: int = SHOWN_CLASSES) -> list[int]:
    """At most so many of the numbers 0 to count - 1, evenly spread from the first to the last."""
    places: list[int] = (
        np.unique(np.linspace(0, count - 1, min(count, most)).round()).astype(int).tolist()
    )
    return places


def data_uri(image: np.ndarray) -> str:
    """The image as `data:image/png;base64,…`, pixel for pixel; a page may enlarge it.

    Args:
        image: uint8 (H, W, C) with C 3 for RGB or 1 for grey.
    """
    from PIL import Image

    pixels = np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def sprite_sheet(images: np.ndarray, *, columns: int, tile: int) -> str:
    """All images on one picture, row by row, as a data URI; smaller by far than one URI each.

    Args:
        images: uint8 (N, H, W, C).
        columns: images side by side.
        tile: side in pixels that each is brought to.
    """
    small = resized(images, height=tile, width=tile)
    rows = -(-len(small) // columns)
    channels = small.shape[3]
    sheet = np.zeros((rows * columns, tile, tile, channels), np.uint8)
    sheet[: len(small)] = small
    grid = sheet.reshape(rows, columns, tile, tile, channels).swapaxes(1, 2)
    return data_uri(grid.reshape(rows * tile, columns * tile, channels))


class Album:
    """Collects the pictures of a summary; `pictures` maps a key to a data URI."""

    def __init__(self) -> None:
        self.pictures: dict[str, str] = {}

    def place(self, dataset: ImageDataset, row: int) -> str:
        """The key of an image of the data set, "test/123", which the album now holds."""
        key = f"{dataset.split}/{row}"
        if key not in self.pictures:
            self.pictures[key] = data_uri(dataset.images[row])
        return key
