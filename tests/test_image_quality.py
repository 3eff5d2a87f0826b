"""Tests of tinyscope.data.image_quality and the blur that it measures."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageStat
from scipy import ndimage
from scipy.fft import dctn
from sklearn.datasets import load_digits

from tinyscope.data import blur, image_quality
from tinyscope.data.image_quality import (
    Detection,
    ImageProperties,
    blank,
    blurred,
    image_properties,
    low_information,
    too_bright,
    too_dark,
)

DETECTORS = {
    "blank": blank,
    "too dark": too_dark,
    "too bright": too_bright,
    "blurred": blurred,
    "low information": low_information,
}


def scenes(count: int, side: int = 32, *, seed: int = 0) -> np.ndarray:
    """Images with structure at every scale, as photos have: noise with a 1/f spectrum."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(
        random.normal(size=(count, 3, side, side)) + random.normal(size=(count, 1, side, side))
    )
    images = np.fft.ifft2(noise / frequency**1.3).real
    images -= images.mean((1, 2, 3), keepdims=True)
    images = 128 + 45 * images / images.std((1, 2, 3), keepdims=True)
    return images.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1).copy()


SCENES = scenes(200)
GREY = SCENES[:20, :, :, :1]


def levels(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file))


def luma(images: np.ndarray) -> np.ndarray:
    """(N, H, W), Pillow's."""
    return np.stack([np.asarray(Image.fromarray(image).convert("F")) for image in images])


# ---- properties


def test_each_image_has_one_value_of_every_property_whatever_the_pieces(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", SCENES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    at_once = image_properties(SCENES)
    monkeypatch.setattr(image_quality, "_PIECE", 7 * 32 * 32 * 3)
    in_pieces = image_properties(mapped)
    for name, whole, parts in zip(ImageProperties._fields, at_once, in_pieces, strict=True):
        assert whole.shape == (200,), name
        assert whole.dtype == np.float32, name
        np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-4, err_msg=name)


def test_brightness_contrast_and_colours_are_pillows():
    measured = image_properties(SCENES)
    values = luma(SCENES)
    np.testing.assert_allclose(measured.brightness, values.mean((1, 2)) / 255, atol=2e-3)
    np.testing.assert_allclose(measured.contrast, values.std((1, 2)) / 255, atol=2e-3)
    stats = [ImageStat.Stat(Image.fromarray(image)) for image in SCENES]
    means = np.array([stat.mean for stat in stats]) / 255
    np.testing.assert_allclose(np.stack(measured[2:5], 1), means, atol=1e-5)
    spread = [max(stat.stddev) for stat in stats]
    np.testing.assert_allclose(measured.spread, spread, rtol=1e-4)
    extremes = np.array([stat.extrema for stat in stats])
    np.testing.assert_array_equal(measured.minimum, extremes[:, :, 0].min(1))
    np.testing.assert_array_equal(measured.maximum, extremes[:, :, 1].max(1))


def test_entropy_is_pillows_and_shares_are_counted():
    measured = image_properties(GREY)
    for row, image in enumerate(GREY[..., 0]):
        counts = np.bincount(image.ravel(), minlength=256) / image.size
        assert measured.entropy[row] == pytest.approx(Image.fromarray(image).entropy(), abs=1e-4)
        windows = [counts[low : low + 9].sum() for low in range(248)]
        assert measured.flat_share[row] == pytest.approx(max(windows), abs=1e-5)
        assert measured.black_share[row] == pytest.approx((image <= 1).mean())
        assert measured.white_share[row] == pytest.approx((image >= 254).mean())
        darkest, brightest = np.quantile(image, [0.01, 0.99], method="inverted_cdf")
        assert (measured.darkest[row], measured.brightest[row]) == (darkest, brightest)


def test_a_grey_image_has_no_colourfulness_and_the_published_formula_gives_the_rest():
    grey = np.repeat(GREY, 3, axis=3)
    np.testing.assert_allclose(image_properties(grey).colourfulness, 0, atol=1e-3)
    np.testing.assert_array_equal(image_properties(GREY).colourfulness, 0)
    red, green, blue = SCENES[0].astype(float).transpose(2, 0, 1)
    one, other = red - green, (red + green) / 2 - blue
    expected = np.hypot(one.std(), other.std()) + 0.3 * np.hypot(one.mean(), other.mean())
    assert image_properties(SCENES[:1]).colourfulness[0] == pytest.approx(expected, rel=1e-4)


def test_borders_have_their_width_on_each_side():
    framed = SCENES[:4].copy()
    framed[0, :3] = framed[0, -2:] = framed[0, :, :1] = framed[0, :, -5:] = [10, 200, 30]
    random = np.random.default_rng(0)
    framed[1, :6] = 100 + random.integers(-4, 5, (6, 32, 3))  # as JPEG leaves it
    framed[2, :6] = 100 + random.integers(-9, 10, (6, 32, 3))
    framed[3] = 77
    measured = image_properties(framed)
    widths = np.stack(
        [getattr(measured, f"border_{side}") for side in ("top", "bottom", "left", "right")], 1
    )
    np.testing.assert_array_equal(widths[:3], [[3, 2, 1, 5], [6, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(widths[3], 32)


def test_the_border_is_compared_with_the_rest():
    image = np.full((1, 32, 32, 3), 204, np.uint8)
    image[:, 2:-2, 2:-2] = 51
    assert image_properties(image).border_contrast[0] == pytest.approx(0.6)


def test_detail_is_what_no_smooth_surface_explains():
    down, across = np.mgrid[-1:1:32j, -1:1:32j]
    surface = 128 + 40 * down + 30 * across**2 * down - 25 * across**4
    random = np.random.default_rng(0)
    noisy = np.stack([surface, surface + random.normal(0, 8, (32, 32)), GREY[0, :, :, 0]])
    measured = image_properties(levels(noisy)[..., None])
    powers = [(down**i * across**j).ravel() for i in range(5) for j in range(5 - i)]
    for row, image in enumerate(levels(noisy).reshape(3, -1).astype(float)):
        fitted = np.stack(powers, 1) @ np.linalg.lstsq(np.stack(powers, 1), image)[0]
        assert measured.detail[row] == pytest.approx((image - fitted).std(), abs=0.02)


def test_correlation_is_that_of_neighbours_along_the_smoother_axis():
    stripes = np.tile(
        levels(np.random.default_rng(0).uniform(0, 255, (1, 32, 1, 1))), (1, 1, 32, 1)
    )
    images = np.concatenate([GREY, stripes])
    measured = image_properties(images).correlation
    for row, image in enumerate(images[..., 0].astype(float)):
        pairs = (image[:, 1:], image[:, :-1]), (image[1:], image[:-1])
        expected = max(np.corrcoef(left.ravel(), right.ravel())[0, 1] for left, right in pairs)
        assert measured[row] == pytest.approx(expected, abs=0.02)
    assert image_properties(np.full((1, 9, 9, 1), 3, np.uint8)).correlation[0] == 1


def test_the_spectrum_is_scipys():
    values = GREY[..., 0].astype(np.float32)
    expected = dctn(values.astype(float), axes=(1, 2), norm="ortho") ** 2
    np.testing.assert_allclose(blur._spectrum(values), expected, rtol=1e-2, atol=1)


@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (8, 512, 1), (33, 47, 3), (100, 70, 3), (512, 512, 3)]
)
def test_images_of_any_size_are_measured(shape):
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    measured = image_properties(images)
    assert all(np.isfinite(part).all() for part in measured)
    assert len(measured.blur) == 2


def test_no_images_have_no_properties_and_no_faults():
    measured = image_properties(np.empty((0, 32, 32, 3), np.uint8))
    for detect in DETECTORS.values():
        assert detect(measured).flagged.shape == (0,)
        assert detect(measured).flagged.dtype == bool


# ---- faults


def gaussian(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: levels(ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0)))


def box(width: int, height: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: levels(ndimage.uniform_filter(image.astype(float), (height, width, 0)))


def rescaled(factor: float, how: Image.Resampling) -> Callable[[np.ndarray], np.ndarray]:
    def change(image: np.ndarray) -> np.ndarray:
        small = Image.fromarray(image).resize(
            (round(len(image) / factor),) * 2, Image.Resampling.BOX
        )
        return np.asarray(small.resize(image.shape[:2], how))

    return change


def noise_around(level: float, deviation: float) -> Callable[[np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    return lambda image: levels(level + random.normal(0, deviation, image.shape))


def gradient(image: np.ndarray, *, noise: float = 0.0, round_: bool = False) -> np.ndarray:
    down, across = np.mgrid[0 : len(image), 0 : len(image)] / len(image)
    slope = np.hypot(down - 0.3, across - 0.6) if round_ else 0.7 * down + 0.3 * across
    random = np.random.default_rng(image[0, 0, 0])
    colours = 40 + slope[..., None] * [150, 90, 30] + random.normal(0, noise, image.shape)
    return levels(colours)


def few_pixels(image: np.ndarray) -> np.ndarray:
    changed = np.full_like(image, 90)
    changed[3, 4:9] = changed[20, 11:15] = 230
    return changed


FAULTS = {
    "one colour": ("blank", lambda image: np.full_like(image, image[0, 0])),
    "one colour with noise": ("blank", noise_around(120, 3)),
    "one colour with noise as JPEG": (
        "blank",
        lambda image: recompressed(noise_around(9, 3)(image)),
    ),
    "brightness x 0.02": ("too dark", lambda image: levels(image * 0.02)),
    "brightness x 0.12": ("too dark", lambda image: levels(image * 0.12)),
    "brightness x 0.1 + 20": ("too dark", lambda image: levels(image * 0.1 + 20)),
    "nearly white": ("too bright", lambda image: levels(255 - (255.0 - image) * 0.12)),
    "nearly white, as JPEG": ("too bright", lambda image: recompressed(levels(225 + image * 0.1))),
    "sigma 1": ("blurred", gaussian(1)),
    "sigma 2": ("blurred", gaussian(2)),
    "sigma 4": ("blurred", gaussian(4)),
    "sigma 1.5 as JPEG": ("blurred", lambda image: recompressed(gaussian(1.5)(image))),
    "Pillow's blur": (
        "blurred",
        lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.2))),
    ),
    "box of 3": ("blurred", box(3, 3)),
    "box of 6": ("blurred", box(6, 6)),
    "motion along x": ("blurred", box(5, 1)),
    "motion along y": ("blurred", box(1, 7)),
    "half the size and back": ("blurred", rescaled(2, Image.Resampling.BILINEAR)),
    "a quarter and back": ("blurred", rescaled(4, Image.Resampling.BICUBIC)),
    "enlarged by repeated pixels": ("blurred", rescaled(2, Image.Resampling.NEAREST)),
    "enlarged by 2.7": ("blurred", rescaled(2.7, Image.Resampling.NEAREST)),
    "gradient": ("low information", gradient),
    "round gradient": ("low information", lambda image: gradient(image, round_=True)),
    "gradient with noise": ("low information", lambda image: gradient(image, noise=2)),
    "few pixels": ("low information", few_pixels),
    "noise": ("low information", noise_around(128, 60)),
    "faint noise": ("low information", noise_around(60, 12)),
    "noise as JPEG": ("low information", lambda image: recompressed(noise_around(128, 60)(image))),
}


def found(images: np.ndarray) -> dict[str, Detection]:
    measured = image_properties(images)
    return {name: detect(measured) for name, detect in DETECTORS.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found_and_hardly_anything_else(fault):
    kind, change = FAULTS[fault]
    images = SCENES.copy()
    images[:30] = [change(image) for image in images[:30]]
    detections = found(images)
    assert detections[kind].flagged[:30].all()
    named = np.any([detection.flagged[30:] for detection in detections.values()], axis=0)
    assert named.sum() <= 1


@pytest.mark.parametrize(
    "fault", ["sigma 1", "box of 3", "motion along x", "half the size and back"]
)
def test_larger_images_are_blurred_by_larger_blurs(fault):
    factor = 3
    sharp = scenes(40, 32 * factor)
    assert not blurred(image_properties(sharp)).flagged.any()
    change = {
        "sigma 1": gaussian(factor),
        "box of 3": box(3 * factor, 3 * factor),
        "motion along x": box(5 * factor, 1),
        "half the size and back": rescaled(2 * factor, Image.Resampling.BILINEAR),
    }[fault]
    sharp[:10] = [change(image) for image in sharp[:10]]
    detection = blurred(image_properties(sharp))
    assert detection.flagged[:10].all()
    assert not detection.flagged[10:].any()


def test_more_blur_has_a_higher_score():
    scores = [
        np.median(image_properties(np.stack([gaussian(s)(image) for image in SCENES[:50]])).blur)
        for s in (0.3, 0.5, 0.7, 1, 1.4, 2)
    ]
    assert scores == sorted(scores)


@pytest.mark.parametrize("fault", ["sigma 1", "enlarged by repeated pixels"])
def test_a_set_of_soft_images_is_not_named_as_a_whole(fault):
    soft = np.stack([FAULTS[fault][1](image) for image in SCENES])
    assert blurred(image_properties(soft)).flagged.mean() <= 0.01


def test_night_photos_and_products_on_white_are_not_faults():
    night, product, dim_blue = SCENES[:3].copy()
    night = levels(night * 0.1)
    night[5:8, 5:8] = night[20:23, 9:12] = night[14:16, 20:26] = 240
    mask = np.hypot(*np.mgrid[-16:16, -16:16]) > 7
    product[mask] = 255
    dim_blue[..., :2], dim_blue[..., 2] = 0, 100 + dim_blue[..., 2] / 2  # dark in luma alone
    detections = found(np.concatenate([SCENES, [night, product, dim_blue]]))
    for detection in detections.values():
        assert not detection.flagged[-3:].any()


def test_colours_that_luma_hardly_sees_are_neither_dark_nor_bright():
    blue = np.zeros((32, 32, 3))
    blue[..., 2] = 200 + SCENES[0, :, :, 0] / 8  # luma 23 to 26, within few levels in each channel
    yellow = np.full((32, 32, 3), 255.0)
    yellow[8:24, 8:24, 2] = 60  # on white: luma 233 and 255
    measured = image_properties(levels(np.stack([blue, yellow])))
    assert (measured.brightest[0], measured.darkest[1]) == (26, 233)
    for detect in (too_dark, too_bright):
        assert not detect(measured).flagged.any()


def test_digits_are_hardly_ever_named():
    digits = levels(load_digits().images * (255 / 16))[..., None]
    detections = found(digits)
    assert np.any([detection.flagged for detection in detections.values()], axis=0).mean() < 0.005


def test_a_score_of_one_is_a_fault():
    images = SCENES.copy()
    images[:20] = levels(images[:20] * np.linspace(0.01, 0.5, 20)[:, None, None, None])
    for detection in found(images).values():
        assert detection.score.dtype == np.float32
        np.testing.assert_array_equal(detection.flagged, detection.score >= 1)
    dark = too_dark(image_properties(images)).score[:8]
    assert (np.diff(dark) < 0).all()
