"""What a data set holds, as tables: sizes, classes and their balance, pixels, brightness, samples.

Everything is a plain value that JSON can hold. No model takes part.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyscope.data.balance import UNBALANCED, UNLIKELY, chi_square_p, equal_shares
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.image_quality import ImageProperties
from tinyscope.data.normalization import channel_statistics

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 32
"""Of the histograms of brightness (0 … 1) and contrast (0 … 0.5)."""

_FIRST, _EVERY, _RANDOM = 8, 50, 24  # images of each class, and of the two samples of all
_PIECE = 2**22  # values read at a time


def explore(splits: Splits, *, properties: Mapping[str, ImageProperties]) -> dict[str, Any]:
    """What a data set holds.

    Args:
        splits: as loaded.
        properties: `image_properties` of each split, by its name.

    Returns:
        `balance` of the training images (`even_classes`), `split_shares` (`same_shares`; None with
        one split), `missing` (`left_out`, `empty_classes`); and of the training images: `channels`
        (what they are normalized by), `brightness` and `contrast` (mean, deviation, quantiles,
        histogram), `by_class` (mean and deviation of both).
    """
    parts = splits.parts()
    train, names = splits.train, splits.train.class_names
    measured = properties["train"]
    return {
        "balance": even_classes(train.counts(), names),
        "split_shares": same_shares({part.split: part.counts() for part in parts}, names)
        if len(parts) > 1
        else None,
        "missing": {
            "left_out": sum(len(part.left_out) for part in parts),
            "empty_classes": [
                {"split": part.split, "class": name}
                for part in parts
                for name, count in zip(names, part.counts(), strict=True)
                if not count
            ],
        },
        "channels": _channels(train),
        "brightness": _distribution(measured.brightness, upper=1.0),
        "contrast": _distribution(measured.contrast, upper=0.5),
        "by_class": _by_class(train, measured),
    }


def even_classes(counts: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """How evenly images are spread over classes: Pearson's chi-square test against equal shares.

    Args:
        counts: images of each class, K of them.
        names: K class names.

    Returns:
        `largest` and `smallest` (class, images), `ratio` of the two (None where a class is empty),
        `statistic`, `dof`, `p_value` (None without images or with one class) and `judgement`, a
        sentence.
    """
    largest, smallest = int(np.argmax(counts)), int(np.argmin(counts))
    high, low = counts[largest], counts[smallest]
    found = equal_shares(counts)
    p_value = None if found is None else found.p_value
    sizes = f"from {low:,} ({names[smallest]}) to {high:,} ({names[largest]})"
    if p_value is None:
        judgement = "There is nothing to compare."
    elif high == low:
        judgement = f"Every class has {high:,} images."
    elif p_value >= UNLIKELY:
        judgement = (
            f"Classes have {sizes} images, no more uneven than chance makes equally frequent ones "
            f"({_p(p_value)})."
        )
    elif low and high <= UNBALANCED * low:
        judgement = (
            f"Classes have {sizes} images: too uneven for chance ({_p(p_value)}), yet the "
            f"largest is only {high / low:.2f} times the smallest."
        )
    else:
        times = f", {high / low:.1f} times as many" if low else ""
        judgement = (
            f"Classes have {sizes} images{times}; chance alone would not make equally frequent "
            f"ones so uneven ({_p(p_value)})."
        )
    return {
        "largest": {"class": names[largest], "images": high},
        "smallest": {"class": names[smallest], "images": low},
        "ratio": high / low if low else None,
        "statistic": None if found is None else found.statistic,
        "dof": len(counts) - 1,
        "p_value": p_value,
        "judgement": judgement,
    }


def same_shares(counts: Mapping[str, Sequence[int]], names: Sequence[str]) -> dict[str, Any]:
    """Whether splits have the same class shares: Pearson's chi-square test of the table.

    Args:
        counts: images of each class, by split.
        names: K class names.

    Returns:
        `statistic`, `dof`, `p_value`, `least_expected` (the smallest expected count; the test is
        rough below 5), all None where there are not two splits and two classes with images; and
        `judgement`, a sentence.
    """
    table = np.array(list(counts.values()), np.float64).reshape(len(counts), -1)
    splits = [split for split, row in zip(counts, table, strict=True) if row.sum()]
    table = table[table.sum(1) > 0]
    kept = np.flatnonzero(table.sum(0))
    table = table[:, kept]
    if min(table.shape) < 2:
        return {
            "statistic": None,
            "dof": None,
            "p_value": None,
            "least_expected": None,
            "judgement": "There is nothing to compare.",
        }
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    dof = (len(table) - 1) * (len(kept) - 1)
    p_value = chi_square_p(statistic, dof)
    shares = table / table.sum(1, keepdims=True)
    gap = shares.max(0) - shares.min(0)
    worst = int(gap.argmax())
    high, low = int(shares[:, worst].argmax()), int(shares[:, worst].argmin())
    if gap[worst] < 1e-12:
        judgement = "All splits have the same class shares."
    elif p_value >= UNLIKELY:
        judgement = (
            f"The splits' class shares differ no more than chance would make them ({_p(p_value)})."
        )
    else:
        judgement = (
            f"The splits' class shares differ by more than chance ({_p(p_value)}), most of all "
            f"for {names[kept[worst]]}: {shares[high, worst]:.1%} of {splits[high]}, "
            f"{shares[low, worst]:.1%} of {splits[low]}."
        )
    return {
        "statistic": statistic,
        "dof": dof,
        "p_value": p_value,
        "least_expected": float(expected.min()),
        "judgement": judgement,
    }


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _channels(train: ImageDataset) -> list[dict[str, Any]]:
    """Mean, deviation and extremes of every channel."""
    mean, deviation = channel_statistics(train.images)
    names = ("red", "green", "blue") if len(mean) == 3 else ("grey",)
    lowest, highest = np.full(len(mean), 255), np.zeros(len(mean))
    step = max(1, _PIECE // max(1, int(np.prod(train.images.shape[1:]))))
    for start in range(0, len(train), step):
        piece = train.images[start : start + step]
        lowest = np.minimum(lowest, piece.min((0, 1, 2)))
        highest = np.maximum(highest, piece.max((0, 1, 2)))
    return [
        {
            "channel": name,
            "mean": float(mean[c] / 255),
            "deviation": float(deviation[c] / 255),
            "mean_255": float(mean[c]),
            "deviation_255": float(deviation[c]),
            "lowest": int(lowest[c]),
            "highest": int(highest[c]),
        }
        for c, name in enumerate(names)
    ]


def _distribution(values: np.ndarray, *, upper: float) -> dict[str, Any]:
    exact = values.astype(np.float64)
    edges = np.linspace(0, upper, BINS + 1)
    counts, _ = np.histogram(exact.clip(0, upper), edges)
    return {
        "mean": float(exact.mean()),
        "deviation": float(exact.std()),
        "quantiles": {
            str(q): float(value)
            for q, value in zip(QUANTILES, np.quantile(exact, QUANTILES), strict=True)
        },
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _by_class(train: ImageDataset, measured: ImageProperties) -> list[dict[str, Any]]:
    """Brightness and contrast of every class that has images."""
    rows = []
    for k, name in enumerate(train.class_names):
        of_class = train.labels == k
        if of_class.any():
            row: dict[str, Any] = {"class": name}
            for measure in ("brightness", "contrast"):
                values = getattr(measured, measure)[of_class].astype(np.float64)
                row[measure] = float(values.mean())
                row[f"{measure}_deviation"] = float(values.std())
            rows.append(row)
    return rows


def sample_rows(dataset: ImageDataset, *, seed: int = 0) -> dict[str, Any]:
    """Rows of a data set that are worth showing; each an index into `images`.

    Args:
        seed: of what is drawn at random.

    Returns:
        `first` (class name -> up to 8 rows, ascending); `every` (`step`, a 1, 2 or 5 with zeros,
        and its up to 50 rows: every 1,000th image of 50,000); `random` (`seed`, up to 24 rows).
    """
    order = np.argsort(dataset.labels, kind="stable")
    groups = np.split(order, np.cumsum(dataset.counts())[:-1])
    count = len(dataset)
    steps = (digit * 10**zeros for zeros in range(19) for digit in (1, 2, 5))
    step = next(step for step in steps if step * _EVERY >= count)
    drawn = np.random.default_rng(seed).choice(count, min(_RANDOM, count), replace=False)
    return {
        "first": {
            name: rows[:_FIRST].tolist()
            for name, rows in zip(dataset.class_names, groups, strict=True)
        },
        "every": {"step": step, "rows": list(range(0, count, step))},
        "random": {"seed": seed, "rows": np.sort(drawn).tolist()},
    }


def class_means(dataset: ImageDataset) -> np.ndarray:
    """The mean image of each class.

    Returns:
        uint8 (K, H, W, C), rounded; black for a class without images.
    """
    counts = np.array(dataset.counts())
    sums = np.zeros((len(counts), *dataset.images.shape[1:]), np.uint32)
    step = max(1, _PIECE // max(1, sums[0].size))
    for start in range(0, len(dataset), step):
        labels = dataset.labels[start : start + step]
        order = np.argsort(labels, kind="stable")
        present, first = np.unique(labels[order], return_index=True)
        piece = dataset.images[start : start + step][order]
        sums[present] += np.add.reduceat(piece, first, axis=0, dtype=np.uint32)
    means = np.empty(sums.shape, np.uint8)
    for label, count in enumerate(counts.tolist()):
        means[label] = np.rint(sums[label] / max(count, 1))
    return means
