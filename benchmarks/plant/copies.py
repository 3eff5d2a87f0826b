"""Copies of a picture: the same pixels in another file, or the same picture a little changed.

Every function takes a picture and a random generator, and returns the file that holds the copy, or
None where the picture shows too little for anyone to say that the copy is one.
"""

from collections.abc import Callable

import numpy as np
from PIL import PngImagePlugin

from plant import pictures
from plant.image_bytes import Made, encoded, jpeg, pixels, png

SHOWN_CONTRAST = 20.0
"""Standard deviation of the luminance below which two different pictures can look alike."""

Random = np.random.Generator
Change = Callable[[np.ndarray, Random], tuple[np.ndarray, str]]


def same_file(picture: np.ndarray, random: Random) -> Made | None:
    return _exact(picture, png(picture), ".png", "same bytes")


def png_with_text(picture: np.ndarray, random: Random) -> Made | None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", f"copy {int(random.integers(1000))}")
    data = encoded(picture, "PNG", pnginfo=text, compress_level=1)
    return _exact(picture, data, ".png", "other compression, with a comment")


def as_bmp(picture: np.ndarray, random: Random) -> Made | None:
    return _exact(picture, encoded(picture, "BMP"), ".bmp", "BMP")


def as_tiff(picture: np.ndarray, random: Random) -> Made | None:
    return _exact(picture, encoded(picture, "TIFF"), ".tif", "TIFF")


def as_webp(picture: np.ndarray, random: Random) -> Made | None:
    return _exact(picture, encoded(picture, "WEBP", lossless=True), ".webp", "lossless WebP")


def _exact(picture: np.ndarray, data: bytes, ending: str, how: str) -> Made | None:
    return Made(data, ending, how) if _shows_something(picture) else None


def mirror(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _mirror)


def shift(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _shift)


def crop(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _crop)


def recompression(picture: np.ndarray, random: Random) -> Made | None:
    quality = int(random.integers(20, 81))
    made = Made(jpeg(picture, quality), ".jpg", f"JPEG quality {quality}")
    return made if _shows_something(picture) else None


def brightness(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _brightness)


def contrast(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _contrast)


def colour(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _colour)


def noise(picture: np.ndarray, random: Random) -> Made | None:
    return _near(picture, random, _noise)


def combined(picture: np.ndarray, random: Random) -> Made | None:
    """Moved or mirrored, and then changed in its values."""
    moves = (_mirror, _shift, _crop)
    values = (_recompression, _brightness, _contrast, _colour, _noise)
    first, second = int(random.integers(len(moves))), int(random.integers(len(values)))
    return _near(picture, random, moves[first], values[second])


def _near(picture: np.ndarray, random: Random, *changes: Change) -> Made | None:
    if not _shows_something(picture):
        return None
    changed, steps = picture, []
    for change in changes:
        before = changed
        changed, how = change(before, random)
        if np.array_equal(changed, before):  # a symmetric picture mirrored, a grey one saturated
            return None
        steps.append(how)
    if pictures.contrast_of(changed) < 0.45 * pictures.contrast_of(picture):
        return None  # too much of it is clipped
    return Made(png(changed), ".png", ", ".join(steps))


def _mirror(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    return pictures.mirrored(picture), "mirrored"


def _shift(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    right, down = random.integers(-3, 4, 2)
    while not (right or down):
        right, down = random.integers(-3, 4, 2)
    fill = "edge" if random.random() < 0.7 else "black"
    return pictures.shifted(picture, right, down, fill=fill), f"shift {right:+} {down:+}, {fill}"


def _crop(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    """By 1 to 3 pixels at two sides or more."""
    sides = random.integers(1, 4, 4) * (random.permutation(4) < random.integers(2, 5))
    return pictures.cropped(picture, *sides), "crop " + " ".join(map(str, sides))


def _recompression(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    quality = int(random.integers(20, 81))
    return pixels(jpeg(picture, quality)), f"JPEG quality {quality}"


def _brightness(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    factor = _off_one(0.60, 0.85, 1.15, 1.50, random)
    return pictures.brightened(picture, factor), f"brightness x{factor:.2f}"


def _contrast(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    factor = _off_one(0.50, 0.80, 1.25, 1.60, random)
    return pictures.with_contrast(picture, factor), f"contrast x{factor:.2f}"


def _colour(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    if random.random() < 0.5:
        factor = _off_one(0.0, 0.5, 1.5, 2.0, random)
        return pictures.saturated(picture, factor), f"saturation x{factor:.2f}"
    gains = random.permutation([random.uniform(0.75, 0.9), 1.0, random.uniform(1.1, 1.25)])
    text = " ".join(f"{gain:.2f}" for gain in gains)
    return pictures.tinted(picture, gains), f"red, green, blue x{text}"


def _noise(picture: np.ndarray, random: Random) -> tuple[np.ndarray, str]:
    sigma = random.uniform(2, 8)
    return pictures.noisy(picture, sigma, random), f"noise of {sigma:.1f} levels"


def _off_one(least: float, less: float, more: float, most: float, random: Random) -> float:
    """A factor that is seen: from `least` to `less`, or from `more` to `most`."""
    return float(random.uniform(*((least, less) if random.random() < 0.5 else (more, most))))


def _shows_something(picture: np.ndarray) -> bool:
    return pictures.contrast_of(picture) >= SHOWN_CONTRAST
