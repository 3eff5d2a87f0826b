"""Faults of pictures: nothing to see, too dark or too bright, blurred, little information.

Every function takes a picture and a random generator, and returns the file that replaces the
picture's, or None where nobody could see the fault in that picture.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from plant import pictures
from plant.image_bytes import Made, jpeg, png

SIDE = 32

CLEAR_CONTRAST = 30.0
"""Standard deviation of the luminance from which on anyone sees what a picture shows."""

CLEAR_SHARPNESS = 13.0
"""Mean step between neighbours, in levels, of pictures that look sharp at 32x32: about the median
of CIFAR-10. A picture below it looks soft before anything is done to it."""

Random = np.random.Generator


def one_colour(picture: np.ndarray, random: Random) -> Made:
    colour = random.integers(0, 256, 3)
    return Made(png(pictures.flat(SIDE, colour)), ".png", f"colour {_text(colour)}")


def one_colour_with_noise(picture: np.ndarray, random: Random) -> Made:
    noise, colour, levels = _slight_noise(random)
    return Made(png(noise), ".png", f"colour {_text(colour)}, noise of {levels} levels")


def one_colour_as_jpeg(picture: np.ndarray, random: Random) -> Made:
    noise, colour, levels = _slight_noise(random)
    quality = int(random.integers(40, 96))
    how = f"colour {_text(colour)}, noise of {levels} levels, quality {quality}"
    return Made(jpeg(noise, quality), ".jpg", how)


def _slight_noise(random: Random) -> tuple[np.ndarray, np.ndarray, int]:
    colour, levels = random.integers(0, 256, 3), int(random.integers(1, 4))
    off = random.integers(-levels, levels + 1, (SIDE, SIDE, 3))
    return pictures.bytes_of(colour + off), colour, levels


def dark(picture: np.ndarray, random: Random) -> Made | None:
    if pictures.contrast_of(picture) < CLEAR_CONTRAST or pictures.luminance(picture).mean() < 80:
        return None
    factor = random.uniform(0.02, 0.10)
    return Made(png(pictures.brightened(picture, factor)), ".png", f"factor {factor:.3f}")


def bright(picture: np.ndarray, random: Random) -> Made | None:
    if pictures.contrast_of(picture) < CLEAR_CONTRAST or pictures.luminance(picture).mean() > 175:
        return None
    factor = random.uniform(0.02, 0.10)
    return Made(png(pictures.towards_white(picture, factor)), ".png", f"factor {factor:.3f}")


def out_of_focus(picture: np.ndarray, random: Random) -> Made | None:
    sigma = random.uniform(1.2, 4.0)
    return _blurred(picture, partial(pictures.gaussian_blurred, sigma=sigma), f"sigma {sigma:.2f}")


def box(picture: np.ndarray, random: Random) -> Made | None:
    side = int(random.choice([5, 7, 9]))
    return _blurred(picture, partial(pictures.box_blurred, side=side), f"side {side}")


def motion(picture: np.ndarray, random: Random) -> Made | None:
    length, degrees = random.uniform(6, 14), random.uniform(0, 180)
    blur = partial(pictures.motion_blurred, length=length, degrees=degrees)
    return _blurred(picture, blur, f"{length:.1f} pixels at {degrees:.0f} degrees")


def down_and_up(picture: np.ndarray, random: Random) -> Made | None:
    factor = random.uniform(3.0, 6.0)
    return _blurred(picture, partial(pictures.coarsened, factor=factor), f"factor {factor:.2f}")


def _blurred(
    picture: np.ndarray, blur: Callable[[np.ndarray], np.ndarray], how: str
) -> Made | None:
    before = pictures.sharpness_of(picture)
    if before < CLEAR_SHARPNESS:
        return None
    changed = blur(picture)
    after = pictures.sharpness_of(changed)
    if after > before / 2:
        return None
    return Made(png(changed), ".png", f"{how}; sharpness {before:.1f} to {after:.1f}")


def linear_gradient(picture: np.ndarray, random: Random) -> Made:
    degrees = random.uniform(0, 360)
    share = pictures.linear_share(SIDE, degrees)
    return _gradient(share, f"{degrees:.0f} degrees", random)


def radial_gradient(picture: np.ndarray, random: Random) -> Made:
    right, down = random.uniform(0, 1, 2)
    share = pictures.radial_share(SIDE, (right, down))
    return _gradient(share, f"centre {right:.2f} {down:.2f}", random)


def _gradient(share: np.ndarray, how: str, random: Random) -> Made:
    first, last = pictures.two_colours(random)
    changed = pictures.gradient(share, first, last)
    return Made(png(changed), ".png", f"{how}, {_text(first)} to {_text(last)}")


def thin_line(picture: np.ndarray, random: Random) -> Made:
    """One pixel wide, from one side of the picture to the opposite one."""
    ground, colour = pictures.two_colours(random)
    changed = pictures.flat(SIDE, ground)
    begin, end = random.integers(2, SIDE - 2, 2)
    across = np.rint(np.linspace(begin, end, SIDE)).astype(int)
    rows = np.arange(SIDE)
    if random.random() < 0.5:
        changed[rows, across] = colour
    else:
        changed[across, rows] = colour
    how = f"{_text(colour)} on {_text(ground)}, from {begin} to {end}"
    return Made(png(changed), ".png", how)


def dot(picture: np.ndarray, random: Random) -> Made:
    ground, colour = pictures.two_colours(random)
    changed = pictures.flat(SIDE, ground)
    side = int(random.integers(1, 4))
    left, top = random.integers(2, SIDE - 2 - side, 2)
    changed[top : top + side, left : left + side] = colour
    return Made(png(changed), ".png", f"side {side}, {_text(colour)} on {_text(ground)}")


def noise(picture: np.ndarray, random: Random) -> Made:
    channels = int(random.choice([1, 3]))
    sigma = random.uniform(25, 90)
    values = random.normal(random.uniform(90, 165), sigma, (SIDE, SIDE, channels))
    changed = pictures.bytes_of(np.broadcast_to(values, (SIDE, SIDE, 3)))
    return Made(png(changed), ".png", f"sigma {sigma:.0f}, {'grey' if channels == 1 else 'colour'}")


def _text(colour: np.ndarray) -> str:
    return "#" + "".join(f"{value:02x}" for value in colour)
