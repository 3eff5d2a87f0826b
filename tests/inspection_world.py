"""The summary of an inspection, made of numbers instead of checks: for tests of its page."""

from typing import Any

import numpy as np

from tinyscope.data.dataset import Splits
from tinyscope.inspection.checks import CHECKS
from tinyscope.report.pictures import Album, data_uri

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
MAP_COLUMNS = 40


def make_inspection(
    splits: Splits,
    *,
    trained: bool = True,
    as_files: bool = True,
    found: tuple[str, ...] = ("TS005", "TS008", "TS015"),
    leaks: int = 3,
    items: int = 30,
    map_points: int = 50,
    families: bool = False,
) -> dict[str, Any]:
    """A summary whose numbers are of these images as far as a page shows them side by side.

    Args:
        splits: a training and a test split.
        trained: whether models were trained for it.
        as_files: whether the images were files.
        found: codes of the checks that found something; the others found nothing or do not apply.
        leaks: test images with a copy among the training images, if TS008 is found.
        items: of every other finding.
        map_points: images on the map.
        families: whether classes have families.
    """
    train, album, draw = splits.train, Album(), np.random.default_rng(0)
    names = list(train.class_names)
    parts = splits.parts()
    means = [train.images[train.labels == k].mean(0) for k in range(len(names))]
    album.pictures |= {f"mean/{k}": data_uri(mean.astype(np.uint8)) for k, mean in enumerate(means)}
    findings = [
        _finding(code, splits, album, found, trained, leaks if code == "TS008" else items)
        for code in CHECKS
    ]
    left_out = [
        {"split": part.split, "file": entry.file, "reason": entry.reason}
        for part in parts
        for entry in part.left_out
    ]
    rows = draw.integers(0, len(train), 12).tolist()
    return {
        "format": 1,
        "tinyscope": "0.1.0",
        "created": "2026-11-21T15:00:00+00:00",
        "name": splits.name,
        "source": train.source,
        "fingerprint": splits.fingerprint,
        "class_names": names,
        "image_shape": list(train.images.shape[1:]),
        "splits": [
            {
                "split": part.split,
                "images": len(part),
                "found": part.found,
                "counts": part.counts(),
                "shares": [n / len(part) for n in part.counts()],
                "memory_bytes": part.images.size,
            }
            for part in parts
        ],
        "found": sum(part.found for part in parts),
        "used": sum(len(part) for part in parts),
        "disk_bytes": 170_000_000 if as_files else None,
        "left_out": left_out,
        "trained": trained,
        "exploration": _exploration(splits, len(left_out)),
        "as_found": _as_found(sum(part.found for part in parts)) if as_files else None,
        "findings": findings,
        "samples": {
            "by_class": [
                {
                    "class": name,
                    "pictures": [
                        album.place(train, int(row))
                        for row in np.flatnonzero(train.labels == k)[:8]
                    ],
                }
                for k, name in enumerate(names)
            ],
            "every_nth": {
                "n": max(1, len(train) // 50),
                "pictures": [
                    _pictured(splits, album, row)
                    for row in range(0, len(train), max(1, len(train) // 50))
                ],
            },
            "random": {"seed": 0, "pictures": [_pictured(splits, album, row) for row in rows]},
            "means": [{"class": name, "picture": f"mean/{k}"} for k, name in enumerate(names)],
        },
        "learnt": _learnt(splits, album, families) if trained else None,
        "augmentations": _augmentations(splits, album) if trained else None,
        "map": _map(splits, map_points) if trained else None,
        "seconds": {"measuring the images": 6.25, "looking for copies": 41.0},
        "pictures": album.pictures,
    }


def _pictured(splits: Splits, album: Album, row: int) -> dict[str, Any]:
    train = splits.train
    row %= len(train)
    name = train.class_names[train.labels[row]]
    return {"picture": album.place(train, row), "class": name, "row": row}


def _finding(
    code: str, splits: Splits, album: Album, found: tuple[str, ...], trained: bool, count: int
) -> dict[str, Any]:
    check = CHECKS[code]
    finding: dict[str, Any] = {
        "code": code,
        "severity": check.severity,
        "title": check.title,
        "why": check.why,
        "remedy": check.remedy,
        "status": "clear",
        "summary": "",
        "reason": "",
        "table": [],
        "items": [],
        "shown": [],
    }
    if code in ("TS015", "TS017") and not trained:
        return finding | {"status": "not applicable", "reason": "because no model was trained"}
    if code == "TS016":
        return finding | {"status": "not applicable", "reason": "because there are too few images"}
    if code not in found:
        return finding
    parts = {part.split: part for part in splits.parts()}

    def image(split: str, row: int) -> dict[str, Any]:
        part = parts[split]
        name = part.files[row] if part.files else f"{split}[{row}]"
        return {"file": name, "split": split, "row": row, "class": _class(part, row)}

    for n in range(count):
        item = image("train", n) | {
            "detail": "odd in its own way",
            "score": 1 - n / count,
            "action": "exclude",
            "new_class": "",
            "others": [],
        }
        if code == "TS008":
            item |= {"detail": f"near copy of test[{n}]", "others": [image("test", n)]}
        if code == "TS015":
            item |= {"action": "relabel", "new_class": splits.train.class_names[-1]}
        finding["items"].append(item)
        if n < 24:
            both = [item, *item["others"]]
            finding["shown"].append(
                {
                    "pictures": [album.place(parts[one["split"]], one["row"]) for one in both],
                    "caption": " | ".join(one["class"] for one in both),
                    "item": n,
                }
            )
    return finding | {
        "status": "found",
        "summary": f"{count} of {len(splits.train):,} are so.",
        "table": [{"class": splits.train.class_names[0], "images": count, "share_of_all": 0.03125}],
    }


def _class(part: Any, row: int) -> str:
    return part.class_names[part.labels[row]]


def _exploration(splits: Splits, left_out: int) -> dict[str, Any]:
    train = splits.train
    pixels = train.images[:5000].astype(float)
    brightness, contrast = pixels.mean((1, 2, 3)) / 255, pixels.std((1, 2, 3)) / 255
    counts = train.counts()
    by_class = []
    for k, name in enumerate(train.class_names):
        of = train.labels[:5000] == k
        by_class.append(
            {
                "class": name,
                "brightness": float(brightness[of].mean()) if of.any() else 0.0,
                "brightness_deviation": float(brightness[of].std()) if of.any() else 0.0,
                "contrast": float(contrast[of].mean()) if of.any() else 0.0,
                "contrast_deviation": float(contrast[of].std()) if of.any() else 0.0,
            }
        )
    channels = ("red", "green", "blue") if pixels.shape[3] == 3 else ("grey",)
    return {
        "balance": {
            "ratio": max(counts) / min(counts) if min(counts) else None,
            "statistic": 0.0,
            "dof": len(counts) - 1,
            "p_value": 1.0,
            "judgement": "The classes are of one size.",
        },
        "split_shares": {
            "statistic": 0.0,
            "dof": len(counts) - 1,
            "p_value": 1.0,
            "judgement": "The splits have the same shares of the classes.",
        },
        "missing": {
            "left_out": left_out,
            "empty_classes": [
                {"split": part.split, "class": name}
                for part in splits.parts()
                for name, n in zip(part.class_names, part.counts(), strict=True)
                if n == 0
            ],
        },
        "channels": [
            {
                "channel": name,
                "mean": float(pixels[..., c].mean() / 255),
                "deviation": float(pixels[..., c].std() / 255),
                "mean_255": float(pixels[..., c].mean()),
                "deviation_255": float(pixels[..., c].std()),
                "lowest": int(pixels[..., c].min()),
                "highest": int(pixels[..., c].max()),
            }
            for c, name in enumerate(channels)
        ],
        "brightness": _spread(brightness, 1.0),
        "contrast": _spread(contrast, 0.5),
        "by_class": by_class,
    }


def _spread(values: np.ndarray, highest: float) -> dict[str, Any]:
    counts, edges = np.histogram(values, 40, (0, highest))
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "quantiles": {str(q): float(np.quantile(values, q)) for q in QUANTILES},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _as_found(files: int) -> dict[str, Any]:
    return {
        "formats": [{"name": "PNG", "files": files - 2}, {"name": "JPEG", "files": 2}],
        "modes": [{"name": "RGB", "files": files}],
        "sizes": [{"size": "32x32", "files": files - 1}, {"size": "80x61", "files": 1}],
        "smallest": "32x32",
        "largest": "80x61",
        "different_sizes": 2,
        "median_bytes": 2400,
    }


def _learnt(splits: Splits, album: Album, families: bool) -> dict[str, Any]:
    train = splits.train
    names = train.class_names
    pictures = [album.place(train, row) for row in range(4)]
    return {
        "recipe": "sprint",
        "folds": 3,
        "images": len(train),
        "accuracy": 0.8625,
        "interval": [0.85, 0.875],
        "train_seconds": 75.0,
        "train_flop": 2.5e14,
        "classes": [
            {"class": name, "accuracy": 0.5 + 0.5 * k / len(names), "images": n}
            for k, (name, n) in enumerate(zip(names, train.counts(), strict=True))
        ],
        "pairs": [
            {
                "true": names[0],
                "predicted": names[-1],
                "count": 17,
                "share": 0.07,
                "pictures": pictures,
            }
        ],
        "easiest": [
            {key: _pictured(splits, album, row)[key] for key in ("picture", "class")}
            | {"probability": 0.9999}
            for row in range(12)
        ],
        "hardest": [
            {key: _pictured(splits, album, row)[key] for key in ("picture", "class")}
            | {"answer": names[-1], "probability": 0.992}
            for row in range(12, 24)
        ],
        "families": {
            "within": 0.625,
            "across": 0.375,
            "errors": 80,
            "rows": [
                {
                    "family": "creatures",
                    "classes": list(names[:3]),
                    "accuracy": 0.75,
                    "family_accuracy": 0.9125,
                }
            ],
        }
        if families
        else None,
    }


def _augmentations(splits: Splits, album: Album) -> list[dict[str, Any]]:
    train = splits.train
    made = []
    for place, (name, key, verdict, drop) in enumerate(
        (
            ("horizontal flip", "horizontal_flip", "valid", 0.0012),
            ("quarter turn", "", "costly", 0.0575),
            ("vertical flip", "vertical_flip", "invalid", 0.2125),
        )
    ):
        album.pictures[f"after/{place}"] = data_uri(train.images[place][::-1])
        shot = {"before": album.place(train, place), "after": f"after/{place}"}
        classes = {"class": _class(train, place), "answer": train.class_names[-1]}
        made.append(
            {
                "name": name,
                "recipe_key": key,
                "verdict": verdict,
                "accuracy": 0.8625 - drop,
                "unchanged_accuracy": 0.8625,
                "drop": drop,
                "interval": [drop - 0.004, drop + 0.004],
                "reason": f"It is {verdict} by what was measured.",
                "classes": [
                    {
                        "class": train.class_names[0],
                        "taken_for": train.class_names[-1],
                        "share": 0.4,
                    }
                ],
                "pictures": [shot | classes] * 4,
            }
        )
    return made


def _map(splits: Splits, points: int) -> dict[str, Any]:
    train, draw = splits.train, np.random.default_rng(1)
    points = min(points, len(train))
    rows = np.sort(draw.choice(len(train), points, replace=False))
    height, width, channels = train.images.shape[1:]
    sheet = np.zeros((-(-points // MAP_COLUMNS) * height, MAP_COLUMNS * width, channels), np.uint8)
    for n, row in enumerate(rows):
        top, left = n // MAP_COLUMNS * height, n % MAP_COLUMNS * width
        sheet[top : top + height, left : left + width] = train.images[row]
    angle = 2 * np.pi * train.labels[rows] / len(train.class_names)
    place = np.stack([np.cos(angle), np.sin(angle)], 1) + draw.normal(0, 0.35, (points, 2))
    place = (place - place.min(0)) / (place.max(0) - place.min(0))
    side = int(np.ceil(np.sqrt(2 * points)))
    place = (np.minimum((place * side).astype(int), side - 1) + 0.5) / side
    return {
        "points": [
            {
                "x": round(float(x), 4),
                "y": round(float(y), 4),
                "class": int(train.labels[row]),
                "split": "train",
                "row": int(row),
            }
            for (x, y), row in zip(place, rows, strict=True)
        ],
        "sheet": data_uri(sheet),
        "columns": MAP_COLUMNS,
        "tile": width,
        "basis": "By the last layer of a sprint network, brought to two dimensions by t-SNE.",
    }
