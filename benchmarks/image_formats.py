"""Pictures as image files of the kinds that are met in the world, and how each must look."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image


class Written(NamedTuple):
    """An image file."""

    data: bytes
    ending: str
    seen: Image.Image
    """RGB, how it looks; lossy formats come near it."""


def picture(rng: np.random.Generator) -> Image.Image:
    """RGB, 20 to 160 pixels a side: coloured stripes before a shaded sky."""
    width, height = rng.integers(20, 161, 2).tolist()
    y, x = np.mgrid[:height, :width] / max(width, height)
    slant = rng.uniform(0, np.pi)
    stripes = np.sin(2 * np.pi * rng.uniform(1, 4) * (x * np.cos(slant) + y * np.sin(slant)))
    colours = rng.uniform(40, 215, (3, 3))
    shaded = colours[0] * (1 - y[..., None]) + colours[1] * y[..., None]
    pixels = np.where(stripes[..., None] > 0.3, colours[2], shaded)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a file of that format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def on_white(image: Image.Image) -> Image.Image:
    """What is transparent laid on white."""
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), seen).convert("RGB")


def transparent(image: Image.Image, *, top: int = 100) -> Image.Image:
    """RGBA: an alpha of `top` in the upper third, nothing seen through below."""
    alpha = np.full(image.size[::-1], 255, np.uint8)
    alpha[: image.height // 3] = top
    result = image.copy()
    result.putalpha(Image.fromarray(alpha))
    return result


def png_file(pixels: np.ndarray, bits: int, *, interlaced: bool, palette: bytes = b"") -> bytes:
    """A PNG of a kind that Pillow does not write (PNG specification, 2nd edition, 7.2 and 8.2).

    Args:
        pixels: int (H, W, C), in 0 … 2**bits - 1; C is 1 for grey or palette, 2 with alpha, 3, 4.
        bits: 1, 2, 4, 8 or 16 of a sample; below 8 with one channel only.
        interlaced: by Adam7.
        palette: RGB triples.
    """
    height, width, channels = pixels.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4)),
            *((0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
        ]
    lines = []
    for top, left, down, across in passes:
        part = pixels[top::down, left::across]
        for line in part if part.size else ():
            if bits == 16:
                packed = line.astype(">u2").tobytes()
            else:
                samples = np.unpackbits(line.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
                packed = np.packbits(samples).tobytes()
            lines.append(b"\0" + packed)
    kind = 3 if palette else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    data = zlib.compress(b"".join(lines))
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
        if body or name == b"IEND"
    )


def _png_by_hand(image: Image.Image, *, mode: str, bits: int, interlaced: bool) -> Written:
    palette = b""
    if mode == "P":
        image = image.quantize(2**bits, dither=Image.Dither.NONE)
        pixels = np.asarray(image)[..., None].astype(int)
        palette = bytes(image.getpalette()[: 3 * (int(pixels.max()) + 1)])
        seen = image.convert("RGB")
    else:
        source = transparent(image) if mode in ("RGBA", "LA") else image
        samples = np.asarray(source.convert(mode)).reshape(image.height, image.width, -1)
        pixels = np.rint(samples / 255 * (2**bits - 1)).astype(int)
        levels = np.rint(pixels / (2**bits - 1) * 255).astype(np.uint8)
        seen = on_white(Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels))
    return Written(png_file(pixels, bits, interlaced=interlaced, palette=palette), ".png", seen)


def _by_pillow(
    image: Image.Image, *, form: str, ending: str, mode: str = "RGB", **options: Any
) -> Written:
    if mode in ("RGBA", "LA", "PA"):
        image = transparent(image, top=0 if form == "GIF" else 100)
    if mode == "PA":
        image = image.quantize(64)
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        return Written(saved(image, form, **options), ending, image.point(lambda v: v / 257, "L"))
    else:
        image = image.convert(mode)
    return Written(saved(image, form, **options), ending, on_white(image))


def _animated(image: Image.Image, *, form: str, ending: str, **options: Any) -> Written:
    others = [image.rotate(90 * turn) for turn in (1, 2)]
    return Written(
        saved(image, form, save_all=True, append_images=others, **options), ending, image
    )


def _turned(image: Image.Image, *, form: str, ending: str, orientation: int) -> Written:
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpositions that EXIF undoes
    stored = image.transpose(Image.Transpose(undone[orientation])) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    return Written(saved(stored, form, exif=exif), ending, image)


def _icon(image: Image.Image) -> Written:
    return Written(saved(image, "ICO", sizes=[image.size]), ".ico", image)


def _large_jpeg(image: Image.Image) -> Written:
    large = image.resize((8 * image.width, 8 * image.height))
    return Written(saved(large, "JPEG", quality=85), ".jpg", large)


def kinds() -> dict[str, Callable[[Image.Image], Written]]:
    """Every kind of file by name; a picture in RGB becomes one of it."""
    jpeg = partial(_by_pillow, form="JPEG", ending=".jpg", quality=90)
    png = partial(_by_pillow, form="PNG", ending=".png")
    gif = partial(_by_pillow, form="GIF", ending=".gif")
    webp = partial(_by_pillow, form="WEBP", ending=".webp")
    bmp = partial(_by_pillow, form="BMP", ending=".bmp")
    tiff = partial(_by_pillow, form="TIFF", ending=".tif")
    made = {
        "jpeg": jpeg,
        "jpeg progressive": partial(jpeg, progressive=True),
        "jpeg grey": partial(jpeg, mode="L"),
        "jpeg cmyk": partial(jpeg, mode="CMYK"),
        "jpeg large": _large_jpeg,
        "jpeg of two pictures": partial(_animated, form="MPO", ending=".jpg"),
        "png": png,
        "png alpha": partial(png, mode="RGBA"),
        "png grey alpha": partial(png, mode="LA"),
        "png 1 bit": partial(png, mode="1"),
        "png 16 bits": partial(png, mode="I;16"),
        "png palette": partial(png, mode="P"),
        "png palette alpha": partial(png, mode="PA"),
        "png animated": partial(_animated, form="PNG", ending=".png"),
        "gif": partial(gif, mode="P"),
        "gif grey": partial(gif, mode="L"),
        "gif alpha": partial(gif, mode="RGBA"),
        "gif animated": partial(_animated, form="GIF", ending=".gif"),
        "webp": partial(webp, quality=85),
        "webp lossless": partial(webp, lossless=True),
        "webp alpha": partial(webp, mode="RGBA"),
        "webp animated": partial(_animated, form="WEBP", ending=".webp"),
        "bmp": bmp,
        "bmp palette": partial(bmp, mode="P"),
        "bmp grey": partial(bmp, mode="L"),
        "bmp 1 bit": partial(bmp, mode="1"),
        "tiff": tiff,
        "tiff lzw": partial(tiff, compression="tiff_lzw"),
        "tiff deflate": partial(tiff, compression="tiff_adobe_deflate"),
        "tiff packbits": partial(tiff, compression="packbits"),
        "tiff jpeg": partial(tiff, compression="jpeg"),
        "tiff fax": partial(tiff, mode="1", compression="group4"),
        "tiff cmyk": partial(tiff, mode="CMYK"),
        "tiff 16 bits": partial(tiff, mode="I;16"),
        "tiff alpha lzw": partial(tiff, mode="RGBA", compression="tiff_lzw"),
        "tiff of three pages": partial(_animated, form="TIFF", ending=".tiff"),
        "ppm": partial(_by_pillow, form="PPM", ending=".ppm"),
        "tga": partial(_by_pillow, form="TGA", ending=".tga"),
        "jpeg 2000": partial(_by_pillow, form="JPEG2000", ending=".jp2"),
        "ico": _icon,
    }
    for interlaced in (False, True):
        name = "png interlaced" if interlaced else "png plain"
        for mode, depths in {
            "L": (1, 2, 4, 8, 16),
            "P": (1, 2, 4, 8),
            "LA": (8, 16),
            "RGB": (8, 16),
            "RGBA": (8, 16),
        }.items():
            for bits in depths:
                made[f"{name} {mode} {bits}"] = partial(
                    _png_by_hand, mode=mode, bits=bits, interlaced=interlaced
                )
    for orientation in range(1, 9):
        for form, ending in (("JPEG", ".jpg"), ("WEBP", ".webp"), ("PNG", ".png")):
            made[f"{form.lower()} turned {orientation}"] = partial(
                _turned, form=form, ending=ending, orientation=orientation
            )
    return made
