"""Image files as bytes: pixels encoded, and encoded files broken so that nobody can read them."""

import struct
import warnings
import zlib
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image


class Made(NamedTuple):
    """A file with a fault."""

    data: bytes
    ending: str
    """Of its name, with the dot."""
    strength: str
    """How strong the fault is, for people: "sigma 2.31"."""
    in_class_folder: bool = True
    """False for a file that lies beside the class folders."""


def encoded(image: np.ndarray | Image.Image, file_format: str, **options: Any) -> bytes:
    """The image as Pillow writes it; an array is uint8 (H, W, 3) or (H, W), or uint16 (H, W)."""
    held = BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(held, file_format, **options)
    return held.getvalue()


def png(picture: np.ndarray) -> bytes:
    """As every image of the set is saved that nothing was done to."""
    return encoded(picture, "PNG")


def jpeg(picture: np.ndarray, quality: int, **options: Any) -> bytes:
    """With full resolution of colours from quality 90 on, with a half of it below."""
    return encoded(
        picture, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, **options
    )


def readable(data: bytes) -> bool:
    """Whether Pillow decodes the whole image."""
    try:
        with warnings.catch_warnings(), Image.open(BytesIO(data)) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    except Image.DecompressionBombWarning:
        return False
    return True


def pixels(data: bytes) -> np.ndarray:
    """The picture as a viewer shows it: uint8 (H, W, 3), what is transparent on white."""
    with Image.open(BytesIO(data)) as image:
        if image.mode == "I;16":
            return np.repeat((np.array(image) // 257).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        seen = image.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return np.array(Image.alpha_composite(white, seen).convert("RGB"))


def truncated(data: bytes, share: float) -> bytes:
    """The beginning of a file."""
    return data[: round(len(data) * share)]


def chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Type, beginning and length of the content of every chunk of a PNG."""
    found, place = [], 8
    while place < len(data):
        length = struct.unpack(">I", data[place : place + 4])[0]
        found.append((data[place + 4 : place + 8], place + 8, length))
        place += 12 + length
    return found


def corrupted(data: bytes, places: int, random: np.random.Generator) -> bytes:
    """A PNG with that many bytes of its compressed pixels changed."""
    _, begin, length = next(chunk for chunk in chunks(data) if chunk[0] == b"IDAT")
    changed = bytearray(data)
    middle = random.integers(begin + length // 4, begin + 3 * length // 4, places)
    for place in middle:
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed)


def with_stated_size(data: bytes, width: int, height: int) -> bytes:
    """A PNG whose header states another size, with its checksum in order."""
    content = struct.pack(">II", width, height) + data[24:29]
    return (
        data[:12] + b"IHDR" + content + struct.pack(">I", zlib.crc32(b"IHDR" + content)) + data[33:]
    )
