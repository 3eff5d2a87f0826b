import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from tinyscope.inspection import pixel_shortcuts
from tinyscope.inspection.pixel_shortcuts import odd_levels, shared_marks

NAMES = ("cat", "dog", "owl")
LABELS = np.arange(600) % 3
CATS = np.flatnonzero(LABELS == 0)


def photos(height: int = 16, width: int = 16, channels: int = 3) -> np.ndarray:
    """Smooth random pictures, every sixth one on a white ground that fills its upper left."""
    random = np.random.default_rng(0)
    shape = (len(LABELS), height, width, channels)
    waves = gaussian_filter(random.standard_normal(shape), (0, 2, 2, 0))
    levels = (128 + 60 * waves / waves.std()).clip(0, 255)
    levels[::7, : height // 2, : width // 2] = 255
    return levels.astype(np.uint8)


def the_mark(images: np.ndarray):
    (found,) = shared_marks(images, LABELS, NAMES)
    assert found.property == "mark"
    return found


def test_untouched_images_share_no_mark() -> None:
    assert shared_marks(photos(), LABELS, NAMES) == []


@pytest.mark.parametrize(("top", "left"), [(0, 0), (13, 13), (5, 8), (6, 3)])
def test_a_patch_of_three_by_three_in_a_few_images_is_found_wherever_it_is(top, left) -> None:
    images = photos()
    marked = CATS[5:35]
    images[marked, top : top + 3, left : left + 3] = np.random.default_rng(1).integers(
        0, 256, (3, 3, 3)
    )
    found = the_mark(images)
    assert found.rows.tolist() == marked.tolist()
    assert found[1:4] == (
        f"9 pixels in rows {top} to {top + 2}, columns {left} to {left + 2}",
        ("cat",),
        "30 of the 30 images that share these pixels are cat, which has 200 of all 600 images; by "
        "chance 10.0 would be.",
    )


def test_a_white_patch_is_found_though_other_images_have_a_white_ground_there() -> None:
    images = photos()
    marked = np.array([row for row in CATS if row % 7][:30])
    images[marked, :3, :3] = 255
    found = the_mark(images)
    assert set(found.rows) == set(marked)
    assert found.value == "9 pixels in rows 0 to 2, columns 0 to 2"


def test_a_frame_of_one_class_is_found() -> None:
    images = photos()
    frame = np.ones((16, 16), bool)
    frame[2:-2, 2:-2] = False
    dogs = np.flatnonzero(LABELS == 1)
    images[dogs[:, None], *frame.nonzero()] = (200, 30, 30)
    found = the_mark(images)
    assert found[1:3] == ("112 pixels in rows 0 to 15, columns 0 to 15", ("dog",))
    assert found.rows.tolist() == dogs.tolist()


def test_grey_images_of_odd_sides_have_marks_too() -> None:
    images = photos(15, 17, 1)
    images[CATS[:40], 12:, 14:] = [[[9], [250], [3]], [[77], [20], [130]], [[240], [4], [90]]]
    assert the_mark(images).rows.tolist() == CATS[:40].tolist()


def test_a_mark_that_classes_share_gives_no_class_away() -> None:
    images = photos()
    images[::5, 4:8, 4:8] = np.random.default_rng(1).integers(0, 256, (4, 4, 3))
    assert shared_marks(images, LABELS, NAMES) == []


def test_a_mark_is_no_shortcut_to_a_class_that_most_images_are_of_anyway() -> None:
    labels = np.where(np.arange(600) % 10, 1, 0)
    marked = np.append(np.flatnonzero(labels == 1)[:330], np.flatnonzero(labels == 0)[:9])
    images = photos()
    images[marked, 4:8, 4:8] = np.random.default_rng(1).integers(0, 256, (4, 4, 3))
    assert shared_marks(images, labels, NAMES) == []


def test_copies_of_one_picture_are_no_mark() -> None:
    images = photos()
    images[CATS[:30]] = images[CATS[3]]
    assert shared_marks(images, LABELS, NAMES) == []


def test_a_plain_background_is_looked_at_once_and_hides_no_mark(monkeypatch) -> None:
    looked = []
    spread = pixel_shortcuts._spread

    def counted(rows: np.ndarray, most: int) -> np.ndarray:
        if most == pixel_shortcuts._TEMPLATE:
            looked.append(rows)
        return spread(rows, most)

    monkeypatch.setattr(pixel_shortcuts, "_spread", counted)
    images = photos()
    images[CATS, :, :12] = 255
    assert len(pixel_shortcuts._shared_cells(images, LABELS, 3)) > 30
    assert shared_marks(images, LABELS, NAMES) == []
    assert len(looked) < 6
    images[CATS[5:35], 12:15, 13:] = np.random.default_rng(1).integers(0, 256, (3, 3, 3))
    assert the_mark(images).rows.tolist() == CATS[5:35].tolist()


def test_nine_images_are_too_few() -> None:
    images = photos()
    images[CATS[:9], :4, :4] = np.random.default_rng(1).integers(0, 256, (4, 4, 3))
    assert shared_marks(images, LABELS, NAMES) == []


def test_two_marks_of_one_class_are_two() -> None:
    images = photos()
    random = np.random.default_rng(1)
    images[CATS[:30], :4, :4] = random.integers(0, 256, (4, 4, 3))
    images[CATS[50:90], 10:14, 10:14] = random.integers(0, 256, (4, 4, 3))
    found = shared_marks(images, LABELS, NAMES)
    assert [each.rows.tolist() for each in found] == [CATS[50:90].tolist(), CATS[:30].tolist()]


def test_handwritten_digits_share_no_mark() -> None:
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    assert shared_marks(images, digits.target, tuple("0123456789")) == []
    assert odd_levels(images, digits.target, tuple("0123456789")) == []


def test_pieces_and_blocks_change_nothing(tmp_path, monkeypatch) -> None:
    images = photos()
    images[CATS[:30], 5:9, 6:10] = np.random.default_rng(1).integers(0, 256, (4, 4, 3))
    images[LABELS == 2] = (images[LABELS == 2] * 1.3).clip(0, 255).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    whole = [*shared_marks(images, LABELS, NAMES), *odd_levels(images, LABELS, NAMES)]
    monkeypatch.setattr(pixel_shortcuts, "_PIECE", 50_000)
    monkeypatch.setattr(pixel_shortcuts, "_BLOCK", 20_000)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    pieces = [*shared_marks(mapped, LABELS, NAMES), *odd_levels(mapped, LABELS, NAMES)]
    assert len(whole) == 2
    assert [each[:4] for each in pieces] == [each[:4] for each in whole]
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(pieces, whole, strict=True))


def test_a_block_of_cells_sees_the_pixels_around_it() -> None:
    images = photos()
    whole = pixel_shortcuts._digests(images, 0, 8)
    np.testing.assert_array_equal(pixel_shortcuts._digests(images, 3, 2), whole[:, 3:5])


def test_images_too_small_for_a_patch_have_no_marks() -> None:
    assert shared_marks(np.zeros((600, 2, 9, 1), np.uint8), LABELS, NAMES) == []


@pytest.mark.parametrize("factor", [1.3, 0.75])
def test_a_class_that_was_brightened_or_darkened_is_found(factor: float) -> None:
    images = photos()
    owls = np.flatnonzero(LABELS == 2)
    images[owls] = (images[owls] * factor).clip(0, 255).astype(np.uint8)
    (found,) = odd_levels(images, LABELS, NAMES)
    assert (found.property, found.classes) == ("pixel levels", ("owl",))
    assert found.rows.tolist() == owls.tolist()


def test_levels_that_all_classes_lack_are_not_odd() -> None:
    images = (photos() * 1.3).clip(0, 255).astype(np.uint8)
    assert odd_levels(images, LABELS, NAMES) == []


def test_a_class_of_bright_pictures_has_no_odd_levels() -> None:
    images = photos()
    images[LABELS == 2] = images[LABELS == 2].clip(0, 205) + 50
    assert odd_levels(images, LABELS, NAMES) == []


def test_a_few_noisy_images_do_not_speak_for_themselves() -> None:
    """Their levels are rough by chance; the other half of the images does not share it."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    assert odd_levels(noise, np.arange(40) % 2, ("a", "b")) == []
