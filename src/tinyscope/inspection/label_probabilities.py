"""The probabilities by which labels are judged: of networks and of the linear probe, together."""

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.evaluation.metrics import softmax
from tinyscope.inspection.calibration import fitted_scales, weighted
from tinyscope.inspection.linear_probe import ProbeAnswers
from tinyscope.inspection.out_of_sample import OutOfSample


def label_probabilities(
    splits: Splits, seen: OutOfSample, probe: ProbeAnswers
) -> dict[str, np.ndarray]:
    """Calibrated probabilities of every image's class, before its label is looked at.

    Args:
        splits: as loaded.
        seen: what networks say that are trained on the other images.
        probe: what the linear probe says.

    Returns:
        float32 (N, K) by split, rows summing to 1. How much either says is fitted on the labels of
        the training images; of those, `all_logits` count, which know more.
    """
    told, labels = probe.logits["train"], splits.train.labels
    answers = seen.answers["train"]
    of_train = fitted_scales([answers.all_logits, told], labels)
    of_others = fitted_scales([answers.logits, told], labels)
    return {
        part.split: _probabilities(
            [seen.answers[part.split].all_logits, probe.logits[part.split]],
            of_train if part is splits.train else of_others,
        )
        for part in splits.parts()
    }


def _probabilities(opinions: list[np.ndarray], scales: list[float]) -> np.ndarray:
    return softmax(weighted(opinions, scales)).astype(np.float32)
