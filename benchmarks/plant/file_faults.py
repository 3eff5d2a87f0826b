"""Faults of files: unreadable, not what the name says, of another size or mode than the rest.

Every function takes a picture and a random generator, and returns the file that replaces the
picture's, or None where nobody could see the fault in that picture.
"""

import numpy as np
from PIL import Image

from plant import pictures
from plant.image_bytes import (
    Made,
    corrupted,
    encoded,
    jpeg,
    png,
    readable,
    truncated,
    with_stated_size,
)

Random = np.random.Generator


def truncated_png(picture: np.ndarray, random: Random) -> Made | None:
    return _cut(png(picture), ".png", random)


def truncated_jpeg(picture: np.ndarray, random: Random) -> Made | None:
    return _cut(jpeg(picture, 95), ".jpg", random)


def no_bytes(picture: np.ndarray, random: Random) -> Made:
    return Made(b"", ".png", "0 bytes")


def null_bytes(picture: np.ndarray, random: Random) -> Made:
    length = int(random.integers(100, 4000))
    return Made(bytes(length), ".png", f"{length} bytes")


def random_bytes(picture: np.ndarray, random: Random) -> Made | None:
    length = int(random.integers(10, 4000))
    return _unreadable(Made(random.bytes(length), ".png", f"{length} bytes"))


def html_page(picture: np.ndarray, random: Random) -> Made:
    number = int(random.integers(10_000))
    page = (
        "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>"
        f"<body><h1>Not Found</h1><p>/images/{number}.png is not here.</p></body></html>\n"
    )
    return Made(page.encode(), ".png", f"{len(page)} bytes")


def corrupted_png(picture: np.ndarray, random: Random) -> Made | None:
    places = int(random.integers(1, 40))
    return _unreadable(Made(corrupted(png(picture), places, random), ".png", f"{places} bytes"))


def huge_header(picture: np.ndarray, random: Random) -> Made | None:
    data = with_stated_size(png(picture), 30_000, 30_000)
    return _unreadable(Made(data, ".png", "30000x30000"))


def _cut(data: bytes, ending: str, random: Random) -> Made | None:
    share = random.uniform(0.02, 0.95)
    return _unreadable(Made(truncated(data, share), ending, f"first {share:.0%} of its bytes"))


def _unreadable(made: Made) -> Made | None:
    return None if readable(made.data) else made


def jpeg_named_png(picture: np.ndarray, random: Random) -> Made:
    return Made(jpeg(picture, 95), ".png", "JPEG data")


def png_named_jpg(picture: np.ndarray, random: Random) -> Made:
    return Made(png(picture), ".jpg", "PNG data")


def png_named_bmp(picture: np.ndarray, random: Random) -> Made:
    return Made(png(picture), ".bmp", "PNG data")


def webp_named_png(picture: np.ndarray, random: Random) -> Made:
    return Made(encoded(picture, "WEBP", lossless=True), ".png", "WebP data")


def bmp_named_jpg(picture: np.ndarray, random: Random) -> Made:
    return Made(encoded(picture, "BMP"), ".jpg", "BMP data")


def tiff_named_png(picture: np.ndarray, random: Random) -> Made:
    return Made(encoded(picture, "TIFF"), ".png", "TIFF data")


def animated_png(picture: np.ndarray, random: Random) -> Made | None:
    return _animated(picture, "PNG", ".png", random)


def animated_webp(picture: np.ndarray, random: Random) -> Made | None:
    return _animated(picture, "WEBP", ".webp", random, lossless=True)


def stray(picture: np.ndarray, random: Random) -> Made:
    return Made(png(picture), ".png", "beside the class folders", in_class_folder=False)


def _animated(
    picture: np.ndarray, file_format: str, ending: str, random: Random, **options: bool
) -> Made | None:
    count = int(random.integers(2, 6))
    frames = [
        Image.fromarray(pictures.shifted(picture, 2 * step, 0, fill="edge"))
        for step in range(count)
    ]
    if pictures.contrast_of(picture) < 15:
        return None
    data = encoded(
        frames[0], file_format, save_all=True, append_images=frames[1:], duration=100, **options
    )
    return Made(data, ending, f"{count} frames")


def narrow(picture: np.ndarray, random: Random) -> Made:
    return _of_size(picture, int(random.integers(10, 25)), 32, cut=True)


def low(picture: np.ndarray, random: Random) -> Made:
    return _of_size(picture, 32, int(random.integers(10, 25)), cut=True)


def wide(picture: np.ndarray, random: Random) -> Made:
    return _of_size(picture, int(random.integers(48, 129)), int(random.integers(12, 25)), cut=False)


def tall(picture: np.ndarray, random: Random) -> Made:
    return _of_size(picture, int(random.integers(12, 25)), int(random.integers(48, 129)), cut=False)


def tiny(picture: np.ndarray, random: Random) -> Made:
    side = int(random.integers(6, 15))
    return _of_size(picture, side, side, cut=False)


def large(picture: np.ndarray, random: Random) -> Made:
    side = int(random.integers(80, 401))
    return _of_size(picture, side, side, cut=False)


def _of_size(picture: np.ndarray, width: int, height: int, *, cut: bool) -> Made:
    if cut:
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        fitted = np.ascontiguousarray(picture[top : top + height, left : left + width])
    else:
        fitted = pictures.resized(picture, width, height)
    return Made(png(fitted), ".png", f"{width}x{height}")


def grey(picture: np.ndarray, random: Random) -> Made:
    return Made(encoded(Image.fromarray(picture).convert("L"), "PNG"), ".png", "mode L")


def palette(picture: np.ndarray, random: Random) -> Made:
    colours = int(random.integers(8, 65))
    image = Image.fromarray(picture).quantize(colours)
    return Made(encoded(image, "PNG"), ".png", f"mode P, {colours} colours")


def cmyk(picture: np.ndarray, random: Random) -> Made:
    quality = int(random.integers(80, 96))
    data = encoded(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=quality)
    return Made(data, ".jpg", f"mode CMYK, quality {quality}")


def transparent(picture: np.ndarray, random: Random) -> Made:
    """An ellipse of the picture, or a picture that fades to one side, on nothing."""
    image = Image.fromarray(picture).convert("RGBA")
    if random.random() < 0.5:
        across, down = random.uniform(0.5, 0.9, 2)
        side = np.linspace(-1, 1, 32)
        inside = np.hypot(side / across, side[:, np.newaxis] / down) < 1
        alpha, how = np.where(inside, 255, 0), f"an ellipse of {across:.0%} x {down:.0%}"
    else:
        degrees = random.uniform(0, 360)
        alpha, how = 255 * pictures.linear_share(32, degrees), f"fading at {degrees:.0f} degrees"
    image.putalpha(Image.fromarray(pictures.bytes_of(alpha)))
    return Made(encoded(image, "PNG"), ".png", f"mode RGBA, {how}")


def one_bit(picture: np.ndarray, random: Random) -> Made | None:
    image = Image.fromarray(picture).convert("1")
    black = 1 - np.asarray(image).mean()
    return Made(encoded(image, "PNG"), ".png", "mode 1") if 0.1 < black < 0.9 else None


def sixteen_bits(picture: np.ndarray, random: Random) -> Made:
    values = np.rint(pictures.luminance(picture) * 257).astype(np.uint16)
    return Made(encoded(values, "PNG"), ".png", "mode I;16")
