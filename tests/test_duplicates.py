"""Tests of tinyscope.data.duplicates and of the copy_* modules that it is made of."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from tinyscope.data import copy_search, duplicates
from tinyscope.data.copy_alignment import agreement, resampling
from tinyscope.data.copy_descriptors import Descriptors, projection
from tinyscope.data.copy_pictures import Pictures
from tinyscope.data.copy_search import likely_pairs
from tinyscope.data.dataset import ImageDataset
from tinyscope.data.duplicates import (
    Copies,
    cached_copies,
    cached_groups,
    copy_groups,
    find_copies,
)

COUNT = 60
EACH = 20  # images with each kind of change


def groups_of(images: np.ndarray) -> np.ndarray:
    return copy_groups(find_copies([images]), len(images))


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


def cropped(image: np.ndarray, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """Without so many rows and columns, at the old size; what is cropped may differ by axis."""
    side = len(image)
    box = (left, top, side - right, side - bottom)
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box))


CHANGES = {
    "mirrored": lambda image: image[:, ::-1],
    "recompressed": recompressed,
    "darker": enhanced(ImageEnhance.Brightness, 0.7),
    "brighter": enhanced(ImageEnhance.Brightness, 1.25),
    "less contrast": enhanced(ImageEnhance.Contrast, 0.7),
    "less colour": enhanced(ImageEnhance.Color, 0.5),
    "in other colours": lambda image: (image * [1.0, 0.8, 0.9] + [0, 20, 10]).astype(np.uint8),
    "shifted": lambda image: moved(image, 3, -3),
    "shifted by half a pixel": lambda image: cropped(image, 1, 1, 0, 0),
    "cropped": lambda image: cropped(image, 2, 1, 2, 3),
    "squeezed": lambda image: cropped(image, 3, 0, 2, 0),
    "mirrored, shifted and recompressed": lambda image: recompressed(moved(image[:, ::-1], 1, 0)),
}


@pytest.fixture(scope="module")
def changed() -> tuple[np.ndarray, Copies]:
    """Images and a copy of each at each kind of change; what is found among them."""
    images = scenes(EACH * len(CHANGES), 32)
    changes = np.repeat(list(CHANGES.values()), EACH)
    copies = np.stack([change(image) for change, image in zip(changes, images, strict=True)])
    return images, find_copies([images, copies])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change, changed):
    _, copies = changed
    start = EACH * list(CHANGES).index(change)
    of_this = (copies.left >= start) & (copies.left < start + EACH)
    assert of_this.sum() > 0.8 * EACH
    assert (copies.mirrored[of_this] == change.startswith("mirrored")).all()


def test_pairs_are_of_copies_only_and_stand_once_in_order(changed):
    images, copies = changed
    np.testing.assert_array_equal(copies.right, copies.left + len(images))
    assert (np.diff(copies.left) > 0).all()
    assert not copies.exact.any()
    assert ((copies.score > 0.6) & (copies.score < 1)).all()
    kinds = [part.dtype for part in copies]
    assert kinds == [np.int64, np.int64, np.bool_, np.float32, np.bool_]


def test_copies_of_large_photos_are_found_at_reduced_size():
    images = scenes(COUNT, 80)[:, 10:74]  # oblong
    copies = np.stack([recompressed(moved(image[:, ::-1], 3, 0)) for image in images])
    found = find_copies([images, copies])
    np.testing.assert_array_equal(found.right, found.left + COUNT)
    assert len(found.left) > 0.9 * COUNT
    assert found.mirrored.all()


def test_grey_images_are_compared_too():
    images = scenes(COUNT, 44)[:, 10:40, :, :1]
    groups = groups_of(np.concatenate([images, images[:, :, ::-1]]))
    assert (groups[COUNT:] == np.arange(COUNT)).mean() > 0.9
    assert groups.dtype == np.int64


def test_different_scenes_are_no_copies():
    assert len(find_copies([scenes(500, 32)]).left) == 0


@pytest.mark.parametrize("side", [8, 28])
def test_digits_that_merely_look_alike_are_no_copies_and_their_mirror_images_are(side):
    digits = (load_digits().images * 255 / 16).round().astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(each).resize((side, side))) for each in digits])
    planted = np.arange(0, 1797, 60)
    copies = large[planted][:, :, ::-1]

    found = find_copies([large[..., None], copies[..., None]])

    np.testing.assert_array_equal(found.left, planted[found.right - 1797])
    assert len(found.left) >= len(planted) - 4  # at 8 pixels 27 to 30, as changes are drawn
    assert found.mirrored.all()


@pytest.mark.parametrize("count", [60, 100, 200])
def test_a_few_digits_are_no_copies_though_a_class_has_but_a_few_of_them(count):
    """The 50th in likeness is of another class then, and agrees less than their own."""
    digits = load_digits().images.astype(np.uint8) * 15
    for seed in range(3):
        rows = np.random.default_rng(seed).choice(len(digits), count, replace=False)
        large = [np.asarray(Image.fromarray(digits[row]).resize((28, 28))) for row in rows]
        assert not find_copies([np.stack(large)[..., None]]).left.size


def test_the_pairs_of_a_few_images_do_not_depend_on_their_order():
    """A cut keeps copies on one side: a later look at its splits must not find others."""
    digits = load_digits().images[:30].astype(np.uint8) * 15
    digits = np.stack([np.asarray(Image.fromarray(each).resize((28, 28))) for each in digits])
    images = np.concatenate([digits, digits[:6, :, ::-1], digits[10:13]])[..., None]

    def pairs(order: np.ndarray) -> dict[frozenset[bytes], tuple[float, bool]]:
        shown = images[order]
        found = find_copies([shown[:20], shown[20:]])
        assert (found.left < found.right).all()
        keys = [
            frozenset((shown[one].tobytes(), shown[other].tobytes()))
            for one, other in zip(found.left, found.right, strict=True)
        ]
        values = zip(found.score.tolist(), found.mirrored.tolist(), strict=True)
        return dict(zip(keys, values, strict=True))

    expected = pairs(np.arange(len(images)))
    assert len(expected) > 6
    for seed in range(3):
        assert pairs(np.random.default_rng(seed).permutation(len(images))) == expected


def test_images_of_equal_pixels_are_each_paired_with_the_first_across_parts():
    first, second = np.zeros((5, 3, 2, 1), np.uint8), np.zeros((4, 3, 2, 1), np.uint8)
    first[2] = second[0] = 200
    second[2, 0, 0] = 1
    found = find_copies([first, second])
    pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 3), (0, 4), (0, 6), (0, 8), (2, 5)]
    assert found.exact.all()
    assert (found.score == 1).all()
    assert copy_groups(found, 9).tolist() == [0, 0, 2, 0, 0, 2, 0, 7, 0]


def test_an_exact_copy_shares_the_group_of_the_near_copies_of_its_twin():
    images = scenes(COUNT, 32)
    images[[7, 9]] = images[3]
    images[20] = images[3, :, ::-1]
    found = find_copies([images[:10], images[10:]])
    pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert pairs == [(3, 7), (3, 9), (3, 20)]
    assert found.exact.tolist() == [True, True, False]
    assert found.mirrored.tolist() == [False, False, True]
    assert (groups_of(images)[[3, 7, 9, 20]] == 3).all()


def test_parts_count_as_one_array_in_memory_or_mapped(tmp_path, monkeypatch):
    images = scenes(150, 32)
    images[100:] = images[:50, :, ::-1]
    expected = find_copies([images])
    assert len(expected.left) > 40

    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (90, 32, 32, 3))
    mapped[:] = images[60:]
    monkeypatch.setattr(copy_search, "_ROWS", 17)
    monkeypatch.setattr(copy_search, "_COLUMNS", 23)
    monkeypatch.setattr(duplicates, "_PAIRS", 5)
    found = find_copies([images[:60], images[:0], mapped])

    for name in ("left", "right", "mirrored", "exact"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_allclose(found.score, expected.score, atol=1e-3)


@pytest.mark.parametrize("others", [60, 700])
def test_frames_of_a_few_scenes_are_found_however_many_they_are(others):
    """The 50th in likeness of a frame is a frame of the same scene, and no measure of kinship."""
    random = np.random.default_rng(0)

    def scene() -> np.ndarray:
        drawn = gaussian_filter(random.standard_normal((33, 33, 3)), (2, 2, 0))
        return 128 + 50 * drawn / drawn.std()

    def frame(of: np.ndarray) -> np.ndarray:
        down, across = random.integers(0, 2, 2)
        return of[down : down + 32, across : across + 32] + random.normal(0, 6, (32, 32, 3))

    scenes = [scene() for _ in range(4)]
    frames = [frame(each) for each in scenes for _ in range(80)]
    rest = [scene()[:32, :32] for _ in range(others)]
    images = np.array([*frames, *rest]).clip(0, 255).astype(np.uint8)
    copies = find_copies([images])
    assert (copies.right < 320).all()
    assert (copies.left // 80 == copies.right // 80).all()
    groups = groups_of(images)[:320]
    largest = [np.unique(part, return_counts=True)[1].max() for part in groups.reshape(4, 80)]
    assert min(largest) >= 40


def test_flat_images_do_not_join_others_that_are_merely_dark():
    random = np.random.default_rng(0)
    images = random.integers(0, 4, (200, 32, 32, 3)).astype(np.uint8)  # sensor noise at night
    images[:50] = np.arange(50)[:, None, None, None]  # flat, each in another shade
    np.testing.assert_array_equal(groups_of(images), np.arange(200))


def test_silhouettes_on_clear_skies_are_no_copies_of_each_other():
    images = np.full((8, 32, 32, 3), 220, np.uint8)
    random = np.random.default_rng(0)
    for image, mast in zip(images, range(11, 19), strict=True):  # ships that differ in a mast
        image[16:18, 10:20] = 30
        image[13:16, mast] = 30
        image += random.integers(0, 3, image.shape).astype(np.uint8)
    np.testing.assert_array_equal(groups_of(images), np.arange(8))


def test_the_agreement_of_a_stretched_and_shifted_picture_is_nearly_that_of_itself():
    pictures = scenes(20, 40)[..., 0].astype(np.float32)
    stretch, shift = np.full(20, 0.15, np.float32), np.full(20, 2.5, np.float32)
    rows, _ = resampling(stretch, shift, 40)
    columns, _ = resampling(-stretch / 2, -shift, 40)
    moved = rows @ pictures @ columns.transpose(0, 2, 1)
    inner = slice(4, 36)

    agreed = agreement(pictures[:, inner, inner], moved[:, inner, inner])

    assert agreed.min() > 1
    assert (
        agreement(pictures[:, inner, inner], np.roll(moved, 1, axis=0)[:, inner, inner]).max() < 0.5
    )


def test_resampling_takes_each_pixel_from_its_place():
    line = np.arange(5, dtype=np.float32) ** 2
    rows, inside = resampling(np.float32([0, 0.5]), np.float32([1, 0]), 5)
    np.testing.assert_allclose(rows @ line, [[1, 4, 9, 16, 16], [0, 0.5, 4, 12.5, 16]])
    np.testing.assert_array_equal(inside, [[1, 1, 1, 1, 0], [0, 1, 1, 1, 0]])


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 20, 3), (32, 32, 3)])
def test_mirroring_turns_the_sign_of_the_odd_numbers_alone(shape):
    pictures = np.random.default_rng(0).uniform(0, 255, (30, *shape)).astype(np.float32)
    found = projection(pictures)
    one, other = found.describe(pictures), found.describe(pictures[:, :, ::-1])
    np.testing.assert_allclose(other.even, one.even, atol=1e-3)
    np.testing.assert_allclose(other.odd, -one.odd, atol=1e-3)
    np.testing.assert_allclose(other.own, one.own, atol=1e-2)


def random_descriptors(count: int) -> Descriptors:
    """Every third image is near the one before it, mirrored or not."""
    random = np.random.default_rng(0)
    even, odd = random.normal(size=(2, count, 6)).astype(np.float32)
    near = np.arange(2, count, 3)
    even[near] = even[near - 1] + random.normal(0, 0.05, (len(near), 6))
    odd[near] = odd[near - 1] * random.choice([-1, 1], (len(near), 1))
    own = -((even**2).sum(axis=1) + (odd**2).sum(axis=1)) / 2
    return Descriptors(even, odd, own)


def brute_force(descriptors: Descriptors) -> dict[tuple[int, int], tuple[float, bool]]:
    even, odd, own = (part.astype(np.float64) for part in descriptors)
    likeness = {}
    for left in range(len(own)):
        for right in range(left + 1, len(own)):
            turned = odd[left] @ odd[right]
            value = even[left] @ even[right] + abs(turned) + own[left] + own[right]
            likeness[left, right] = value, turned < 0
    return likeness


def test_the_likeliest_pairs_are_those_of_brute_force():
    descriptors = random_descriptors(200)
    found = likely_pairs(descriptors)
    likeness = brute_force(descriptors)
    expected = sorted(likeness, key=lambda pair: -likeness[pair][0])[: len(found.left)]

    pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert 3.5 * 200 < len(pairs) < 4.5 * 200
    assert set(pairs) == set(expected)
    np.testing.assert_allclose(found.likeness, [likeness[pair][0] for pair in pairs], atol=1e-4)
    assert found.mirrored.tolist() == [likeness[pair][1] for pair in pairs]
    assert (np.diff(found.likeness) <= 0).all()


def test_search_in_cells_finds_nearly_all_pairs_of_brute_force_and_no_others(monkeypatch):
    descriptors = random_descriptors(600)
    expected = likely_pairs(descriptors)
    monkeypatch.setattr(copy_search, "_EXHAUSTIVE", 0)
    monkeypatch.setattr(copy_search, "_CELL", 20)
    found = likely_pairs(descriptors)

    def as_set(pairs):
        return set(
            zip(pairs.left.tolist(), pairs.right.tolist(), pairs.mirrored.tolist(), strict=True)
        )

    assert len(as_set(found)) == len(found.left)
    assert as_set(found) <= as_set(expected)
    assert len(as_set(found)) > 0.9 * len(as_set(expected))
    near = {(row - 1, row) for row in range(2, 600, 3)}
    assert near <= {pair[:2] for pair in as_set(found)}


def test_images_are_reduced_to_means_of_the_pixels_that_they_cover():
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3)).astype(np.uint8)
    reduced = Pictures([image[:1], image[1:]]).reduced(np.array([0, 2]))
    assert reduced.shape == (2, 32, 32, 3)
    pairs = image[[0, 2]].reshape(2, 32, 2, 48, 3).mean(axis=2)
    wide = pairs.repeat(2, axis=2).reshape(2, 32, 32, 3, 3).mean(axis=3)
    np.testing.assert_allclose(reduced, wide, rtol=1e-5)


def test_a_chain_of_pairs_is_one_group_named_by_its_first_row():
    left, right = np.array([5, 1, 3]), np.array([6, 5, 4])
    none = np.zeros(3, bool)
    copies = Copies(left, right, none, np.ones(3, np.float32), none)
    assert copy_groups(copies, 7).tolist() == [0, 1, 2, 3, 3, 1, 1]


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_image_are_fine(count):
    images = scenes(2, 32)[:count]
    assert groups_of(images).tolist() == list(range(count))
    assert len(find_copies([images, images[:0]]).left) == 0


@pytest.fixture
def dataset() -> ImageDataset:
    images = scenes(20, 32)
    images[19] = images[3]
    return ImageDataset(images, np.zeros(20, np.int64), ("a", "b"), "train", "scenes")


def test_pairs_are_computed_once_for_the_same_images(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    other = dataset.select(np.arange(3, 9), split="test")
    first = cached_copies([dataset, other])
    groups = cached_groups(dataset)
    assert [file.suffix for file in (tmp_path / "duplicates").iterdir()] == [".npy", ".npy"]
    monkeypatch.setattr(duplicates, "find_copies", None)  # not asked again

    for stored, computed in zip(cached_copies([dataset, other]), first, strict=True):
        np.testing.assert_array_equal(stored, computed)
        assert stored.dtype == computed.dtype
    assert first.right.tolist() == [19, 20, 21, 22, 23, 24, 25]
    assert first.left.tolist() == [3, 3, 4, 5, 6, 7, 8]
    np.testing.assert_array_equal(cached_groups(dataset), groups)
    assert groups[19] == 3


@pytest.mark.parametrize("content", [b"", b"damaged", np.arange(3).tobytes()])
def test_a_damaged_cache_file_is_replaced(dataset, tmp_path, monkeypatch, content):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    expected = cached_groups(dataset)
    (file,) = (tmp_path / "duplicates").iterdir()
    whole = file.read_bytes()
    file.write_bytes(content)

    np.testing.assert_array_equal(cached_groups(dataset), expected)
    assert file.read_bytes() == whole


def test_a_cache_folder_that_cannot_be_written_is_no_error(dataset, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "file"))
    assert cached_groups(dataset)[19] == 3
