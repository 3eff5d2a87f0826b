"""Measures of every image (brightness, borders, sharpness ...) and the faults they give away.

`image_properties` reads all images once; everything else here works on what it returns.

Measured (two cores; 2026-11; faults planted by a generator that does not know this module):

- Untouched images named by any detector: CIFAR-10 0.42% of 60,000 (249 blurred, 2 low information),
  CIFAR-100 0.53% (302 blurred, 15 low information, 3 dark), digits of 8 x 8 pixels 1 of 1,797.
  Looked at, most of the blurred ones are softer than their neighbours: enlarged thumbnails, fur,
  sunsets. In CIFAR-100 smooth things (worms, cups, plain skies) are among them.
- 30 faults of each of 22 kinds among 10,000 CIFAR-10 images: all 660 found, 0.23% of the untouched
  named. At brightness x 0.15 0.97 are found, x 0.2 0.44.
- Of 300 blurred at each strength in CIFAR-10: sigma 0.5 0.09, 0.6 0.58, 0.7 0.94, from 0.8 on 1.00
  (Pillow's approximation: 0.8 0.94, from 1 on 0.997); box of 2 0.82, from 3 on 1.00; to half the
  size or less and back 1.00, to two thirds 0.70; motion by 3 pixels or more 0.97 to 1.00.
- Not found: photos multiplied until most of them is clipped white (x 6 to 15) where what is left is
  still seen, half of them; motion in digits of 8 x 8 pixels, half of it.
- 60,000 images of 32 x 32 take 7 to 9 s of processor time, one of 512 x 512 takes 11 ms.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tinyscope.cores import usable_cores
from tinyscope.data.blur import blur_score, pixelation

_GREY = np.array([77, 150, 29], np.float32) / 256  # ITU-R BT.601, in exact binary fractions
_PIECE = 2**20  # values of a piece; its float32 copies then fit into the caches of a core
_SIDE = 32  # pixels; detail is measured where the shorter side has 32 to 63


class ImageProperties(NamedTuple):
    """What was measured of each image: float32 arrays (N,).

    Levels are grey levels, 0 … 255; luma is (77 R + 150 G + 29 B) / 256 (ITU-R BT.601).
    """

    brightness: np.ndarray
    """Mean luma, 0 … 1."""
    contrast: np.ndarray
    """Standard deviation of luma, 0 … 0.5, on the scale of `brightness`."""
    red: np.ndarray
    """Mean of red, 0 … 1; like `green` and `blue` the mean luma where images have one channel."""
    green: np.ndarray
    """Mean of green, 0 … 1."""
    blue: np.ndarray
    """Mean of blue, 0 … 1."""
    colourfulness: np.ndarray
    """Levels; 0 for a grey image, 109 for a very colourful one (Hasler and Süsstrunk 2003)."""
    border_top: np.ndarray
    """Rows from the top that are of one colour, 0 … H, within `BORDER_TOLERANCE`."""
    border_bottom: np.ndarray
    """Rows from the bottom, 0 … H."""
    border_left: np.ndarray
    """Columns from the left, 0 … W."""
    border_right: np.ndarray
    """Columns from the right, 0 … W."""
    border_contrast: np.ndarray
    """Mean luma of the outermost sixteenth of the image less that of the rest, -1 … 1."""
    minimum: np.ndarray
    """Lowest value of any channel, in levels."""
    maximum: np.ndarray
    """Highest value of any channel, in levels."""
    darkest: np.ndarray
    """Level that 1% of the pixels do not exceed."""
    brightest: np.ndarray
    """Level that 99% of the pixels do not exceed."""
    entropy: np.ndarray
    """Bits of the grey levels' distribution, 0 … 8."""
    flat_share: np.ndarray
    """Largest share of the pixels within 9 adjoining grey levels, 0 … 1."""
    black_share: np.ndarray
    """Share of the pixels of level 0 or 1: clipped shadows, a black frame."""
    white_share: np.ndarray
    """Share of the pixels of level 254 or 255: clipped lights, a white ground."""
    spread: np.ndarray
    """Standard deviation, in levels, of the channel that varies most."""
    detail: np.ndarray
    """Standard deviation, in levels, of the channel that varies most from its best smooth surface
    (4th degree in x and y)."""
    correlation: np.ndarray
    """Of neighbouring pixels, along the axis where it is larger: 0 for noise, photos about 0.9."""
    blur: np.ndarray
    """How much steeper than usual the spectrum falls, in deviations over CIFAR-10's images."""
    pixelation: np.ndarray
    """Share of rows and columns, not of one colour, that equal the next: 1/2 if doubled in size."""


BORDER_TOLERANCE = 8
"""Levels from the darkest to the brightest value of a channel within a border."""


def image_properties(images: np.ndarray) -> ImageProperties:
    """The properties of every image, read in pieces by a thread for each core.

    Args:
        images: uint8 (N, H, W, C), H and W from 8 up, C 1 or 3; memory-mapped or not.
    """
    step = max(1, _PIECE // max(1, int(np.prod(images.shape[1:]))))
    starts = range(0, len(images), step)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as pool:
        pieces = list(pool.map(lambda start: _measured(images[start : start + step]), starts))
    if not pieces:
        return ImageProperties(*(np.empty(0, np.float32) for _ in ImageProperties._fields))
    return ImageProperties(*(np.concatenate(part) for part in zip(*pieces, strict=True)))


def _measured(images: np.ndarray) -> ImageProperties:
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))  # (n, C, H, W)
    values = planes.astype(np.float32)
    luma = values[:, 0] if len(planes[0]) == 1 else np.tensordot(values, _GREY, (1, 0))
    count = len(luma)
    pixels = luma[0].size
    mean = luma.mean((1, 2))
    channels = values.mean((2, 3))
    centred = (values - channels[:, :, None, None]).reshape(count, -1, pixels)
    deviation = np.sqrt(np.einsum("ncp,ncp->nc", centred, centred) / pixels)
    grey = luma.reshape(count, pixels) - mean[:, None]
    levels = _histograms(np.rint(luma).astype(np.uint8).reshape(count, pixels))
    share = levels / np.float32(pixels)
    below = share.cumsum(1)
    windows = np.concatenate([below[:, 8:9], below[:, 9:] - below[:, :-9]], 1)
    small = _reduced(luma)
    strongest = values[np.arange(count), deviation.argmax(1)]  # (n, H, W)
    measured = ImageProperties(
        brightness=mean / 255,
        contrast=np.sqrt(np.einsum("np,np->n", grey, grey) / pixels) / 255,
        red=channels[:, 0] / 255,
        green=channels[:, len(channels[0]) // 2] / 255,
        blue=channels[:, -1] / 255,
        colourfulness=_colourfulness(channels, centred),
        **_borders(planes),
        border_contrast=_border_contrast(luma) / 255,
        minimum=planes.min((1, 2, 3)),
        maximum=planes.max((1, 2, 3)),
        darkest=(below >= 0.01 - 1e-6).argmax(1),
        brightest=(below >= 0.99 - 1e-6).argmax(1),
        entropy=-(share * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum(1),
        flat_share=windows.max(1),
        black_share=share[:, :2].sum(1),
        white_share=share[:, -2:].sum(1),
        spread=deviation.max(1),
        detail=_detail(_reduced(strongest)),
        correlation=_correlation(small),
        blur=blur_score(small),
        pixelation=pixelation(luma),
    )
    return ImageProperties(*(np.asarray(part, np.float32) for part in measured))


def _histograms(levels: np.ndarray) -> np.ndarray:
    """int64 (n, 256): how often each value occurs in each row of uint8 (n, P)."""
    keys = levels + (np.arange(len(levels), dtype=np.int64) * 256)[:, None]
    return np.bincount(keys.ravel(), minlength=len(levels) * 256).reshape(-1, 256)


def _colourfulness(means: np.ndarray, centred: np.ndarray) -> np.ndarray:
    if centred.shape[1] == 1:
        return np.zeros(len(centred))
    red, green, blue = means.T
    deviations, distance = 0.0, 0.0
    for mean, difference in (
        (red - green, centred[:, 0] - centred[:, 1]),
        ((red + green) / 2 - blue, (centred[:, 0] + centred[:, 1]) / 2 - centred[:, 2]),
    ):
        deviations = deviations + np.einsum("np,np->n", difference, difference)
        distance = distance + mean**2
    return np.sqrt(deviations / centred.shape[2]) + 0.3 * np.sqrt(distance)


def _borders(planes: np.ndarray) -> dict[str, np.ndarray]:
    """Widths of the borders of uint8 (n, C, H, W)."""
    rows = planes.min(3), planes.max(3)  # (n, C, H)
    columns = planes.min(2), planes.max(2)
    return {
        "border_top": _leading(*rows),
        "border_bottom": _leading(*(part[:, :, ::-1] for part in rows)),
        "border_left": _leading(*columns),
        "border_right": _leading(*(part[:, :, ::-1] for part in columns)),
    }


def _leading(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How many lines (the last axis) are, together with all before them, of one colour."""
    low, high = np.minimum.accumulate(low, axis=2), np.maximum.accumulate(high, axis=2)
    return ((high - low).max(1) <= BORDER_TOLERANCE).sum(1)


def _border_contrast(luma: np.ndarray) -> np.ndarray:
    height, width = luma.shape[1:]
    down, across = max(1, height // 16), max(1, width // 16)
    inner = luma[:, down : height - down, across : width - across]
    rest = luma[0].size - inner[0].size
    inside = inner.sum((1, 2), dtype=np.float64)
    outside = luma.sum((1, 2), dtype=np.float64) - inside
    return outside / rest - inside / inner[0].size


def _reduced(luma: np.ndarray) -> np.ndarray:
    """float32 (n, h, w), less its mean: means of squares, the shorter side with 63 at most."""
    factor = max(1, min(luma.shape[1:]) // _SIDE)
    height, width = (side // factor for side in luma.shape[1:])
    cut = luma[:, : height * factor, : width * factor]
    small = cut.reshape(len(luma), height, factor, width, factor).mean((2, 4))
    centred: np.ndarray = small - small.mean((1, 2), keepdims=True)
    return centred


def _detail(small: np.ndarray) -> np.ndarray:
    flat = small.reshape(len(small), -1)
    rest = np.einsum("np,np->n", flat, flat) - ((flat @ _surfaces(*small.shape[1:])) ** 2).sum(1)
    return np.sqrt(np.maximum(rest, 0) / flat.shape[1])


@lru_cache(maxsize=4)
def _surfaces(height: int, width: int) -> np.ndarray:
    """float32 (h w, 15): orthonormal polynomials in x and y up to the 4th degree."""
    down, across = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    powers = [(down**i * across**j).ravel() for i in range(5) for j in range(5 - i)]
    return np.linalg.qr(np.stack(powers, 1))[0].astype(np.float32)


def _correlation(small: np.ndarray) -> np.ndarray:
    """1 where an image is of one colour."""
    best = np.full(len(small), -1.0)
    for left, right in (
        (small[:, :, 1:], small[:, :, :-1]),
        (small[:, 1:], small[:, :-1]),
    ):
        product = np.einsum("nij,nij->n", left, right)
        length = np.einsum("nij,nij->n", left, left) * np.einsum("nij,nij->n", right, right)
        ratio = np.divide(product, np.sqrt(length), where=length > 1e-3, out=np.ones(len(small)))
        best = np.maximum(best, ratio)
    return best


# Limits, chosen between CIFAR-10's 60,000 images and planted faults; see the figures above.
BLANK = 5.0  # levels of `spread`: noise of 3 levels has 3.1, the flattest photo 9.0
END, NARROW = 80, 36  # levels: all lies this near to black or white, and within this range
FAINT = 14.0  # levels of `spread`: at 0.12 of its brightness no photo has more than 13.8
BLURRED = 2.0  # deviations of `blur`, at least
OUTLYING, APART = 2.7, 0.9  # times what images lie apart above the median; what they do at least
PIXELATED = 0.3  # 0.5 or more when enlarged by repeating pixels, a photo at most 0.13
FEW = 0.04  # share of pixels off the one level: no image of CIFAR has so few, a thin line has 0.03
SMOOTH = 5.0  # levels of `detail`: gradients with noise of 2 levels have up to 4.9
NOISE = 0.4  # `correlation`: noise, JPEG or not, nearly always has less than 0.25, photos 0.51
UNLIKE = 0.15  # of what the median image has: where a whole set is smooth or flat, none is named


class Detection(NamedTuple):
    """What a detector says of each image."""

    score: np.ndarray
    """float32 (N,): the higher the worse; from 1 on the fault is there."""
    flagged: np.ndarray
    """bool (N,)."""


def _detected(score: np.ndarray) -> Detection:
    score = np.asarray(score, np.float32)
    return Detection(score, score >= 1)


def blank(properties: ImageProperties) -> Detection:
    """Images of one colour, or of one but for noise."""
    return _detected(2 - properties.spread / BLANK)


def too_dark(properties: ImageProperties) -> Detection:
    """Images in which almost nothing is to be seen since all is nearly black.

    A night photo has lights: it spans more than `NARROW` levels.
    """
    colour = np.max([properties.red, properties.green, properties.blue], axis=0)
    top = np.maximum(properties.brightest, 255 * colour)
    return _detected(2 - np.maximum(top / END, _visible(properties)))


def too_bright(properties: ImageProperties) -> Detection:
    """Images in which almost nothing is to be seen since all is nearly white.

    A product on a white ground spans more than `NARROW` levels.
    """
    colour = np.min([properties.red, properties.green, properties.blue], axis=0)
    bottom = np.minimum(properties.darkest, 255 * colour)
    return _detected(2 - np.maximum((255 - bottom) / END, _visible(properties)))


def _visible(properties: ImageProperties) -> np.ndarray:
    """How much stands out, in luma or in one colour; 1 is next to nothing."""
    luma = properties.brightest - properties.darkest
    visible: np.ndarray = np.maximum(luma / NARROW, properties.spread / FAINT)
    return visible


def blurred(properties: ImageProperties) -> Detection:
    """Images without fine detail: out of focus, moved, enlarged from a smaller picture.

    Blur counts where it stands out in absolute terms and from the other images given, so that a
    set of enlarged pictures or soft drawings is not named as a whole.
    """
    blur = properties.blur
    others = (blank, too_dark, too_bright, low_information)
    usual = ~np.any([detect(properties).flagged for detect in others], axis=0)
    threshold, repeated = BLURRED, PIXELATED
    if usual.any():
        low, median = np.quantile(blur[usual], [0.1587, 0.5])
        # Only the sharper half says how far images lie apart: the other may hold many blurred.
        threshold = max(threshold, median + OUTLYING * max(median - low, APART))
        repeated = max(repeated, 2 * np.median(properties.pixelation[usual]))
    return _detected(np.maximum(blur / threshold, properties.pixelation / repeated))


def low_information(properties: ImageProperties) -> Detection:
    """Images that are a smooth gradient, one colour but for a few pixels, or pure noise.

    Each in absolute terms and against the median of the images given; blank ones do not count.
    """
    if not len(properties.spread):
        return _detected(properties.spread)
    few = 1 - properties.flat_share
    few_limit = min(FEW, UNLIKE * np.median(few))
    detail_limit = min(SMOOTH, UNLIKE * np.median(properties.detail))
    noise_limit = max(min(NOISE, np.median(properties.correlation) / 2), NOISE / 4)
    spread = np.maximum(properties.spread, 1e-6)
    worst = np.min(
        [
            few / max(few_limit, 1e-6),
            np.maximum(properties.detail / max(detail_limit, 1e-6), 2 * properties.detail / spread),
            np.maximum(properties.correlation, 0) / noise_limit,
        ],
        axis=0,
    )
    return _detected(np.where(blank(properties).flagged, 0, 2 - worst))
