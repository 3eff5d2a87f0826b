"""Tests of tinyscope.data.duplicates."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.fft import dctn
from sklearn.datasets import load_digits

from tinyscope.data import duplicates
from tinyscope.data.dataset import ImageDataset
from tinyscope.data.duplicates import cached_groups, duplicate_groups

COUNT = 60


def scenes(count: int, side: int, *, seed: int = 0) -> np.ndarray:
    """Images with structure at every scale, as photos have: noise with a 1/f spectrum."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    noise = np.fft.fft2(
        random.normal(size=(count, 3, side, side)) + random.normal(size=(count, 1, side, side))
    )
    images = np.fft.ifft2(noise / frequency).real
    images -= images.mean((1, 2, 3), keepdims=True)
    images = 128 + 45 * images / images.std((1, 2, 3), keepdims=True)
    return images.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1).copy()


def recompressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file))


def enhanced(kind: type, factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: np.asarray(kind(Image.fromarray(image)).enhance(factor))


def moved(image: np.ndarray, down: int, across: int) -> np.ndarray:
    return np.roll(image, (down, across), axis=(0, 1))


CHANGES = {
    "mirrored": lambda image: image[:, ::-1],
    "recompressed": recompressed,
    "darker": enhanced(ImageEnhance.Brightness, 0.7),
    "brighter": enhanced(ImageEnhance.Brightness, 1.25),
    "less contrast": enhanced(ImageEnhance.Contrast, 0.7),
    "shifted": lambda image: moved(image, len(image) // 32, -len(image) // 32),
    "mirrored, shifted and recompressed": lambda image: recompressed(moved(image[:, ::-1], 1, 0)),
}


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_shares_the_group_of_its_original(change, side):
    images = scenes(COUNT, side)
    copies = np.stack([CHANGES[change](image) for image in images])

    groups = duplicate_groups(np.concatenate([images, copies]))

    np.testing.assert_array_equal(groups[:COUNT], np.arange(COUNT))
    found = groups[COUNT:] == np.arange(COUNT)
    assert found.mean() > 0.75
    np.testing.assert_array_equal(groups[COUNT:][~found], np.arange(COUNT, 2 * COUNT)[~found])
    assert groups.dtype == np.int64


def test_shifts_of_a_photo_by_up_to_three_pixels_are_found_at_full_size():
    images = scenes(COUNT, 64)
    copies = np.stack([moved(image, 3, 0) for image in images])
    groups = duplicate_groups(np.concatenate([images, copies]))
    assert (groups[COUNT:] == np.arange(COUNT)).mean() > 0.8


def test_grey_and_oblong_images_are_compared_too():
    images = scenes(COUNT, 60)[:, 10:54, :, :1]
    copies = images[:, :, ::-1]
    groups = duplicate_groups(np.concatenate([images, copies]))
    assert (groups[COUNT:] == np.arange(COUNT)).mean() > 0.9


def test_different_scenes_each_have_a_group_of_their_own():
    np.testing.assert_array_equal(duplicate_groups(scenes(600, 32)), np.arange(600))


def test_digits_that_merely_look_alike_are_no_copies():
    digits = (load_digits().images * 255 / 16).round().astype(np.uint8)
    np.testing.assert_array_equal(duplicate_groups(digits[..., None]), np.arange(1797))

    large = np.stack([np.asarray(Image.fromarray(digit).resize((28, 28))) for digit in digits])
    assert len(set(duplicate_groups(large[..., None]).tolist())) > 1780


def test_images_of_equal_pixels_share_a_group_however_small_flat_or_many_they_are():
    images = np.zeros((9, 3, 2, 1), np.uint8)
    images[[2, 5]] = 200
    images[7, 0, 0] = 1
    assert duplicate_groups(images).tolist() == [0, 0, 2, 0, 0, 2, 0, 7, 0]


def test_flat_images_do_not_join_others_that_are_merely_dark():
    random = np.random.default_rng(0)
    images = random.integers(0, 4, (200, 32, 32, 3)).astype(np.uint8)  # sensor noise at night
    images[:50] = np.arange(50)[:, None, None, None]  # flat, each in another shade
    np.testing.assert_array_equal(duplicate_groups(images), np.arange(200))


def test_silhouettes_on_clear_skies_are_no_copies_of_each_other():
    images = np.full((8, 32, 32, 3), 220, np.uint8)
    random = np.random.default_rng(0)
    for image, mast in zip(images, range(11, 19), strict=True):  # ships that differ in a mast
        image[16:18, 10:20] = 30
        image[13:16, mast] = 30
        image += random.integers(0, 3, image.shape).astype(np.uint8)
    np.testing.assert_array_equal(duplicate_groups(images), np.arange(8))


def test_groups_do_not_depend_on_blocks_or_on_memory_mapping(tmp_path, monkeypatch):
    images = scenes(150, 32)
    images[100:] = images[:50, :, ::-1]
    expected = duplicate_groups(images)
    assert len(set(expected.tolist())) < 110

    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, images.shape)
    mapped[:] = images
    monkeypatch.setattr(duplicates, "_ROWS", 17)
    monkeypatch.setattr(duplicates, "_COLUMNS", 23)
    monkeypatch.setattr(duplicates, "_PAIRS", 5)

    np.testing.assert_array_equal(duplicate_groups(mapped), expected)


def test_the_spectrum_is_scipys_cosine_transform_weighted_by_frequency():
    grey = np.random.default_rng(0).integers(0, 256, (5, 20, 32)).astype(np.uint8)
    down, across = np.mgrid[:6, :6]
    expected = dctn(grey.astype(float), axes=(1, 2), norm="ortho")[:, :6, :6]
    expected *= np.hypot(down, across)
    expected /= np.sqrt((expected**2).sum((1, 2), keepdims=True))

    even, odd = duplicates._spectra(grey)

    np.testing.assert_allclose(odd, expected[:, :, 1::2].reshape(5, -1), atol=1e-6)
    np.testing.assert_allclose(even, expected[:, :, 0::2].reshape(5, -1)[:, 1:], atol=1e-6)


def test_averaging_conserves_the_mean_of_any_length():
    for length in (1, 31, 32, 33, 50, 64, 100):
        rows = duplicates._averaging(length)
        assert len(rows) == min(length, 32)
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(rows.sum(axis=0), len(rows) / length, rtol=1e-5)


def test_a_chain_of_pairs_is_one_group_named_by_its_first_row():
    groups = duplicates._joined(np.arange(7), np.array([5, 1, 3]), np.array([6, 5, 4]))
    assert groups.tolist() == [0, 1, 2, 3, 3, 1, 1]


def test_no_image_and_one_image_are_fine():
    assert duplicate_groups(np.zeros((0, 32, 32, 3), np.uint8)).tolist() == []
    assert duplicate_groups(scenes(1, 32)).tolist() == [0]


@pytest.fixture
def dataset() -> ImageDataset:
    images = scenes(20, 32)
    images[19] = images[3]
    return ImageDataset(images, np.zeros(20, np.int64), ("a", "b"), "train", "scenes")


def test_groups_are_computed_once_for_the_same_images(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    first = cached_groups(dataset)
    assert [file.suffix for file in (tmp_path / "duplicates").iterdir()] == [".npy"]
    monkeypatch.setattr(duplicates, "duplicate_groups", None)  # not asked again

    np.testing.assert_array_equal(cached_groups(dataset), first)
    assert first[19] == 3


@pytest.mark.parametrize("content", [b"", b"damaged", np.arange(3).tobytes()])
def test_a_damaged_cache_file_is_replaced(dataset, tmp_path, monkeypatch, content):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    expected = cached_groups(dataset)
    (file,) = (tmp_path / "duplicates").iterdir()
    file.write_bytes(content)

    np.testing.assert_array_equal(cached_groups(dataset), expected)
    np.testing.assert_array_equal(np.load(file), expected)


def test_a_cache_folder_that_cannot_be_written_is_no_error(dataset, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "file"))
    assert cached_groups(dataset)[19] == 3
