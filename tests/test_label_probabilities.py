import numpy as np
import pytest

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.evaluation.metrics import softmax
from tinyscope.inspection.label_probabilities import label_probabilities
from tinyscope.inspection.linear_probe import ProbeAnswers
from tinyscope.inspection.out_of_sample import Answers, OutOfSample
from tinyscope.plan.recipe_book import sprint


def part(labels: np.ndarray, split: str) -> ImageDataset:
    images = np.zeros((len(labels), 1, 1, 1), np.uint8)
    return ImageDataset(images, labels, ("a", "b", "c"), split, "world")


def drawn(logits: np.ndarray, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed).random((len(logits), 1))
    return (softmax(logits).cumsum(1) < chance).sum(1).clip(max=2).astype(np.int64)


@pytest.fixture
def opinions():
    """Networks that know the truth but for a factor, and a probe that knows the rest of it."""
    random = np.random.default_rng(0)
    networks = {split: random.normal(0, 2, (6000, 3)) for split in ("train", "test")}
    probe = {split: random.normal(0, 2, (6000, 3)) for split in ("train", "test")}
    truth = {split: networks[split] + probe[split] for split in networks}
    splits = Splits(
        "world",
        part(drawn(truth["train"], 1), "train"),
        None,
        part(drawn(truth["test"], 2), "test"),
    )
    answers = {
        split: Answers(each / 2, each / 4, np.zeros((6000, 1), np.float16))
        for split, each in networks.items()
    }
    answers["test"] = answers["test"]._replace(all_logits=answers["test"].logits)
    seen = OutOfSample(
        answers=answers,
        fold=np.zeros(6000, np.int64),
        recipe=sprint(),
        folds=2,
        temperature=1.0,
        flop=1,
        seconds=1.0,
    )
    return splits, seen, ProbeAnswers({k: v * 3 for k, v in probe.items()}, 1, 1.0), truth


def test_both_opinions_together_give_the_probabilities_that_labels_were_drawn_by(opinions):
    splits, seen, probe, truth = opinions
    found = label_probabilities(splits, seen, probe)
    assert set(found) == {"train", "test"}
    for split, probabilities in found.items():
        assert probabilities.dtype == np.float32
        assert probabilities.sum(1) == pytest.approx(1)
        assert np.abs(probabilities - softmax(truth[split])).mean() < 0.015


def test_labels_of_other_splits_are_not_looked_at(opinions):
    splits, seen, probe, _ = opinions
    before = label_probabilities(splits, seen, probe)["test"]
    other = Splits("world", splits.train, None, part(np.zeros(6000, np.int64), "test"))
    assert label_probabilities(other, seen, probe)["test"].tobytes() == before.tobytes()


def test_without_a_probe_the_networks_are_calibrated_alone(opinions):
    splits, seen, _, _ = opinions
    found = label_probabilities(splits, seen, None)
    for split, probabilities in found.items():
        assert (probabilities.argmax(1) == seen.answers[split].logits.argmax(1)).all()
        labels = next(part for part in splits.parts() if part.split == split).labels
        sure = probabilities.max(1)
        assert (probabilities.argmax(1) == labels).mean() == pytest.approx(sure.mean(), abs=0.02)
