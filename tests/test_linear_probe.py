from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_images
from sklearn.linear_model import LogisticRegression

from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.duplicates import cached_groups
from tinyscope.inspection import linear_probe as module
from tinyscope.inspection.linear_probe import probe_answers
from tinyscope.inspection.out_of_sample import folds_of


def images_of_chance(count: int, *, side: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def labelled(images: np.ndarray, labels: np.ndarray) -> Splits:
    names = tuple(f"class {k}" for k in range(int(labels.max()) + 1))
    return Splits("chance", ImageDataset(images, labels.astype(np.int64), names, "train", "chance"))


def right(data: Splits) -> float:
    logits = probe_answers(data).logits["train"]
    return float((logits.argmax(1) == data.train.labels).mean())


def test_classes_that_can_be_told_apart_are_told_apart(world):
    found = probe_answers(world)
    for part in world.parts():
        logits = found.logits[part.split]
        assert logits.shape == (len(part), 4)
        assert logits.dtype == np.float32
        assert (logits.argmax(1) == part.labels).mean() > 0.95
    assert found.flop > 2 * 384 * 10**8  # two views of an image, more than 0.1 GFLOP each
    assert found.seconds > 0


def test_no_image_is_answered_by_a_layer_that_was_trained_on_it():
    labels = np.random.default_rng(1).integers(0, 4, 300)
    assert 0.1 < right(labelled(images_of_chance(300), labels)) < 0.4


def test_copies_of_an_image_are_left_out_together():
    images = images_of_chance(150)
    labels = np.random.default_rng(2).integers(0, 4, 150)
    copied = labelled(np.concatenate([images, images]), np.concatenate([labels, labels]))
    assert 0.1 < right(copied) < 0.45


def test_the_layers_are_those_of_logistic_regression(world, monkeypatch):
    kept = {}
    whole = module.features_of
    monkeypatch.setattr(module, "_STEPS", 3000)  # until nothing changes any more

    def features_of(extract, part, *arguments, **named):
        kept[part.split] = whole(extract, part, *arguments, **named)
        return kept[part.split]

    monkeypatch.setattr(module, "features_of", features_of)
    found = probe_answers(world).logits
    train, labels = kept["train"].values.astype(np.float64), world.train.labels
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    fold = folds_of(labels, cached_groups(world.train), folds=5, seed=0)
    penalty = max(0.01, 200 / len(labels)) * len(labels)
    others = np.zeros((len(world.test), 4))
    for held_out in range(5):
        model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000)
        model.fit((train - mean)[fold != held_out] / deviation, labels[fold != held_out])
        mine = model.decision_function((train - mean)[fold == held_out] / deviation)
        assert _centred(found["train"][fold == held_out]) == pytest.approx(_centred(mine), abs=0.02)
        others += model.decision_function((kept["test"].values - mean) / deviation) / 5
    assert _centred(found["test"]) == pytest.approx(_centred(others), abs=0.02)


def _centred(logits: np.ndarray) -> np.ndarray:
    return logits - logits.mean(1, keepdims=True)


def test_the_same_images_pass_the_backbone_once_whatever_their_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    data = Splits("world", make_images(40, seed=5))
    first = probe_answers(data)
    kept = sorted((cache_folder() / "features").iterdir())
    turned = replace(data.train, labels=data.train.labels[::-1].copy())
    second = probe_answers(replace(data, train=turned))
    assert sorted((cache_folder() / "features").iterdir()) == kept
    assert not np.array_equal(first.logits["train"], second.logits["train"])


def test_answers_are_the_same_each_time_and_the_generator_is_left_alone(world):
    state = torch.get_rng_state()
    first, second = probe_answers(world), probe_answers(world)
    assert torch.equal(torch.get_rng_state(), state)
    for split, logits in first.logits.items():
        assert logits.tobytes() == second.logits[split].tobytes()


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (32, 3), (70, 3), (28, 1)])
def test_images_of_any_size_and_grey_ones_are_answered(side, channels):
    data = labelled(images_of_chance(24, side=side, channels=channels), np.arange(24) % 3)
    shares: list[float] = []
    logits = probe_answers(data, on_progress=shares.append).logits["train"]
    assert logits.shape == (24, 3)
    assert np.isfinite(logits).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_answers_are_given_where_the_cache_folder_cannot_be_written(tmp_path, monkeypatch):
    data = Splits("world", make_images(40, seed=6))
    expected = probe_answers(data).logits["train"]
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "file"))
    assert probe_answers(data).logits["train"].tobytes() == expected.tobytes()
