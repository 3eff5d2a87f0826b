"""ClassicalHead: a fitted model of scikit-learn as the last layer of a network."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyscope.errors import StorageError

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


def classical_head(content: bytes, *, classes: int, features: int, file: str) -> ClassicalHead:
    """The head that `ClassicalHead.as_bytes` wrote.

    Args:
        content: of the file.
        classes: K.
        features: F, of those that it was fitted on.
        file: how messages call it.

    Raises:
        StorageError: it is damaged, or holds something else than a model of scikit-learn.
    """
    from skops.io import get_untrusted_types, loads

    try:
        unknown = sorted(set(get_untrusted_types(data=content)) - set(_TRUSTED))
        if unknown:
            raise StorageError(
                f"{file} holds {unknown[0]}, which no model of this tool consists of."
            )
        head = ClassicalHead(loads(content, trusted=list(_TRUSTED)), classes)
        # Whatever the file holds: only what is fitted, to such features and classes, answers.
        answer = head(torch.ones(1, features))
    except StorageError:
        raise
    except Exception as error:  # skops and scikit-learn stumble over damage in any way they like
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StorageError(f"{file} is damaged: {reason}.") from None
    if not answer.isfinite().all():
        raise StorageError(f"{file} is damaged: its answers are no finite numbers.")
    return head
