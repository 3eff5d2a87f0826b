import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import map_coordinates
from torch import Generator, Tensor

from tinyscope.data import augmentation
from tinyscope.data.augmentation import cutout, flip_and_shift, rotate_and_zoom, shrunk


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def moved(image: np.ndarray, *, down: int, right: int, shift: int) -> np.ndarray:
    """The slow way: pad by reflection, cut out."""
    padded = np.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    return padded[shift - down :, shift - right :][:height, :width]


@pytest.mark.parametrize(("height", "width"), [(7, 7), (5, 9), (3, 2), (1, 6)])
@pytest.mark.parametrize("shift", [0, 1, 4])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_every_image_is_one_that_padding_by_reflection_and_mirroring_gives(
    height: int, width: int, shift: int, flips: tuple[bool, bool]
) -> None:
    images = pictures(10, height, width)
    horizontal, vertical = flips
    out = flip_and_shift(
        torch.from_numpy(images),
        horizontal_flip=horizontal,
        vertical_flip=vertical,
        shift=shift,
        generator=generator(),
    ).numpy()
    assert out.dtype == np.uint8
    for image, found in zip(images, out, strict=True):
        possible = {
            moved(image, down=down, right=right, shift=shift)[::row, ::column].tobytes()
            for down in range(-shift, shift + 1)
            for right in range(-shift, shift + 1)
            for row in ((1, -1) if vertical else (1,))
            for column in ((1, -1) if horizontal else (1,))
        }
        assert found.tobytes() in possible


def test_every_shift_and_every_mirroring_is_equally_likely() -> None:
    # 2 x 2 mirrorings and 3 x 3 shifts of one image that tells all 36 apart.
    image = pictures(1, 6, 8)
    count = 36_000
    out = flip_and_shift(
        torch.from_numpy(image).expand(count, -1, -1, -1),
        horizontal_flip=True,
        vertical_flip=True,
        shift=1,
        generator=generator(),
    ).numpy()
    found = Counter(each.tobytes() for each in out)
    expected = {
        moved(image[0], down=down, right=right, shift=1)[::row, ::column].tobytes()
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        for row in (1, -1)
        for column in (1, -1)
    }
    assert set(found) == expected
    assert len(expected) == 36
    deviation = math.sqrt(count * (1 / 36) * (35 / 36))
    assert all(abs(times - 1000) < 5 * deviation for times in found.values())


def test_only_the_asked_flip_is_done_and_to_about_half_of_the_images() -> None:
    images = torch.from_numpy(pictures(1000, 4, 5))
    for across in (True, False):
        out = flip_and_shift(
            images, horizontal_flip=across, vertical_flip=not across, shift=0, generator=generator()
        )
        mirrored = images.flip(2 if across else 1)
        is_mirrored = (out == mirrored).flatten(1).all(1)
        assert ((out == images).flatten(1).all(1) | is_mirrored).all()
        assert 420 < is_mirrored.sum() < 580


@pytest.mark.parametrize("shift", [0, 2])
def test_where_it_is_given_exactly_those_images_are_mirrored(shift: int) -> None:
    images = pictures(40, 7, 9)
    mirrored = torch.rand(40, generator=generator(3)) < 0.4
    out = flip_and_shift(
        torch.from_numpy(images),
        horizontal_flip=True,
        vertical_flip=False,
        shift=shift,
        generator=generator(),
        mirrored=mirrored,
    ).numpy()
    for image, turned, found in zip(images, mirrored, out, strict=True):
        possible = {
            moved(image, down=down, right=right, shift=shift)[:, :: -1 if turned else 1].tobytes()
            for down in range(-shift, shift + 1)
            for right in range(-shift, shift + 1)
        }
        assert found.tobytes() in possible


def test_who_is_mirrored_is_no_draw_and_does_not_change_the_shifts() -> None:
    images = torch.from_numpy(pictures(50, 6, 8))

    def shifted(given: Tensor, *, turned: bool) -> Tensor:
        return flip_and_shift(
            given,
            horizontal_flip=True,
            vertical_flip=False,
            shift=2,
            generator=generator(),
            mirrored=torch.full((50,), turned),
        )

    assert torch.equal(shifted(images.flip(2), turned=False), shifted(images, turned=True))


def test_images_of_any_dtype_and_any_number_of_channels_are_moved() -> None:
    images = torch.rand(3, 4, 4, 1, dtype=torch.float64)
    out = flip_and_shift(
        images, horizontal_flip=True, vertical_flip=True, shift=9, generator=generator()
    )
    assert out.dtype == torch.float64
    assert set(out.flatten().tolist()) <= set(images.flatten().tolist())


def with_draws(monkeypatch: pytest.MonkeyPatch, *, angle: float, zoom: float) -> None:
    """Makes every draw of `rotate_and_zoom` the given share (-1 … 1) of its limit."""

    def drawn(size: tuple[int, int], *, generator: Generator) -> Tensor:
        return (torch.tensor([angle, zoom])[:, None] / 2 + 0.5).expand(size)

    monkeypatch.setattr(augmentation.torch, "rand", drawn)


def test_no_rotation_and_no_zoom_leave_images_as_they_are() -> None:
    images = torch.from_numpy(pictures(4, 9, 12))
    out = rotate_and_zoom(images, rotation=0, zoom=0, generator=generator())
    assert out.dtype == torch.float32
    assert out.shape == images.shape
    torch.testing.assert_close(out, images.float(), rtol=0, atol=0.01)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize(("degrees", "quarters"), [(90, 1), (-90, -1), (180, 2)])
def test_quarter_turns_are_those_of_numpy(
    monkeypatch: pytest.MonkeyPatch, size: int, degrees: float, quarters: int
) -> None:
    images = pictures(3, size, size)
    with_draws(monkeypatch, angle=math.copysign(1, degrees), zoom=0)
    out = rotate_and_zoom(
        torch.from_numpy(images), rotation=abs(degrees), zoom=0.5, generator=generator()
    )
    expected = np.rot90(images, quarters, axes=(1, 2))
    np.testing.assert_allclose(out.numpy(), expected, atol=0.05)


def slowly_changed(image: np.ndarray, *, degrees: float, factor: float) -> np.ndarray:
    """The slow way: ask scipy for the value of every pixel's place of origin."""
    height, width, channels = image.shape
    angle = math.radians(degrees)
    rows, columns = np.mgrid[:height, :width].astype(float)
    down, right = rows - (height - 1) / 2, columns - (width - 1) / 2
    from_right = (math.cos(angle) * right - math.sin(angle) * down) / factor + (width - 1) / 2
    from_down = (math.sin(angle) * right + math.cos(angle) * down) / factor + (height - 1) / 2
    planes = [
        map_coordinates(
            image[..., c].astype(float), [from_down, from_right], order=1, mode="reflect"
        )
        for c in range(channels)
    ]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize(("height", "width"), [(10, 10), (8, 13), (13, 8)])
@pytest.mark.parametrize(("share", "zoom"), [(1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (0.5, 0.5)])
def test_rotation_and_zoom_are_those_of_a_slow_loop_also_where_images_are_not_square(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, share: float, zoom: float
) -> None:
    images = pictures(2, height, width)
    with_draws(monkeypatch, angle=share, zoom=zoom)
    out = rotate_and_zoom(torch.from_numpy(images), rotation=30, zoom=0.4, generator=generator())
    for image, found in zip(images, out.numpy(), strict=True):
        expected = slowly_changed(image, degrees=30 * share, factor=1 + 0.4 * zoom)
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_positive_zoom_enlarges(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.zeros(1, 20, 20, 1)
    image[:, 8:12, 8:12] = 255
    with_draws(monkeypatch, angle=0, zoom=1)
    grown = rotate_and_zoom(image, rotation=0, zoom=0.5, generator=generator())
    assert (grown > 128).sum() == 36  # 4 x 4 pixels become 6 x 6
    with_draws(monkeypatch, angle=0, zoom=-1)
    shrunk = rotate_and_zoom(image, rotation=0, zoom=0.5, generator=generator())
    assert (shrunk[:, 5:15, 5:15] > 128).sum() == 4  # its reflections are in the corners


def test_angles_and_zooms_are_drawn_evenly_and_one_by_one() -> None:
    # The left half is black and the right half white: the border's slope tells the angle.
    image = torch.zeros(1, 33, 33, 1)
    image[:, :, 17:] = 255
    out = rotate_and_zoom(image.expand(500, -1, -1, -1), rotation=40, zoom=0, generator=generator())
    above = (255 - out[:, 11, 6:27, 0]).sum(1) / 255
    below = (255 - out[:, 21, 6:27, 0]).sum(1) / 255
    angles = torch.rad2deg(torch.atan((above - below) / 10))
    assert angles.abs().max() < 41
    assert angles.abs().mean() == pytest.approx(20, abs=2)
    assert abs(angles.mean()) < 4
    assert len(set(angles.round(decimals=2).tolist())) > 400


def test_rotated_and_zoomed_values_stay_in_range() -> None:
    images = torch.from_numpy(pictures(50, 8, 8))
    out = rotate_and_zoom(images, rotation=180, zoom=0.9, generator=generator())
    assert out.min() >= 0
    assert out.max() <= 255
    assert torch.isfinite(out).all()


def square_of(image: Tensor, fill: Tensor) -> tuple[int, int, int, int]:
    """First and last row and column of the blanked pixels, which must fill that rectangle."""
    blank = (image == fill).all(2)
    rows, columns = blank.any(1).nonzero(), blank.any(0).nonzero()
    top, bottom = int(rows[0]), int(rows[-1])
    left, right = int(columns[0]), int(columns[-1])
    assert blank.sum() == (bottom - top + 1) * (right - left + 1)
    return top, bottom, left, right


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_square_around_any_pixel_is_blanked_and_cut_off_at_the_border(side: int) -> None:
    height, width = 9, 12
    images = torch.ones(3000, height, width, 3, dtype=torch.uint8)
    fill = torch.tensor([200.0, 100.0, 50.0])
    out = cutout(images, side=side, fill=fill, generator=generator())
    assert out.dtype == torch.uint8
    found = Counter(square_of(image, fill) for image in out)
    before, after = side // 2, side - side // 2 - 1
    tops_and_bottoms = [(max(at - before, 0), min(at + after, height - 1)) for at in range(height)]
    lefts_and_rights = [(max(at - before, 0), min(at + after, width - 1)) for at in range(width)]
    expected = {(*high, *wide) for high in tops_and_bottoms for wide in lefts_and_rights}
    assert set(found) == expected
    untouched = (out != fill).any(3)
    assert (out[untouched] == 1).all()


def test_a_square_larger_than_the_image_may_blank_it_whole() -> None:
    out = cutout(torch.ones(5, 4, 4, 1), side=20, fill=torch.tensor([7.0]), generator=generator())
    assert (out == 7).all()


def apply(name: str, images: Tensor, seed: int) -> Tensor:
    random = generator(seed)
    if name == "flip_and_shift":
        return flip_and_shift(
            images, horizontal_flip=True, vertical_flip=True, shift=2, generator=random
        )
    if name == "rotate_and_zoom":
        return rotate_and_zoom(images, rotation=20, zoom=0.2, generator=random)
    return cutout(images, side=3, fill=torch.tensor([1.0, 2.0, 3.0]), generator=random)


@pytest.mark.parametrize("name", ["flip_and_shift", "rotate_and_zoom", "cutout"])
def test_one_seed_gives_one_result_and_leaves_the_images_alone(name: str) -> None:
    images = torch.from_numpy(pictures(20, 8, 8))
    before = images.clone()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second, other = (apply(name, images, seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state), "randomness is the generator's alone"


def by_pillow(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 (N, h, w, C): each channel resized by Pillow, which antialiases too."""
    planes = images.astype(np.float32)
    small = [
        [
            np.asarray(
                Image.fromarray(plane, mode="F").resize((width, height), Image.Resampling.BILINEAR)
            )
            for plane in image.transpose(2, 0, 1)
        ]
        for image in planes
    ]
    return np.array(small).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.625, 0.75, 0.9])
@pytest.mark.parametrize(
    ("height", "width", "channels"), [(32, 32, 3), (24, 40, 1), (17, 30, 3), (20, 130, 3)]
)
def test_shrunk_images_are_pillows_antialiased_ones(
    share: float, height: int, width: int, channels: int
) -> None:
    images = pictures(4, height, width, channels)
    out = shrunk(torch.from_numpy(images), share)
    assert out.dtype == torch.float32
    size = round(share * height), round(share * width)
    assert out.shape == (4, *size, channels)
    np.testing.assert_allclose(out.numpy(), by_pillow(images, *size), rtol=0, atol=0.05)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_grey_level_stays_and_so_does_the_mean_of_an_even_change(share: float) -> None:
    flat = torch.full((2, 16, 16, 3), 77, dtype=torch.uint8)
    assert (shrunk(flat, share) - 77).abs().max() < 1e-4
    slope = torch.arange(16.0)[None, None, :, None].expand(1, 16, 16, 1)
    assert shrunk(slope, share).mean().item() == pytest.approx(7.5, abs=1e-4)


def test_a_pixel_of_half_the_size_is_a_mean_weighed_1_3_3_1_along_either_axis() -> None:
    # A triangle over 4 pixels, whose middle lies between the second and the third.
    images = torch.from_numpy(pictures(3, 12, 12)).float()
    planes = F.pad(images.permute(0, 3, 1, 2), (1, 1, 1, 1))
    inside = F.pad(torch.ones(1, 1, 12, 12), (1, 1, 1, 1))
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = (kernel[:, None] * kernel)[None, None]
    sums = F.conv2d(planes.flatten(0, 1)[:, None], kernel, stride=2).unflatten(0, (3, 3))[:, :, 0]
    expected = sums / F.conv2d(inside, kernel, stride=2)[0, 0]
    torch.testing.assert_close(shrunk(images, 0.5), expected.permute(0, 2, 3, 1))


def test_how_images_shrink_does_not_hang_on_the_device_in_force_at_first() -> None:
    images = torch.from_numpy(pictures(2, 13, 11))  # a size that no other test asks for
    with torch.device("meta"):
        first = shrunk(images, 0.5)
    assert first.device.type == "cpu"
    assert torch.equal(first, shrunk(images, 0.5))


def test_images_that_do_not_shrink_are_given_back_themselves() -> None:
    images = torch.from_numpy(pictures(2, 8, 8))
    assert shrunk(images, 1.0) is images
    assert shrunk(images, 0.99) is images


@pytest.mark.parametrize(
    ("side", "share", "expected"),
    [(8, 0.25, 3), (12, 0.25, 3), (16, 0.25, 4), (3, 0.5, 3), (2, 0.25, 2), (10, 0.25, 3)],
)
def test_sides_are_rounded_but_to_three_pixels_at_least(
    side: int, share: float, expected: int
) -> None:
    out = shrunk(torch.from_numpy(pictures(2, side, 2 * side)), share)
    assert out.shape[1] == expected
    assert out.shape[2] == min(2 * side, max(3, round(2 * side * share)))
