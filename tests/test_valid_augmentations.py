import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.mapped_rows import MappedRows
from tinyscope.inspection import valid_augmentations
from tinyscope.inspection.augmentation_checks import augmentation_table
from tinyscope.inspection.candidate_augmentations import augmentations
from tinyscope.inspection.small_recipe import small_recipe
from tinyscope.inspection.valid_augmentations import (
    ClassEffect,
    Measured,
    _verdict,
    measure,
)
from tinyscope.report.pictures import Album


def dataset(images: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> ImageDataset:
    return ImageDataset(images, labels.astype(np.int64), names, "train", "drawn")


def letters(count: int = 400) -> ImageDataset:
    """b, d, o and x in 12 x 12 pixels, at places and brightness drawn at random."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 4
    images = np.zeros((count, 12, 12, 1), np.uint8)
    for row, label in enumerate(labels):
        across, down = random.integers(2, 5), random.integers(0, 2)
        picture = Image.new("L", (12, 12))
        pen = ImageDraw.Draw(picture)
        ink = int(random.integers(170, 256))
        if label == 3:
            pen.line((across, down + 4, across + 5, down + 9), ink)
            pen.line((across + 5, down + 4, across, down + 9), ink)
        else:
            pen.ellipse((across, down + 4, across + 5, down + 9), outline=ink)
        if label < 2:
            stem = across if label == 0 else across + 5
            pen.line((stem, down, stem, down + 9), ink)
        images[row, :, :, 0] = picture
    noise = random.integers(0, 20, images.shape)
    return dataset((images + noise).clip(0, 255).astype(np.uint8), labels, ("b", "d", "o", "x"))


def textures(count: int = 400) -> ImageDataset:
    """Noise of four grains; no direction is unlike another."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 4
    grain = np.array([0, 0.7, 1.5, 3.0])[labels]
    images = [gaussian_filter(random.standard_normal((12, 12)), sigma) for sigma in grain]
    levels = np.array([128 + 50 * image / image.std() for image in images])
    return dataset(levels.clip(0, 255).astype(np.uint8)[..., None], labels, tuple("abcd"))


def digits() -> ImageDataset:
    loaded = load_digits()
    images = np.rint(loaded.images * (255 / 16)).astype(np.uint8)[..., None]
    return dataset(images, loaded.target, tuple("0123456789"))


@pytest.fixture(autouse=True, scope="module")
def _quick_and_only_moves():
    """Short trainings of a narrow network in one thread, and only of changes that move pixels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        every = augmentations
        narrow = small_recipe().changed({"widths": (8, 16, 32)})
        patch.setattr(valid_augmentations, "small_recipe", lambda: narrow)
        patch.setattr(valid_augmentations, "_PASSES", 5000)
        patch.setattr(valid_augmentations, "_BATCH", 100)
        patch.setattr(
            valid_augmentations,
            "augmentations",
            lambda *shape: [each for each in every(*shape) if each.moves_pixels],
        )
        yield
    torch.set_num_threads(threads)


def verdicts(measured: Measured) -> dict[str, str]:
    return {each.name: each.verdict for each in measured.judgements}


@pytest.fixture(scope="module")
def of_letters() -> Measured:
    return measure(letters())


@pytest.fixture(scope="module")
def of_digits() -> Measured:
    return measure(digits())


def test_mirrored_b_and_d_are_each_other(of_letters) -> None:
    flip = of_letters.judgements[0]
    assert (flip.name, flip.verdict) == ("horizontal flip", "invalid")
    assert {(each.class_name, each.taken_for) for each in flip.classes[:2]} == {
        ("b", "d"),
        ("d", "b"),
    }
    assert all(each.looks_like > 0.3 and each.after < 0.1 for each in flip.classes[:2])
    assert all(each.interval[1] < -0.5 for each in flip.classes[:2])
    assert "now look like" in flip.reason


def test_examples_are_known_images_that_turn_into_the_other_class(of_letters) -> None:
    labels = letters().labels
    examples = of_letters.judgements[0].examples
    assert 1 <= len(examples) <= 8
    assert {("bdox"[labels[row]], taken_for) for row, taken_for in examples} <= {
        ("b", "d"),
        ("d", "b"),
    }


def test_textures_without_a_direction_may_be_flipped_and_turned() -> None:
    assert verdicts(measure(textures())) == {
        "horizontal flip": "valid",
        "vertical flip": "valid",
        "rotation by 90 degrees": "valid",
        "rotation by 180 degrees": "valid",
    }


def test_digits_may_neither_be_flipped_nor_turned(of_digits) -> None:
    assert set(verdicts(of_digits).values()) == {"invalid"}


def test_a_six_upside_down_is_a_nine(of_digits) -> None:
    (half_turn,) = (each for each in of_digits.judgements if each.name.endswith("180 degrees"))
    six = next(each for each in half_turn.classes if each.class_name == "6")
    assert six.taken_for == "9"
    assert six.looks_like > 0.25
    assert "6 now look like 9, as certainly as its own images" in half_turn.reason


def test_the_figures_of_a_judgement_fit_one_another(of_digits) -> None:
    for each in of_digits.judgements:
        assert each.difference == pytest.approx(each.accuracy - of_digits.accuracy)
        assert each.interval[0] < each.difference < each.interval[1]
        assert "of 447 changed images are known" in each.reason
        for effect in each.classes:
            assert effect.difference == pytest.approx(effect.after - effect.before)
            assert effect.taken <= 1 - effect.after + 1e-9


def test_the_same_data_give_the_same_answer(of_letters) -> None:
    assert measure(letters()) == of_letters


def test_where_a_model_learns_nothing_nothing_is_judged(monkeypatch) -> None:
    monkeypatch.setattr(valid_augmentations, "_PASSES", 600)
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    measured = measure(dataset(noise, np.arange(200) % 2, ("a", "b")))
    assert measured.judgements == ()
    assert measured.not_applicable == (
        "because a small model trained on 150 images knows only "
        f"{measured.accuracy:.1%} of 50 others, and naming the most frequent class would be right "
        "for 50.0%"
    )


def test_images_that_the_model_cannot_take_are_not_judged() -> None:
    small = dataset(np.zeros((40, 7, 9, 1), np.uint8), np.arange(40) % 2, ("a", "b"))
    assert measure(small).not_applicable == (
        "because images of 7 pixels are too small for the model that judges"
    )
    single = dataset(np.zeros((40, 8, 8, 1), np.uint8), np.zeros(40), ("a",))
    assert measure(single).not_applicable == (
        "because there are not two classes with the four images that it takes"
    )


def test_large_images_are_shrunk_for_the_model(monkeypatch) -> None:
    sizes = []
    monkeypatch.setattr(
        valid_augmentations._Judge,
        "measured",
        lambda self, whole: sizes.append(
            (self.known.images.shape[1:], self.held_out.images.shape[1:])
        ),
    )
    images = np.zeros((40, 64, 48, 3), np.uint8)
    measure(dataset(images, np.arange(40) % 2, ("a", "b")))
    assert sizes == [((32, 24, 3), (32, 24, 3))]


def test_a_quarter_of_each_class_is_held_out() -> None:
    labels = np.repeat([0, 1, 2], [400, 40, 4])
    training, held_out = valid_augmentations._parts(labels)
    assert np.bincount(labels[held_out]).tolist() == [100, 10, 1]
    assert sorted([*training, *held_out]) == list(range(444))


def test_of_many_images_a_sample_is_taken_in_proportion(monkeypatch) -> None:
    monkeypatch.setattr(valid_augmentations, "_TRAINING", 1200)
    monkeypatch.setattr(valid_augmentations, "_HELD_OUT", 300)
    labels = np.arange(9000) % 3 % 2
    training, held_out = valid_augmentations._parts(labels)
    assert np.bincount(labels[training]).tolist() == [800, 400]
    assert np.bincount(labels[held_out]).tolist() == [200, 100]
    assert not set(training) & set(held_out)


EFFECT = ClassEffect("6", 40, 1.0, 0.0, -1.0, (-1.0, -0.9), "9", 1.0, 0.7)


@pytest.mark.parametrize(
    ("kept", "interval", "alike", "trained", "verdict"),
    [
        (0.95, (0.9, 1.0), None, None, "valid"),
        (0.95, (0.9, 1.0), EFFECT, None, "invalid"),
        (0.3, (0.2, 0.4), None, None, "invalid"),
        (0.3, (0.2, 0.7), None, None, "unclear"),
        (0.7, (0.6, 0.8), None, (-0.01, (-0.02, 0.0)), "valid"),
        (0.7, (0.6, 0.8), None, (-0.03, (-0.04, -0.02)), "costly"),
        (0.7, (0.6, 0.8), None, (-0.014, (-0.03, 0.002)), "valid"),
        (0.7, (0.2, 0.8), None, (0.0, (-0.01, 0.01)), "valid"),
        (0.7, (0.6, 0.8), None, (-0.09, (-0.1, -0.08)), "costly"),
        (0.3, (0.2, 0.4), None, (0.02, (0.01, 0.03)), "valid"),
        (0.3, (0.2, 0.4), None, (0.0, (-0.01, 0.01)), "costly"),
        (0.3, (0.2, 0.4), None, (-0.09, (-0.1, -0.08)), "invalid"),
        (0.3, (0.2, 0.4), None, (-0.09, (-0.14, -0.04)), "costly"),
        (0.3, (0.2, 0.4), None, (-0.09, (-0.2, 0.02)), "costly"),
        (0.3, (0.2, 0.7), None, (-0.09, (-0.1, -0.08)), "costly"),
        (0.3, (0.2, 0.7), None, (-0.09, (-0.2, 0.02)), "unclear"),
        (0.3, (0.2, 0.7), None, (0.02, (0.01, 0.03)), "valid"),
    ],
)
def test_the_verdict_follows_from_the_figures(kept, interval, alike, trained, verdict) -> None:
    assert _verdict(kept, interval, alike, trained)[0] == verdict


@pytest.mark.parametrize(
    ("kept", "interval", "trained"),
    [
        (0.95, (0.5, 1.1), None),
        (1.0, (0.59, 1.1), None),
        (0.7, (0.4, 1.0), (-0.06, (-0.13, 0.01))),
        (0.7, (0.4, 1.0), (-0.3, (-0.61, 0.01))),
        (0.7, (0.4, 1.0), (-0.01, (-0.03, 0.01))),
        (0.9, (0.7, 1.0), (-0.03, (-0.08, 0.02))),
        (1.0, (0.7, 1.1), (0.0, (-0.06, 0.06))),
    ],
)
def test_a_change_that_may_still_do_harm_is_not_called_valid(kept, interval, trained) -> None:
    verdict, why = _verdict(kept, interval, None, trained)
    assert verdict == "unclear"
    assert why.endswith("too few images to tell")


@pytest.mark.parametrize(
    ("kept", "trained"),
    [(0.99, None), (0.91, None), (0.88, -0.014), (0.85, -0.019)],
)
def test_three_thousand_images_are_enough_to_call_a_change_valid(kept, trained) -> None:
    """CIFAR-10's: 74% known, naming a class 10%; a fifth of the images answered otherwise."""
    half = 1.96 * math.sqrt(0.2 / 3000)
    skill = 0.64
    interval = (kept - half / skill, kept + half / skill)
    moved = None if trained is None else (trained, (trained - half, trained + half))
    assert _verdict(kept, interval, None, moved)[0] == "valid"


def test_reasons_are_sentences_with_figures() -> None:
    assert _verdict(0.95, (0.9, 1.0), EFFECT, None)[1] == (
        "70% of 6 now look like 9, as certainly as its own images"
    )
    assert _verdict(0.95, (0.9, 1.0), None, None)[1] == "that is 95% of the skill"
    assert _verdict(0.3, (0.2, 0.4), None, None)[1] == (
        "with 30% of the skill left, they are unlike any image"
    )
    assert _verdict(0.5, (-0.1, 0.9), None, None)[1] == (
        "that is 50% of the skill left (95% interval 0% to 90%), too few images to tell"
    )
    assert _verdict(0.7, (0.6, 0.8), None, (-0.031, (-0.04, -0.022)))[1] == (
        "training with the change moves the accuracy on unchanged images by -3.1 points, at the "
        "same cost (95% interval -4.0 to -2.2)"
    )


def test_a_few_images_do_not_make_a_change_invalid(monkeypatch) -> None:
    """Of twelve held-out images five are lost: with as few, half of the skill tells little."""
    judge = valid_augmentations._Judge.__new__(valid_augmentations._Judge)
    judge.held_out = textures(12)
    judge.labels, judge.names = judge.held_out.labels, judge.held_out.class_names
    judge.rows = np.arange(12)
    judge.network = None
    judge.before = np.eye(4, dtype=np.float32)[judge.labels]
    judge.right = np.ones(12, bool)
    judge.accuracy, judge.chance = 1.0, 0.25
    after = np.eye(4, dtype=np.float32)[np.where(np.arange(12) < 6, judge.labels, 0)]
    monkeypatch.setattr(judge, "_answers", lambda network, images: after)
    flip = augmentations(12, 12, 1)[0]
    judgement = judge._judged(flip)
    assert judgement.kept < valid_augmentations.UNLIKE
    assert judgement.verdict == "unclear"
    assert judgement.reason.endswith("too few images to tell.")


def test_changes_of_large_images_are_named_and_drawn_at_their_own_size(
    tmp_path, monkeypatch
) -> None:
    """They are judged at 32 pixels: a shift of 4 there is one of 5 here."""
    monkeypatch.setattr(
        valid_augmentations,
        "augmentations",
        lambda *shape: [each for each in augmentations(*shape) if each.kind in ("shift", "cutout")],
    )
    small = digits().select(np.arange(600), split="train")
    images = small.images.repeat(5, 1).repeat(5, 2)
    large = replace(small, images=images)
    on_disk = np.lib.format.open_memmap(
        tmp_path / "images.npy", "w+", dtype=np.uint8, shape=images.shape
    )
    on_disk[:] = images
    mapped = replace(small, images=MappedRows(on_disk, np.arange(len(images))))
    found = measure(large)
    assert measure(mapped) == found
    by_key = {key: value for one in found.judgements for key, value in one.settings.items()}
    assert (by_key["shift"], by_key["cutout"]) == (5, 10)
    assert "shift by up to 5" in [one.name for one in found.judgements]
    rows = augmentation_table(Splits("large", large), found, Album())
    assert [row["name"] for row in rows] == ["shift by up to 5", "cutout of 10"]
    assert all(len(row["pictures"]) > 0 for row in rows)


def test_a_change_of_detail_between_the_limits_is_trained_with(monkeypatch) -> None:
    """Blur takes the grain from textures: a model that knows it is asked as well."""
    monkeypatch.setattr(
        valid_augmentations,
        "augmentations",
        lambda *shape: [each for each in augmentations(*shape) if each.name == "blur"],
    )
    (blur,) = measure(textures()).judgements
    assert blur.kept < 0.9
    assert "training with the change moves the accuracy on unchanged images by" in blur.reason


def test_with_many_classes_the_model_learns_longer(monkeypatch):
    """One that knows few images of 100 classes says of upside-down ones that they are fine."""
    monkeypatch.setattr(valid_augmentations, "_PASSES", 24_000)
    epochs = [
        valid_augmentations._recipe(12_000, 32, classes=classes, copies=1).epochs
        for classes in (2, 40, 70, 100, 1000)
    ]
    assert epochs == [2, 2, 4, 6, 6]
