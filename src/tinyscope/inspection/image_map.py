"""A map of the images in two dimensions, on which images that are alike lie close together."""

import math

import numpy as np

from tinyscope.errors import DataError

_COMPONENTS = 30  # more of them cost t-SNE's search for neighbours time and add mostly noise
_PERPLEXITY = 30.0  # neighbours that each image is drawn to; scikit-learn's default
_ITERATIONS = 500  # with twice as many the trustworthiness of CIFAR-10's map does not rise
_CELLS_EACH = 2.0  # fewer fill the gaps between clusters, more leave little room for a thumbnail
_SAMPLE = 2000  # images that the components of the pixels are taken from
_PIECE = 2**22  # values of images that are read at a time


def image_map(
    features: np.ndarray, labels: np.ndarray, *, count: int = 1500, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A sample of the images, and a place in the unit square for each.

    The features' first 30 principal components are laid out by t-SNE (van der Maaten and Hinton
    2008, in scikit-learn's Barnes-Hut form), in one thread, so that the same images give the same
    map on machines with more cores. Then every image moves to a cell of its own on a square grid
    with two cells for each image, so that the moves are short in all: thumbnails with the side of a
    cell, `1 / ceil(sqrt(2 * M))`, never overlap, and gaps between clusters stay.

    Distances and the sizes of clusters say little on such a map; who the neighbours are does.

    Args:
        features: float (N, D), a network's features or `pixel_features`; only the rows of the
            sample are read.
        labels: int (N,); every class gives its share of the sample, and at least one image where
            `count` allows it.
        count: images on the map, at most.
        seed: of the sample and of the layout.

    Returns:
        The rows of the sample, int64 (M,), ascending, and float64 (M, 2): x and y in 0 … 1, the
        middles of the cells.

    Raises:
        DataError: there are no images, or not one label for each.
    """
    if len(features) != len(labels) or not len(labels):
        raise DataError(
            f"{len(features)} rows of features and {len(labels)} labels; expected one label for "
            "each of at least 1 image."
        )
    random = np.random.default_rng(seed)
    rows = _sample(labels, count, random)
    return rows, _on_a_grid(_layout(np.asarray(features[rows], np.float32), seed))


def pixel_features(images: np.ndarray, *, components: int = 50) -> np.ndarray:
    """The images' pixels as a few numbers each, where no network is at hand.

    The principal components of 2,000 images spread over all of them, by which every image is then
    described.

    Args:
        images: uint8 (N, H, W, C); a memory-mapped array is read piece by piece.
        components: numbers of each image, at most.

    Returns:
        float32 (N, D); D is less than `components` where there are fewer images or pixels.
    """
    from sklearn.decomposition import PCA

    count, values = len(images), math.prod(images.shape[1:])
    evenly = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    sample = images[evenly].reshape(len(evenly), values).astype(np.float32)
    kept = min(components, *sample.shape)
    with np.errstate(invalid="ignore"):  # images that are all alike vary by 0 of 0
        pca = PCA(kept, svd_solver="randomized", random_state=0).fit(sample)
    features = np.empty((count, kept), np.float32)
    piece = max(1, _PIECE // values)
    for start in range(0, count, piece):
        pixels = images[start : start + piece].reshape(-1, values).astype(np.float32)
        features[start : start + piece] = (pixels - pca.mean_) @ pca.components_.T
    return features


def _sample(labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Rows, ascending, of at most `count` images, each class in proportion.

    The first image of every class comes before the second one of any.
    """
    order = random.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, first, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(first, sizes)
    chosen = np.argsort(rank / np.repeat(sizes, sizes), kind="stable")[:count]
    return np.sort(order[chosen])


def _layout(features: np.ndarray, seed: int) -> np.ndarray:
    """float64 (M, 2): t-SNE's, of no particular scale."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count = len(features)
    if count < 3:
        return np.arange(2.0 * count).reshape(count, 2)
    kept = min(_COMPONENTS, *features.shape)
    with threadpool_limits(1):
        if kept < features.shape[1]:
            pca = PCA(kept, svd_solver="randomized", random_state=seed)
            with np.errstate(invalid="ignore"):  # see pixel_features
                features = pca.fit_transform(features)
        start = np.zeros((count, 2), np.float32)
        start[:, : min(2, kept)] = features[:, :2] - features[:, :2].mean(0)
        start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
        layout = TSNE(
            perplexity=min(_PERPLEXITY, (count - 1) / 3),
            init=start,
            max_iter=_ITERATIONS,
            random_state=seed,
        ).fit_transform(features)
    return np.asarray(layout, np.float64)


def _on_a_grid(places: np.ndarray) -> np.ndarray:
    """float64 (M, 2): every place moved to the middle of a cell of its own."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    side = math.ceil(math.sqrt(_CELLS_EACH * len(places)))
    middles = (np.arange(side) + 0.5) / side
    cells = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2)
    low, high = places.min(0), places.max(0)
    scaled = (places - low) / np.maximum(high - low, 1e-12) * (1 - 1 / side) + 0.5 / side
    _, taken = linear_sum_assignment(cdist(scaled, cells, "sqeuclidean"))
    return cells[taken]
