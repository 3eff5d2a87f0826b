"""The table of fault kinds: what is planted, where, and under which code it has to be found."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from plant import copies, file_faults, poor_pictures
from plant.image_bytes import Made, png

Make = Callable[[np.ndarray, np.random.Generator], Made | None]


class Kind(NamedTuple):
    """A kind of fault, planted in equal numbers of its variants."""

    name: str
    code: str
    """Of the finding that has to name the file."""
    fair: tuple[str, ...]
    """Codes of findings that name it with good reason, too."""
    place: str
    """"itself"; "class", "classes", "splits" for a copy that replaces an image of the same class,
    of another class, or of the test split; "moved" for an image in the folder of another class."""
    variants: dict[str, Make]


def _as_it_is(picture: np.ndarray, random: np.random.Generator) -> Made:
    return Made(png(picture), ".png", "")


EXACT: dict[str, Make] = {
    "same file": copies.same_file,
    "PNG with a comment": copies.png_with_text,
    "BMP": copies.as_bmp,
    "TIFF": copies.as_tiff,
    "WebP": copies.as_webp,
}
NEAR: dict[str, Make] = {
    "mirrored": copies.mirror,
    "shifted": copies.shift,
    "cropped": copies.crop,
    "recompressed": copies.recompression,
    "brightness": copies.brightness,
    "contrast": copies.contrast,
    "colour": copies.colour,
    "noise": copies.noise,
    "combined": copies.combined,
}

KINDS = (
    Kind(
        "unreadable file",
        "TS001",
        ("TS002", "TS003"),
        "itself",
        {
            "truncated PNG": file_faults.truncated_png,
            "truncated JPEG": file_faults.truncated_jpeg,
            "no bytes": file_faults.no_bytes,
            "null bytes": file_faults.null_bytes,
            "random bytes": file_faults.random_bytes,
            "HTML page": file_faults.html_page,
            "corrupted middle": file_faults.corrupted_png,
            "huge header": file_faults.huge_header,
        },
    ),
    Kind(
        "odd file",
        "TS002",
        (),
        "itself",
        {
            "JPEG named .png": file_faults.jpeg_named_png,
            "PNG named .jpg": file_faults.png_named_jpg,
            "PNG named .bmp": file_faults.png_named_bmp,
            "WebP named .png": file_faults.webp_named_png,
            "BMP named .jpg": file_faults.bmp_named_jpg,
            "TIFF named .png": file_faults.tiff_named_png,
            "animated PNG": file_faults.animated_png,
            "animated WebP": file_faults.animated_webp,
            "stray": file_faults.stray,
        },
    ),
    Kind(
        "size out of line",
        "TS003",
        (),
        "itself",
        {
            "narrow": file_faults.narrow,
            "low": file_faults.low,
            "wide": file_faults.wide,
            "tall": file_faults.tall,
            "tiny": file_faults.tiny,
            "large": file_faults.large,
        },
    ),
    Kind(
        "mode out of line",
        "TS004",
        (),
        "itself",
        {
            "grey": file_faults.grey,
            "palette": file_faults.palette,
            "CMYK": file_faults.cmyk,
            "transparent": file_faults.transparent,
            "1 bit": file_faults.one_bit,
            "16 bit": file_faults.sixteen_bits,
        },
    ),
    Kind("exact copy in a class", "TS005", ("TS006",), "class", EXACT),
    Kind("near copy in a class", "TS006", (), "class", NEAR),
    Kind("exact copy across classes", "TS007", ("TS015",), "classes", EXACT),
    Kind("near copy across classes", "TS007", ("TS015",), "classes", NEAR),
    Kind("exact copy across splits", "TS008", (), "splits", EXACT),
    Kind("near copy across splits", "TS008", (), "splits", NEAR),
    Kind(
        "blank",
        "TS009",
        ("TS012",),
        "itself",
        {
            "one colour": poor_pictures.one_colour,
            "slight noise": poor_pictures.one_colour_with_noise,
            "slight noise, JPEG": poor_pictures.one_colour_as_jpeg,
        },
    ),
    Kind("dark", "TS010", ("TS009", "TS012"), "itself", {"dark": poor_pictures.dark}),
    Kind("over-bright", "TS010", ("TS009", "TS012"), "itself", {"bright": poor_pictures.bright}),
    Kind(
        "blurred",
        "TS011",
        ("TS012",),
        "itself",
        {
            "Gaussian": poor_pictures.out_of_focus,
            "box": poor_pictures.box,
            "motion": poor_pictures.motion,
            "down and up": poor_pictures.down_and_up,
        },
    ),
    Kind(
        "low information",
        "TS012",
        ("TS009", "TS011"),
        "itself",
        {
            "linear gradient": poor_pictures.linear_gradient,
            "radial gradient": poor_pictures.radial_gradient,
            "thin line": poor_pictures.thin_line,
            "dot": poor_pictures.dot,
            "noise": poor_pictures.noise,
        },
    ),
    Kind("wrong label", "TS015", (), "moved", {"moved": _as_it_is}),
)

SMALL_CLASS = Kind("small class", "TS013", ("TS014",), "", {})
"""Planted by `fault_set`, one a class."""

SHORTCUT = Kind("shortcut", "TS016", ("TS018",), "", {})
"""Planted by `shortcuts`, one a class, in many of its images; what is in file names is TS018's."""

BY_NAME = {kind.name: kind for kind in (*KINDS, SMALL_CLASS, SHORTCUT)}
