"""Models of scikit-learn that tell classes by features, by name, with their settings."""

from collections.abc import Callable
from typing import Any

import numpy as np

_Weights = str | None
LANDMARKS = 2000
"""Training images, at most, that an RBF SVM measures likeness to; with as many images or fewer, its
kernel is exact."""


def _logistic_regression(seed: int, images: int, weights: _Weights) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(), LogisticRegression(C=0.005, max_iter=1000, class_weight=weights)
    )


def _linear_svm(seed: int, images: int, weights: _Weights) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    return make_pipeline(
        StandardScaler(), LinearSVC(C=1e-3, dual=False, max_iter=5000, class_weight=weights)
    )


def _rbf_svm(seed: int, images: int, weights: _Weights) -> Any:
    """Through Nyström's approximation of the kernel (Williams and Seeger, 2001)."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    return make_pipeline(
        StandardScaler(),
        Nystroem(kernel="rbf", n_components=min(LANDMARKS, images), random_state=seed),
        LinearSVC(C=1.0, dual=False, max_iter=5000, class_weight=weights),
    )


def _nearest_neighbours(seed: int, images: int, weights: _Weights) -> Any:
    """Knows no weights of classes, which `plan.contradictions` refuses."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=min(20, images), weights="distance", metric="cosine")


def _random_forest(seed: int, images: int, weights: _Weights) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=300, min_samples_leaf=2, random_state=seed, n_jobs=-1, class_weight=weights
    )


def _gradient_boosting(seed: int, images: int, weights: _Weights) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=100,
        min_samples_leaf=5,
        early_stopping=False,
        random_state=seed,
        class_weight=weights,
    )


CLASSIFIERS: dict[str, Callable[[int, int, _Weights], Any]] = {
    "logistic-regression": _logistic_regression,
    "linear-svm": _linear_svm,
    "rbf-svm": _rbf_svm,
    "nearest-neighbours": _nearest_neighbours,
    "random-forest": _random_forest,
    "gradient-boosting": _gradient_boosting,
}
"""Each makes an untrained model of a seed, which those without chance in them do not read, for so
many training images, whose classes count alike where weights are "balanced"."""


def fitted(
    name: str, features: np.ndarray, labels: np.ndarray, *, seed: int, balanced: bool = False
) -> Any:
    """A model of scikit-learn that has learnt to tell classes by features.

    Args:
        name: a key of `CLASSIFIERS`.
        features: (N, F), any float.
        labels: int64 (N,).
        seed: of what is left to chance.
        balanced: whether all classes count alike, however many images they have.
    """
    model = CLASSIFIERS[name](seed, len(features), "balanced" if balanced else None)
    return model.fit(np.asarray(features, np.float32), labels)
