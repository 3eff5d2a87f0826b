import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from tinyscope.errors import DataError
from tinyscope.inspection.image_map import image_map, pixel_features


def clusters(each: int, classes: int = 3, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features in 12 dimensions, `classes` clusters far from one another, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    middles = 20 * random.standard_normal((classes, 12))
    return middles[labels] + random.standard_normal((len(labels), 12)), labels


def stretched(shape: tuple[int, ...]) -> np.ndarray:
    """Images whose pixels vary by very different amounts."""
    random = np.random.default_rng(0)
    spread = np.geomspace(60, 1, int(np.prod(shape[1:]))).reshape(shape[1:])
    return (128 + spread * random.uniform(-1, 1, shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def mapped() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    features, labels = clusters(40)
    return features, labels, *image_map(features, labels)


def test_neighbours_stay_neighbours(mapped) -> None:
    features, _, rows, places = mapped
    assert rows.tolist() == list(range(120))
    assert trustworthiness(features, places, n_neighbors=10) > 0.9


def test_separable_clusters_stay_apart(mapped) -> None:
    _, labels, _, places = mapped
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).mean() > 0.98


def test_every_image_has_a_cell_of_its_own_within_the_unit_square(mapped) -> None:
    _, _, rows, places = mapped
    side = int(np.ceil(np.sqrt(2 * len(rows))))
    assert places.min() >= 0.5 / side - 1e-9
    assert places.max() <= 1 - 0.5 / side + 1e-9
    cells = np.rint(places * side - 0.5)
    np.testing.assert_allclose((cells + 0.5) / side, places)
    assert len(np.unique(cells, axis=0)) == len(rows)


def test_the_same_images_give_the_same_map(mapped) -> None:
    features, labels, rows, places = mapped
    again = image_map(features, labels)
    np.testing.assert_array_equal(again[0], rows)
    np.testing.assert_array_equal(again[1], places)


def test_a_sample_takes_from_each_class_in_proportion_and_leaves_none_out() -> None:
    labels = np.repeat([0, 1, 2], [300, 98, 2])
    features = np.random.default_rng(0).standard_normal((400, 4))
    rows, places = image_map(features, labels, count=40)
    assert np.bincount(labels[rows]).tolist() == [29, 10, 1]
    assert (np.diff(rows) > 0).all()
    assert places.shape == (40, 2)
    assert image_map(features, labels, count=40, seed=1)[0].tolist() != rows.tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_handful_of_images_has_a_map_too(count: int) -> None:
    rows, places = image_map(np.eye(5)[:count], np.zeros(count, np.int64))
    assert rows.tolist() == list(range(count))
    assert len(np.unique(places, axis=0)) == count
    assert ((places > 0) & (places < 1)).all()


def test_images_that_are_all_alike_have_a_map_too() -> None:
    _, places = image_map(np.ones((20, 1)), np.zeros(20, np.int64))
    assert len(np.unique(places, axis=0)) == 20


@pytest.mark.parametrize(("features", "labels"), [(3, 2), (0, 0)])
def test_features_without_labels_are_refused(features: int, labels: int) -> None:
    with pytest.raises(DataError) as refused:
        image_map(np.zeros((features, 2)), np.zeros(labels, np.int64))
    assert str(refused.value) == (
        f"{features} rows of features and {labels} labels; expected one label for each of at "
        "least 1 image."
    )


def test_pixels_become_their_principal_components() -> None:
    images = stretched((60, 5, 4, 3))
    features = pixel_features(images, components=6)
    assert features.dtype == np.float32
    expected = PCA(6, svd_solver="full").fit_transform(images.reshape(60, -1).astype(np.float64))
    np.testing.assert_allclose(
        np.abs(np.corrcoef(features.T, expected.T)[:6, 6:]), np.eye(6), atol=0.02
    )
    np.testing.assert_allclose(features.std(0), expected.std(0), rtol=0.02)
    np.testing.assert_allclose(features.mean(0), 0, atol=0.01)


def test_there_are_no_more_components_than_images_or_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1), dtype=np.uint8)
    assert pixel_features(images).shape == (9, 9)
    assert pixel_features(np.repeat(images, 5, axis=0)).shape == (45, 16)


def test_memory_mapped_pixels_are_read_in_pieces(tmp_path, monkeypatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    whole = pixel_features(images)
    monkeypatch.setattr("tinyscope.inspection.image_map._PIECE", 7 * 48)
    pieces = pixel_features(np.load(tmp_path / "images.npy", mmap_mode="r"))
    np.testing.assert_allclose(pieces, whole, atol=1e-3)
