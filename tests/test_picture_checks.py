import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.image_quality import image_properties
from tinyscope.inspection.findings import Place
from tinyscope.inspection.picture_checks import picture_checks


def textures(count: int, seed: int) -> np.ndarray:
    """Pictures with detail at every scale."""
    draw = np.random.default_rng(seed)
    small = draw.normal(0, 40, (count, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    fine = draw.normal(0, 30, (count, 16, 16, 3)).repeat(2, 1).repeat(2, 2)
    return np.clip(128 + small + fine + draw.normal(0, 12, small.shape), 0, 255).astype(np.uint8)


def checked(train: np.ndarray, test: np.ndarray):
    parts = [
        ImageDataset(images, np.zeros(len(images), np.int64), ("one",), split, "pictures")
        for split, images in (("train", train), ("test", test))
    ]
    splits = Splits("pictures", parts[0], None, parts[1])
    return picture_checks(splits, {part.split: image_properties(part.images) for part in parts})


def test_a_poor_picture_is_named_once_by_what_is_worst():
    train, test = textures(60, 0), textures(20, 1)
    train[7] = 0  # blank, and dark, and without information
    train[8] = train[8] // 8
    test[3] = 255 - test[3] // 8
    test[4] = np.linspace(30, 220, 32).astype(np.uint8)[:, None]
    found = {
        code: [(item.place, item.action) for item in outcome.items]
        for code, outcome in checked(train, test).items()
    }
    assert found["TS009"] == [(Place("train", 7), "exclude")]
    assert found["TS010"] == [(Place("train", 8), "exclude"), (Place("test", 3), "keep")]
    assert found["TS012"] == [(Place("test", 4), "keep")]
    assert found["TS011"] == []


def test_the_detail_states_the_figures_behind_it():
    train = textures(60, 0)
    train[7] = 17
    assert [item.detail for item in checked(train, textures(5, 1))["TS009"].items] == [
        "of one colour, within 0.0 levels"
    ]
