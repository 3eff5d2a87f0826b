"""The probabilities by which labels are judged: of networks and of the linear probe, together."""

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.evaluation.metrics import softmax
from tinyscope.inspection.calibration import fitted_scales, weighted
from tinyscope.inspection.linear_probe import ProbeAnswers
from tinyscope.inspection.out_of_sample import OutOfSample


def label_probabilities(
    splits: Splits, seen: OutOfSample, probe: ProbeAnswers | None
) -> dict[str, np.ndarray]:
    """Calibrated probabilities of every image's class, before its label is looked at.

    Args:
        splits: as loaded.
        seen: what networks say that are trained on the other images.
        probe: what the linear probe says; None where it has no say.

    Returns:
        float32 (N, K) by split, rows summing to 1. How much either says is fitted on the labels of
        the training images; of those, `all_logits` count, which know more.
    """
    labels, answers = splits.train.labels, seen.answers["train"]
    probed = {} if probe is None else probe.logits
    told = [probed["train"]] if probed else []
    of_train = fitted_scales([answers.all_logits, *told], labels)
    of_others = fitted_scales([answers.logits, *told], labels)
    found = {}
    for part in splits.parts():
        opinions = [seen.answers[part.split].all_logits]
        opinions += [probed[part.split]] if probed else []
        scales = of_train if part is splits.train else of_others
        found[part.split] = softmax(weighted(opinions, scales)).astype(np.float32)
    return found
