"""ClassicalHead: a fitted model of scikit-learn as the last layer of a network."""

import logging
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyscope.errors import StorageError

_log = logging.getLogger(__name__)

_LEAST = 1e-6
"""Probabilities below this count as this: a forest says 0 of what it never saw."""

_LARGEST = 65504.0
"""Of float16."""

_TRUSTED = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Parts of scikit-learn's models, beside its public ones, that a file may hold."""


def in_half_precision(features: Tensor) -> Tensor:
    """Features as float16, as they are kept; what is beyond its range becomes its largest value."""
    return features.float().clamp(-_LARGEST, _LARGEST).half()


class ClassicalHead(nn.Module):
    """Tells classes by features with a fitted model of scikit-learn; nothing of it is trained here.

    Args:
        estimator: fitted on labels 0 … K-1, of which some may be missing.
        classes: K.
    """

    def __init__(self, estimator: Any, classes: int) -> None:
        super().__init__()
        self.estimator = estimator
        self.classes = classes

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) to logits (N, K), float32: logarithms of probabilities, or an SVM's margins.

        Features are rounded to half precision, as those are that it was fitted on: a tree may turn
        on the last digit.
        """
        values = in_half_precision(features.detach()).float().cpu().numpy()
        if hasattr(self.estimator, "predict_proba"):
            scores = np.log(np.maximum(self.estimator.predict_proba(values), _LEAST))
            rest = np.log(_LEAST)
        else:
            scores = self.estimator.decision_function(values)
            if scores.ndim == 1:  # of two classes, the margin of the second
                scores = np.stack([-scores, scores], axis=1)
            rest = min(-1.0, float(scores.min(initial=0.0)))
        logits = np.full((len(values), self.classes), rest, np.float32)
        logits[:, self.estimator.classes_] = scores
        return torch.from_numpy(logits).to(features.device)

    def as_bytes(self) -> bytes:
        """The fitted model as skops writes it: no pickle, nothing that runs when it is read."""
        from skops.io import dumps

        content: bytes = dumps(self.estimator)
        return content


def library_version() -> str:
    """The version of scikit-learn that is installed: what fits a head, and what reads it."""
    import sklearn

    return str(sklearn.__version__)


def classical_head(
    content: bytes, *, classes: int, features: int, file: str, fitted_by: str | None = None
) -> ClassicalHead:
    """The head that `ClassicalHead.as_bytes` wrote.

    One that another version of scikit-learn has fitted costs a line in the log.

    Args:
        content: of the file.
        classes: K.
        features: F, of those that it was fitted on.
        file: how messages call it.
        fitted_by: the version of scikit-learn that wrote it, for messages; None if that is unknown.

    Raises:
        StorageError: it is damaged, holds something else than a model of scikit-learn, or this
            version of scikit-learn cannot read it.
    """
    from skops.io import get_untrusted_types

    try:
        unknown = sorted(set(get_untrusted_types(data=content)) - set(_TRUSTED))
        if unknown:
            if unknown[0].startswith("sklearn.") and fitted_by not in (None, library_version()):
                raise _of_another_version(file, fitted_by, f"it does not know {unknown[0]}")
            raise StorageError(
                f"{file} holds {unknown[0]}, which no model of this tool consists of."
            )
        estimator, others = _loaded(content)
        head = ClassicalHead(estimator, classes)
        # Whatever the file holds: only what is fitted, to such features and classes, answers.
        answer = head(torch.ones(1, features))
    except StorageError:
        raise
    except Exception as error:  # skops and scikit-learn stumble over damage in any way they like
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if fitted_by not in (None, library_version()):
            raise _of_another_version(file, fitted_by, reason) from None
        raise StorageError(f"{file} is damaged: {reason}.") from None
    if not answer.isfinite().all():
        raise StorageError(f"{file} is damaged: its answers are no finite numbers.")
    for other in others:
        _log.warning(
            "%s was fitted by scikit-learn %s and is read by %s: its answers may be others. "
            "Install scikit-learn==%s for those that were measured.",
            *(file, other, library_version(), other),
        )
    return head


def _of_another_version(file: str, fitted_by: str | None, reason: str) -> StorageError:
    return StorageError(
        f"{file} was fitted by scikit-learn {fitted_by}, and {library_version()} cannot read it "
        f"({reason}): install scikit-learn=={fitted_by}."
    )


def _loaded(content: bytes) -> tuple[Any, list[str]]:
    """The fitted model, and the other versions of scikit-learn that it says to come from.

    scikit-learn warns of them with three lines for each of a model's parts.
    """
    from sklearn.exceptions import InconsistentVersionWarning
    from skops.io import loads

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", InconsistentVersionWarning)
        estimator = loads(content, trusted=list(_TRUSTED))
    others = set()
    for each in told:
        if isinstance(each.message, InconsistentVersionWarning):
            others.add(str(each.message.original_sklearn_version))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return estimator, sorted(others)
