from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_images
from torch import Tensor, nn

from tinyscope.data.dataset import Splits
from tinyscope.data.duplicates import cached_groups
from tinyscope.errors import DataError, InputError
from tinyscope.inspection import out_of_sample as module
from tinyscope.inspection.out_of_sample import (
    folds_of,
    out_of_sample,
    recipe_for,
)
from tinyscope.inspection.small_recipe import small_recipe
from tinyscope.plan.recipe import FEW_STEPS, Recipe
from tinyscope.training.trainer import Trained

SMALL = Recipe(
    model="layer-stack",
    layers=("conv 8 3x3 same batchnorm relu", "maxpool 4", "flatten", "dense 16 relu"),
    learning_rate=0.05,
    epochs=5,
    batch_size=32,
    precision="fp32",
)


class Memory(nn.Module):
    """Calls an image class 0 if it was trained on, else class 1; logits grow with `certainty`."""

    def __init__(self, images: np.ndarray, certainty: float) -> None:
        super().__init__()
        self.known = {image.tobytes() for image in images}
        self.certainty = certainty
        self.last = nn.Linear(2, 4, bias=False)
        nn.init.eye_(self.last.weight)
        self.shown = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.shown += len(pixels)
        known = [image.numpy().tobytes() in self.known for image in pixels]
        seen = torch.tensor([[float(k), float(not k)] for k in known]).view(len(pixels), 2)
        answer: Tensor = self.last(seen) * self.certainty
        return answer


@pytest.fixture
def memories(monkeypatch):
    """Every training makes a `Memory` instead; the list of those that were made."""
    made: list[Memory] = []

    def train(data, recipe, *, seed, on_step):
        on_step(1, 1)
        made.append(Memory(data.train.images, certainty=1.0 + len(made)))
        return Trained(made[-1], [], None, "all epochs", 1000)

    monkeypatch.setattr(module, "train", train)
    return made


@pytest.fixture
def data(request) -> Splits:
    """A data set of its own for each test, so that nothing is found in the cache."""
    seed = sum(request.node.name.encode())
    train = make_images(120, seed=seed)
    return Splits("world", train, None, make_images(40, seed=seed + 1, split="test"))


def called(logits: np.ndarray) -> set[int]:
    return set(logits.argmax(1).tolist())


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_no_image_is_answered_by_a_network_that_was_trained_on_it(data, memories, folds):
    found = out_of_sample(data, recipe=SMALL, folds=folds)
    assert len(memories) == folds
    assert called(found.answers["train"].logits) == {1}
    everything = {image.tobytes() for image in data.train.images}
    assert set.union(*(memory.known for memory in memories)) == everything


def test_copies_of_an_image_are_left_out_together(data, memories):
    images = data.train.images.copy()
    images[60:] = images[:60]
    copied = replace(data, train=replace(data.train, images=images))
    found = out_of_sample(copied, recipe=SMALL, folds=3)
    assert called(found.answers["train"].logits) == {1}
    assert (found.fold[60:] == found.fold[:60]).all()


def test_other_splits_get_the_mean_of_all_networks(data, memories):
    found = out_of_sample(data, recipe=SMALL, folds=3)
    assert found.answers["test"].logits == pytest.approx(
        np.repeat([[0, 2, 0, 0]], 40, axis=0)  # certainties 1, 2 and 3
    )
    assert set(found.answers) == {"train", "test"}


def test_all_networks_have_a_say_where_none_sees_an_image_often(data, memories):
    found = out_of_sample(data, recipe=SMALL, folds=2)
    held_out = found.fold + 1.0  # the certainty of the network that left the image out
    expected = np.stack([(3 - held_out) / 2, held_out / 2, 0 * held_out, 0 * held_out], axis=1)
    assert found.answers["train"].all_logits == pytest.approx(expected)


def test_networks_that_saw_an_image_often_have_no_say(data, memories):
    found = out_of_sample(data, recipe=replace(SMALL, epochs=7), folds=2)
    answers = found.answers["train"]
    assert answers.all_logits.tolist() == answers.logits.tolist()


def test_images_and_their_mirror_images_are_looked_at_where_training_mirrors(data, memories):
    out_of_sample(data, recipe=SMALL, folds=2)
    assert memories[0].shown == 160
    out_of_sample(data, recipe=replace(SMALL, horizontal_flip=True), folds=2)
    assert memories[2].shown == 320


def test_the_second_call_finds_the_first_ones_answers(data, memories):
    first = out_of_sample(data, recipe=SMALL, folds=2)
    shares: list[float] = []
    second = out_of_sample(data, recipe=SMALL, folds=2, on_progress=shares.append)
    assert len(memories) == 2
    assert shares == [1.0]
    for split, answers in first.answers.items():
        for one, other in zip(answers, second.answers[split], strict=True):
            assert one.tobytes() == other.tobytes()
            assert one.dtype == other.dtype
    assert second.fold.tolist() == first.fold.tolist()
    for name in ("recipe", "folds", "temperature", "flop", "seconds"):
        assert getattr(second, name) == getattr(first, name)


@pytest.mark.parametrize("change", ["labels", "recipe", "folds", "seed"])
def test_what_changes_the_answers_is_computed_anew(data, memories, change):
    asked = {"recipe": SMALL, "folds": 2, "seed": 0}
    out_of_sample(data, **asked)
    if change == "labels":
        data = replace(data, train=replace(data.train, labels=data.train.labels[::-1].copy()))
    else:
        asked[change] = {"recipe": replace(SMALL, epochs=4), "folds": 3, "seed": 1}[change]
    out_of_sample(data, **asked)
    assert len(memories) == 2 + asked["folds"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_file_in_the_cache_is_replaced(data, memories, damage, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    first = out_of_sample(data, recipe=SMALL, folds=2)
    (path,) = (tmp_path / "out-of-sample").iterdir()
    path.write_bytes(damage)
    second = out_of_sample(data, recipe=SMALL, folds=2)
    assert len(memories) == 4
    assert second.fold.tolist() == first.fold.tolist()
    out_of_sample(data, recipe=SMALL, folds=2)
    assert len(memories) == 4


def test_answers_are_given_where_the_cache_folder_cannot_be_written(
    data, memories, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "file"))
    assert len(out_of_sample(data, recipe=SMALL, folds=2).fold) == 120


def test_progress_rises_to_one(data, memories):
    shares: list[float] = []
    out_of_sample(data, recipe=SMALL, folds=3, on_progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1 / 3
    assert shares[-1] == pytest.approx(1)


def test_trained_networks_are_far_better_than_guessing_and_their_features_tell_classes_apart(world):
    found = out_of_sample(world, recipe=SMALL, folds=2)
    labels, answers = world.train.labels, found.answers["train"]
    assert (answers.logits.argmax(1) == labels).mean() > 0.7
    assert (found.answers["test"].logits.argmax(1) == world.test.labels).mean() > 0.7
    features = answers.features.astype(np.float32)
    assert features.shape == (256, 16)
    apart = ((features[:, None] - features[None]) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).mean() > 0.7
    for probabilities in (found.probabilities(), found.probabilities("test")):
        assert probabilities.dtype == np.float32
        assert probabilities.sum(1) == pytest.approx(1)
    assert found.flop > 0
    assert found.seconds > 0


def test_the_same_seed_gives_the_same_answers(world, tmp_path, monkeypatch):
    answers = []
    for name in ("one", "other"):
        monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / name))
        found = out_of_sample(world, recipe=replace(SMALL, epochs=1), folds=2)
        answers.append(found.answers["train"].logits.tobytes())
    assert answers[0] == answers[1]


def test_every_class_is_in_every_fold_in_equal_parts():
    labels = np.random.default_rng(0).choice(4, 997, p=[0.5, 0.3, 0.15, 0.05])
    fold = folds_of(labels, np.arange(997), folds=3, seed=0)
    counts = np.array([np.bincount(labels[fold == f], minlength=4) for f in range(3)])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    assert counts.sum(1).max() - counts.sum(1).min() <= 1


def test_groups_are_whole_and_folds_still_even():
    random = np.random.default_rng(1)
    groups = np.sort(random.integers(0, 300, 1000))
    labels = random.integers(0, 5, 1000)
    fold = folds_of(labels, groups, folds=2, seed=0)
    for group in set(groups.tolist()):
        assert len(set(fold[groups == group].tolist())) == 1
    counts = np.array([np.bincount(labels[fold == f], minlength=5) for f in range(2)])
    assert (np.abs(counts[0] - counts[1]) <= 4).all()


def test_folds_depend_on_the_seed_alone():
    labels, groups = np.arange(100) % 3, np.arange(100)
    first = folds_of(labels, groups, folds=2, seed=0)
    assert first.tolist() == folds_of(labels, groups, folds=2, seed=0).tolist()
    assert first.tolist() != folds_of(labels, groups, folds=2, seed=1).tolist()


def test_the_near_copies_that_folds_keep_together_are_those_of_the_cache(data, memories):
    images = data.train.images.copy()
    images[7] = images[90]
    copied = replace(data, train=replace(data.train, images=images))
    found = out_of_sample(copied, recipe=SMALL, folds=2)
    expected = folds_of(data.train.labels, cached_groups(copied.train), folds=2, seed=0)
    assert found.fold.tolist() == expected.tolist()


def test_few_images_are_seen_more_often():
    assert recipe_for(25_000).epochs == small_recipe().epochs
    for images in (20, 300, 900, 4000):
        assert recipe_for(images).steps(images) >= FEW_STEPS
        shorter = recipe_for(images).changed({"epochs": recipe_for(images).epochs - 1})
        assert shorter.steps(images) < FEW_STEPS


def test_folds_are_five_where_images_are_few_and_two_where_they_are_many(data, memories):
    assert out_of_sample(data, recipe=SMALL).folds == 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (range(19), "19 training images of 4 classes"),
        ("of one class", "30 training images of 1 class"),
    ],
)
def test_too_few_images_or_classes_are_refused(data, rows, message):
    if isinstance(rows, str):
        rows = np.flatnonzero(data.train.labels == 0)
    few = Splits("world", data.train.select(np.array(rows), split="train"))
    with pytest.raises(DataError) as refused:
        out_of_sample(few, recipe=SMALL)
    assert str(refused.value) == (
        f"world: {message}; out-of-sample answers need at least 20 images and 2 classes."
    )


def test_a_single_fold_is_refused(data):
    with pytest.raises(InputError) as refused:
        out_of_sample(data, recipe=SMALL, folds=1)
    assert str(refused.value) == "folds = 1: expected 2 or more, or none; 5 is usual."
