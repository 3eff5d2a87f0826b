"""Image bytes to pixels: the one way in, for training and for prediction.

What an image goes through, in this order (raise `DECODER_VERSION` with any change here):

1. The first frame of an animation; never a part of a file that is cut off. A JPEG much larger than
   needed is scaled while it is decoded, to no less than `_GAP` times the target.
2. Transparent images are laid on white, with all kinds of alpha, palettes among them.
3. 8 bits: 16-bit grey is round(v / 257), so that 65535 becomes 255. 32-bit integers are read as
   16-bit values and refused where they are not; floats are read as 0 … 1, or as 0 … 255 where one
   is above 1, and refused outside of that. Of 16-bit colour Pillow keeps the upper byte.
4. RGB, or Pillow's grey (ITU-R 601: 0.299 R + 0.587 G + 0.114 B). CMYK, YCbCr and HSV by Pillow's
   arithmetic, without colour profiles; Adobe's inverted CMYK JPEGs are put right by Pillow.
5. The largest centred piece with the target's proportions, in whole pixels, brought to the target
   by antialiased bicubic resizing (Lanczos rings more beside hard edges). An image that has the
   target's size is left as it is, bit for bit.
6. The EXIF orientation, so that all of this is about the image as it is seen.
"""

import re
import struct
import threading
import warnings
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from tinyscope.data.dataset import Preprocessing

DECODER_VERSION = 1
"""Raised with every change that can alter a decoded pixel; voids what was kept before."""

PIXEL_LIMIT = 64_000_000
"""Larger images are refused before they are decoded: 64 Mpx are 256 MB as RGBA."""

# Tried in this order. Without EPS, which would start Ghostscript, and what Pillow only recognises.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"),
    *("JPEG2000", "ICO", "DIB", "PCX", "QOI", "SGI", "TGA"),
)
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"MM\0*")
# As in Pillow's documentation of reducing_gap: from 3 on nearly the same as a full resampling.
_GAP = 3.0

# How an image of each EXIF orientation is set upright; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

T = TypeVar("T")


class Undecodable(ValueError):
    """An image that cannot be used; `str()` is the reason as a phrase: "truncated"."""


class _Turn(threading.local):
    """Whether a thread decodes just now."""

    active = False


_turn = _Turn()


class _OnlyWhileDecoding(type):
    """Makes a category of warnings that holds all of them in a thread that decodes, else none."""

    def __subclasscheck__(cls, category: type) -> bool:
        return _turn.active


class _Hushed(Warning, metaclass=_OnlyWhileDecoding):
    """Whatever Pillow warns of in a thread that decodes: odd metadata that no pixel depends on."""


# `warnings.catch_warnings` would change the filters of all threads; this one stands among them for
# good. Its parts are of the usual types, since others read them, pickle them and set them up in
# processes of theirs (scikit-learn does all three); a class is pickled by its name.
_FILTER = ("ignore", None, _Hushed, re.compile(r"PIL\."), 0)


def decode(source: bytes | Path, preprocessing: Preprocessing) -> np.ndarray:
    """The pixels of an image of any size, format and mode, as a model takes them.

    Args:
        source: the bytes of an image file, or where it lies.
        preprocessing: height, width and channels of the result.

    Returns:
        uint8 (H, W, C).

    Raises:
        Undecodable: the file cannot be read, is no image, is damaged or cut off, has more than
            `PIXEL_LIMIT` pixels, or values whose range is unknown.
    """
    image, view = reading(source, lambda image: _load(image, preprocessing))
    plain = _plain(image)
    if preprocessing.channels == 1:
        plain = _in_mode(plain, "L")
    fitted = _fit(plain, view, preprocessing.height, preprocessing.width)
    if preprocessing.channels == 3:
        fitted = _in_mode(fitted, "RGB")
    return np.array(fitted).reshape(preprocessing)


def measure(source: bytes | Path) -> tuple[int, int]:
    """Width and height of an image as it is seen (EXIF orientation applied), from its header.

    The orientation of a PNG that states it behind its pixels is missed here, not in `decode`.

    Raises:
        Undecodable: the header cannot be read, or states more than `PIXEL_LIMIT` pixels.
    """
    return reading(source, upright_size)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the image is seen; `image` is opened and not loaded."""
    turned = _orientation(image) >= 5 and image.format != "TIFF"  # Pillow has turned a TIFF
    return (image.height, image.width) if turned else image.size


def resized(images: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Decoded images brought to another size as `decode` does it.

    Args:
        images: uint8 (N, H, W, C).
        height: pixels from top to bottom of the result.
        width: pixels from left to right.

    Returns:
        uint8 (N, height, width, C); `images` itself where it has that size.
    """
    if images.shape[1:3] == (height, width):
        return images
    out = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for row, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        fitted = _fit(image, _View(*image.size), height, width)
        out[row] = np.asarray(fitted).reshape(out.shape[1:])
    return out


class _View(NamedTuple):
    """How loaded pixels, not yet turned, relate to the image of the file."""

    width: int
    """Of the file's image, in its own pixels."""
    height: int
    scale: float = 1.0
    """How many of the file's pixels a loaded pixel spans on either side: 1, 2, 4 or 8."""
    orientation: int = 1
    """As in EXIF, 1 … 8: how the image is still to be turned."""


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def reading(source: bytes | Path, use: Callable[[Image.Image], T]) -> T:
    """What `use` makes of the opened image, with every fault of the file told as Undecodable.

    Pillow's warnings are hushed meanwhile.
    """
    if warnings.filters[:1] != [_FILTER]:  # first call, or someone has put a filter before it
        warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    _turn.active = True
    try:
        with BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            start = file.read(16)
            if not start:
                raise Undecodable("empty file")
            with Image.open(file, formats=_formats()) as image:
                _check_pixels(image.width * image.height)
                return use(image)
    except (Undecodable, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit is met before ours is
        stated = re.search(r"\((\d+) pixels\)", str(error))
        _check_pixels(int(stated[1]) if stated else 0)
        raise Undecodable("more pixels than Pillow's limit") from None
    except UnidentifiedImageError:
        known = start.startswith(_BEGINNINGS)
        raise Undecodable("header truncated or damaged" if known else "not an image") from None
    except OSError as error:
        if error.errno is not None:  # the disk's fault; Pillow's own have no number
            raise Undecodable(f"cannot be read: {error.strerror}") from None
        raise Undecodable(_reason(error)) from None
    except Exception as error:  # damaged data: struct.error, SyntaxError, IndexError, KeyError ...
        raise Undecodable(_reason(error)) from None
    finally:
        _turn.active = False


def _check_pixels(pixels: int) -> None:
    if pixels > PIXEL_LIMIT:
        raise Undecodable(f"{pixels:,} pixels, more than the limit of {PIXEL_LIMIT:,}")


def _reason(error: Exception) -> str:
    """A phrase for what Pillow raised."""
    text = " ".join(str(error).split())
    if text == "could not create decoder object":  # libwebp's, who does not know which of both
        return "truncated or damaged"
    if "truncated" in text.lower() or isinstance(error, EOFError | struct.error):
        return "truncated"
    return f"damaged ({text})" if text else "damaged"


def _load(image: Image.Image, preprocessing: Preprocessing) -> tuple[Image.Image, _View]:
    """Decodes the pixels, a large JPEG's at 1/2, 1/4 or 1/8 of its size."""
    width, height = image.size
    enough = _GAP * max(preprocessing.height, preprocessing.width) / min(width, height)
    drafted = None
    if enough <= 0.5:
        drafted = image.draft(None, (int(width * enough), int(height * enough)))
    image.load()
    orientation = _orientation(image)  # only now: a PNG may state it behind its pixels
    if drafted is None:
        return image, _View(*image.size, orientation=orientation)  # Pillow may have turned it
    true_width = drafted[1][2]  # a fraction: the last loaded pixel may be padding in part
    return image, _View(width, height, width / true_width, orientation)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 … 8; 1 where none is stated or the EXIF data are damaged."""
    try:
        # Not image.getexif(): a PNG's decodes the pixels in search of more.
        stated = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # any damage: the image is then shown as it is by every viewer
        return 1
    return stated if stated in range(1, 9) else 1


def _fit(image: Image.Image, view: _View, height: int, width: int) -> Image.Image:
    """The centred piece with the target's proportions, resized and upright."""
    turned = view.orientation >= 5
    across, down = (view.height, view.width) if turned else (view.width, view.height)
    piece_width, piece_height = across, down
    if across * height > down * width:
        piece_width = max(1, round(down * width / height))
    else:
        piece_height = max(1, round(across * height / width))
    left, top = (across - piece_width) // 2, (down - piece_height) // 2
    right, bottom = left + piece_width, top + piece_height

    # From the upright image back to the file's: what is mirrored last is undone first.
    if view.orientation in (2, 3, 6, 7):
        left, right = across - right, across - left
    if view.orientation in (3, 4, 7, 8):
        top, bottom = down - bottom, down - top
    box, size = (left, top, right, bottom), (width, height)
    if turned:
        box, size = (top, left, bottom, right), (height, width)

    if (piece_width, piece_height) == (width, height):
        fitted = image if box == (0, 0, *image.size) else image.crop(box)
    else:
        x0, y0, x1, y1 = (edge / view.scale for edge in box)
        fitted = image.resize(size, Image.Resampling.BICUBIC, (x0, y0, x1, y1), _GAP)
    turn = _TURNS.get(view.orientation)
    return fitted if turn is None else fitted.transpose(turn)


def _plain(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB, with nothing transparent."""
    if image.mode.startswith("I"):
        return _from_sixteen_bits(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    try:
        if image.has_transparency_data:
            seen = image.convert("RGBA")
            white = Image.new("RGB", image.size, "white")
            white.paste(seen, mask=seen)
            return white
        return image.convert("L" if image.mode == "1" else "RGB")
    except ValueError:
        raise Undecodable(f"colours in mode {image.mode}, which cannot become RGB") from None


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65_535:
        raise Undecodable(f"integers from {lowest} to {highest}, outside of 0 to 65535")
    if isinstance(invisible := image.info.get("transparency"), int):
        values[values == invisible] = 65_535  # white
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))  # = round(v / 257)


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0 and highest <= 255):  # "not": true for NaN
        raise Undecodable(f"floats from {lowest:g} to {highest:g}, outside of 0 to 255")
    scale = 255 if highest <= 1 else 1
    return Image.fromarray(np.rint(values * scale).astype(np.uint8))
