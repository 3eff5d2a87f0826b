"""Changes of a picture's pixels, and how much of a picture there is to see.

A picture is uint8 (H, W, 3). Every function returns a new one.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

GREY = np.array([0.299, 0.587, 0.114])
"""The weights of red, green and blue in a luminance (ITU-R 601)."""


def bytes_of(values: np.ndarray) -> np.ndarray:
    """Values of any range as the nearest pixels."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def luminance(picture: np.ndarray) -> np.ndarray:
    """Float (H, W), 0 to 255."""
    return picture @ GREY


def contrast_of(picture: np.ndarray) -> float:
    """Standard deviation of the luminance: what a picture shows as light and shade."""
    return float(luminance(picture).std())


def sharpness_of(picture: np.ndarray) -> float:
    """Mean difference between neighbouring pixels, down and across, in levels of luminance."""
    grey = luminance(picture)
    return float((abs(np.diff(grey, axis=0)).mean() + abs(np.diff(grey, axis=1)).mean()) / 2)


def resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bicubic and antialiased, by Pillow."""
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image)


def mirrored(picture: np.ndarray) -> np.ndarray:
    """Left and right exchanged."""
    return picture[:, ::-1].copy()


def shifted(picture: np.ndarray, right: int, down: int, *, fill: str) -> np.ndarray:
    """Moved by whole pixels; what comes into view is the edge's colour ("edge") or black."""
    height, width = picture.shape[:2]
    most = max(abs(right), abs(down))
    room = ((most, most), (most, most), (0, 0))
    wide = np.pad(picture, room, mode="edge") if fill == "edge" else np.pad(picture, room)
    top, left = most - down, most - right
    return wide[top : top + height, left : left + width].copy()


def cropped(picture: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Without that many pixels at each side, brought back to the size it had."""
    height, width = picture.shape[:2]
    piece = picture[top : height - bottom, left : width - right]
    return resized(np.ascontiguousarray(piece), width, height)


def brightened(picture: np.ndarray, factor: float) -> np.ndarray:
    """Every level times a factor."""
    return bytes_of(picture * factor)


def towards_white(picture: np.ndarray, factor: float) -> np.ndarray:
    """What every level lacks to white, times a factor."""
    return bytes_of(255 - (255.0 - picture) * factor)


def with_contrast(picture: np.ndarray, factor: float) -> np.ndarray:
    """Distances from the mean luminance times a factor."""
    mean = luminance(picture).mean()
    return bytes_of(mean + (picture - mean) * factor)


def saturated(picture: np.ndarray, factor: float) -> np.ndarray:
    """Distances from grey times a factor; 0 makes it grey."""
    grey = luminance(picture)[..., np.newaxis]
    return bytes_of(grey + (picture - grey) * factor)


def tinted(picture: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Red, green and blue each times a factor of its own."""
    return bytes_of(picture * gains)


def noisy(picture: np.ndarray, sigma: float, random: np.random.Generator) -> np.ndarray:
    """With normal noise of that many levels on every value."""
    return bytes_of(picture + random.normal(0, sigma, picture.shape))


def gaussian_blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """As through a lens out of focus; sigma in pixels."""
    return bytes_of(ndimage.gaussian_filter(picture.astype(float), (sigma, sigma, 0)))


def box_blurred(picture: np.ndarray, side: int) -> np.ndarray:
    """Every pixel the mean of a square of that side."""
    return bytes_of(ndimage.uniform_filter(picture.astype(float), (side, side, 0)))


def motion_blurred(picture: np.ndarray, length: float, degrees: float) -> np.ndarray:
    """As with a camera that moved that many pixels along a line."""
    steps = np.linspace(-length / 2, length / 2, 4 * round(length) + 1)
    middle = int(length / 2) + 1
    places = middle + np.outer(steps, (np.sin(np.radians(degrees)), np.cos(np.radians(degrees))))
    corner = np.floor(places).astype(int)
    beyond = places - corner
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1, 1))
    for down in (0, 1):
        for right in (0, 1):
            weight = abs(1 - down - beyond[:, 0]) * abs(1 - right - beyond[:, 1])
            np.add.at(kernel, (corner[:, 0] + down, corner[:, 1] + right, 0), weight)
    return bytes_of(ndimage.convolve(picture.astype(float), kernel / kernel.sum()))


def coarsened(picture: np.ndarray, factor: float) -> np.ndarray:
    """Made smaller by a factor and large again."""
    height, width = picture.shape[:2]
    small = resized(picture, max(2, round(width / factor)), max(2, round(height / factor)))
    return resized(small, width, height)


def flat(side: int, colour: np.ndarray) -> np.ndarray:
    """A square of one colour."""
    return np.broadcast_to(colour.astype(np.uint8), (side, side, 3)).copy()


def gradient(share: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """From one colour, where the share (H, W) is 0, to another, where it is 1."""
    return bytes_of(first + share[..., np.newaxis] * (last.astype(float) - first))


def linear_share(side: int, degrees: float) -> np.ndarray:
    """0 at one side to 1 at the other, in the direction of the angle."""
    down, right = np.mgrid[:side, :side] / (side - 1) - 0.5
    along = right * np.cos(np.radians(degrees)) + down * np.sin(np.radians(degrees))
    return np.asarray((along - along.min()) / np.ptp(along))


def radial_share(side: int, centre: tuple[float, float]) -> np.ndarray:
    """0 at the centre (right, down; shares of the side) to 1 at the point farthest from it."""
    down, right = np.mgrid[:side, :side] / (side - 1)
    distance = np.hypot(right - centre[0], down - centre[1])
    return np.asarray(distance / distance.max())


def two_colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two that anyone can tell apart: 60 levels of luminance between them."""
    while True:
        first, last = random.integers(0, 256, (2, 3))
        if abs((first - last) @ GREY) >= 60:
            return first, last
