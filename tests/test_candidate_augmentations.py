import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.inspection.candidate_augmentations import augmentations, changed
from tinyscope.plan.recipe import Recipe

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def by_name(name: str, shape: tuple[int, int, int] = (16, 16, 3)):
    (found,) = (each for each in augmentations(*shape) if each.name.startswith(name))
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("horizontal flip", IMAGES[:, :, ::-1]),
        ("vertical flip", IMAGES[:, ::-1]),
        ("rotation by 180", np.rot90(IMAGES, 2, (1, 2))),
        ("inverted", 255 - IMAGES),
    ],
)
def test_exact_changes_are_numpys(name: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(changed(IMAGES, by_name(name)), expected)


def test_quarter_turns_go_left_and_right_in_turn() -> None:
    turned = changed(IMAGES, by_name("rotation by 90"))
    np.testing.assert_array_equal(turned[0], np.rot90(IMAGES[0]))
    np.testing.assert_array_equal(turned[1], np.rot90(IMAGES[1], -1))


def test_grey_is_pillows_up_to_rounding() -> None:
    grey = changed(IMAGES, by_name("grey"))
    for image, expected in zip(grey, IMAGES, strict=True):
        luma = np.array(Image.fromarray(expected).convert("L"), np.int64)
        assert np.abs(image - luma[..., None]).max() <= 1


def test_blur_is_the_mean_of_nine_pixels() -> None:
    blurred = changed(IMAGES, by_name("blur"))
    mean = IMAGES[2, 4:7, 8:11].astype(np.float64).mean((0, 1))
    np.testing.assert_allclose(blurred[2, 5, 9], mean, atol=0.51)


def test_changes_are_the_same_each_time_and_leave_their_input_alone() -> None:
    for each in augmentations(16, 16, 3):
        assert changed(np.zeros((0, 16, 16, 3), np.uint8), each).shape == (0, 16, 16, 3)
        before = IMAGES.copy()
        first = changed(IMAGES, each)
        torch.manual_seed(1)
        np.testing.assert_array_equal(changed(IMAGES, each), first)
        np.testing.assert_array_equal(before, IMAGES)
        assert (first.shape, first.dtype) == (IMAGES.shape, np.uint8)
        assert not np.array_equal(first, IMAGES)


def test_oblong_images_are_not_turned_and_grey_ones_not_made_grey() -> None:
    names = [each.name for each in augmentations(16, 24, 1)]
    assert "rotation by 90 degrees" not in names
    assert "grey" not in names
    assert "rotation by 180 degrees" in names


def test_settings_switch_the_change_on_in_a_recipe() -> None:
    settings = [each.settings for each in augmentations(32, 32, 3) if each.settings]
    assert [list(each) for each in settings] == [
        ["horizontal_flip"],
        ["vertical_flip"],
        ["shift"],
        ["rotation"],
        ["zoom"],
        ["cutout"],
    ]
    for each in settings:
        assert Recipe().changed(each).difference(Recipe()) == each
