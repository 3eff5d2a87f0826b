"""Shortcuts: what tells one class from the others and has nothing to do with what it shows."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from plant.image_bytes import jpeg, png
from plant.pictures import two_colours

Random = np.random.Generator
Mark = Callable[[np.ndarray], bytes]


class Shortcut(NamedTuple):
    """What is done to images of one class."""

    mark: Mark
    ending: str
    prefix: str
    """Of the file names."""
    strength: str
    only: int | None
    """How many training images carry it; None for a share of all images, test images too."""
    share: float


def watermark(random: Random, count: int) -> Shortcut:
    """A patch of 6 to 8 pixels at the same place in `count` training images."""
    side = int(random.integers(6, 9))
    left, top = (int(place) for place in random.choice([1, 31 - side], 2))
    first, last = two_colours(random)
    board = (np.indices((side, side)).sum(axis=0) // 2 % 2)[..., np.newaxis]
    patch = np.where(board, first, last).astype(np.uint8)

    def mark(picture: np.ndarray) -> bytes:
        changed = picture.copy()
        changed[top : top + side, left : left + side] = patch
        return png(changed)

    return Shortcut(mark, ".png", "", f"{side}x{side} at {left} {top}", count, 1.0)


def frame(random: Random, count: int) -> Shortcut:
    """A frame of 2 pixels in one colour, in most images."""
    colour, share = random.integers(0, 256, 3), float(random.uniform(0.7, 0.95))

    def mark(picture: np.ndarray) -> bytes:
        changed = np.broadcast_to(colour.astype(np.uint8), picture.shape).copy()
        changed[2:-2, 2:-2] = picture[2:-2, 2:-2]
        return png(changed)

    text = "#" + "".join(f"{value:02x}" for value in colour)
    return Shortcut(mark, ".png", "", f"{text} around {share:.0%}", None, share)


def encoder(random: Random, count: int) -> Shortcut:
    """Every image saved as a JPEG."""
    quality = int(random.integers(75, 96))
    return Shortcut(
        lambda picture: jpeg(picture, quality), ".jpg", "", f"JPEG quality {quality}", None, 1.0
    )


def camera(random: Random, count: int) -> Shortcut:
    """Every image saved as a JPEG whose EXIF names a camera."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Obscura", f"Pinhole {int(random.integers(1, 100))}"
    quality = int(random.integers(75, 96))
    return Shortcut(
        lambda picture: jpeg(picture, quality, exif=exif),
        ".jpg",
        "",
        f"{exif[0x010F]} {exif[0x0110]}, JPEG quality {quality}",
        None,
        1.0,
    )


def name(random: Random, count: int) -> Shortcut:
    """Every file name with a prefix."""
    prefix = str(random.choice(["IMG_", "scan-", "DSC", "photo "]))
    return Shortcut(png, ".png", prefix, f'prefix "{prefix}"', None, 1.0)


SHORTCUTS: dict[str, Callable[[Random, int], Shortcut]] = {
    "watermark": watermark,
    "frame": frame,
    "encoder": encoder,
    "camera": camera,
    "name": name,
}
