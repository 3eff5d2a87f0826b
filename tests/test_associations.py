import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tinyscope.inspection.associations import associations

NAMES = ("cat", "dog", "owl", "bee")
LABELS = np.repeat(np.arange(4), 250)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(len(LABELS))


def measured(numeric=None, categorical=None, labels=LABELS):
    return associations(labels, NAMES, numeric=numeric or {}, categorical=categorical or {})


def test_the_area_under_the_curve_is_scikit_learns() -> None:
    values = noise() + (LABELS == 2)
    (brightness,) = measured({"brightness": values})
    assert brightness.class_name == "owl"
    assert brightness.auc == pytest.approx(roc_auc_score(LABELS == 2, values))
    (turned,) = measured({"brightness": -values})
    assert turned.auc == pytest.approx(brightness.auc)


def test_ties_and_missing_values_are_scikit_learns_too() -> None:
    values = np.round(noise() + (LABELS == 1))
    known = np.arange(len(LABELS)) % 3 > 0
    (each,) = measured({"border": np.where(known, values, np.nan)})
    assert each.auc == pytest.approx(roc_auc_score(LABELS[known] == 1, values[known]))


def test_of_a_text_the_best_single_value_counts() -> None:
    formats = np.where((LABELS == 3) & (np.arange(1000) % 5 > 0), "PNG", "JPEG")
    (each,) = measured(categorical={"format": formats})
    assert (each.class_name, each.auc) == ("bee", pytest.approx(0.9))  # (0.8 + 1.0) / 2


def test_a_property_that_says_nothing_guesses_as_well_as_chance() -> None:
    (each,) = measured({"brightness": noise()})
    assert each.chance == 0.25
    assert each.interval[0] < 0.25 < each.interval[1]
    assert each.auc < 0.56


def test_a_property_that_says_everything_guesses_all_classes() -> None:
    (each,) = measured({"date": LABELS + 0.1 * np.tanh(noise())})
    assert each.balanced_accuracy == pytest.approx(1, abs=0.02)


def test_balanced_accuracy_is_worked_by_hand_for_a_value_of_one_class() -> None:
    # One class is known by its value. The rest share the other value: one of the three is guessed.
    (each,) = measured(categorical={"format": np.where(LABELS == 0, "PNG", "JPEG")})
    assert each.balanced_accuracy == pytest.approx(0.5)
    assert each.interval == (pytest.approx(0.5), pytest.approx(0.5))


def test_the_strongest_property_comes_first() -> None:
    strong, weak = 9.0 * (LABELS == 0) + noise(), noise(1)
    assert [each.property for each in measured({"weak": weak, "strong": strong})] == [
        "strong",
        "weak",
    ]


def test_values_of_single_images_count_as_one_value() -> None:
    times = [f"12:{row:04}" if row < 250 else f"roll {row % 2}" for row in range(1000)]
    (each,) = measured(categorical={"time": times})
    assert (each.class_name, each.auc) == ("cat", 1.0)
