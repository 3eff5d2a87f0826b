"""Summaries of finished studies written by hand, as far as checks and suggestions read them."""

from tinyscope.diagnosis.augmentation_evidence import CIFAR10
from tinyscope.diagnosis.study_checks import study_findings
from tinyscope.plan.recipe import Recipe

IMAGES = 5000  # of validation
CLASSES = tuple(sorted(CIFAR10))


def curve(train, val, *, loss=None):
    """A history whose accuracies are `train` and `val`, epoch by epoch."""
    losses = loss or [1.5 * (1 - share) + 0.01 for share in val]
    return [
        {"epoch": k + 1, "train_accuracy": a, "val_accuracy": b, "train_loss": 1.0, "val_loss": c}
        for k, (a, b, c) in enumerate(zip(train, val, losses, strict=True))
    ]


LEVEL_CURVE = curve([0.94] * 8, [0.93] * 8)
OVERFIT = curve(
    [0.5, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.98],
    [0.5, 0.62, 0.66, 0.68, 0.69, 0.69, 0.69, 0.69],
)


def variation(
    name="base", history=LEVEL_CURVE, *, stopped="all epochs", histories=(), guessing=(), **recipe
):
    """A variation with a run for each history; `guessing`: seeds of those that learnt nothing."""
    runs = [
        {
            "name": f"{name}-{seed}",
            "seed": seed,
            "val_accuracy": rows[-1]["val_accuracy"] if rows else 0.1,
            "guesses": seed in guessing,
            "history": rows,
            "best_epoch": min(rows, key=lambda row: row["val_loss"])["epoch"] if rows else None,
            "stopped": stopped,
            "epochs_run": len(rows),
        }
        for seed, rows in enumerate(histories or [history])
    ]
    accuracy = sum(run["val_accuracy"] for run in runs) / len(runs)
    settings = {"epochs": max(1, len(runs[0]["history"])), "precision": "fp32"} | recipe
    return {
        "name": name,
        "model": settings.get("model", "compact-cnn"),
        "parameters": 300_000,
        "recipe": Recipe().changed(settings).as_dict(),
        "train_flop": 1e13,
        "epochs_run": [run["epochs_run"] for run in runs],
        "validation": {
            "images": IMAGES,
            "accuracy": accuracy,
            "balanced_accuracy": accuracy,
            "confusion": [[450 if a == b else 50 // 9 for b in range(10)] for a in range(10)],
        },
        "runs": runs,
    }


def make_summary(*variations, classes=CLASSES, augmentations=None, one_key=(), images=45_000):
    """A summary whose first variation is recommended."""
    return {
        "data": {
            "class_names": list(classes),
            "image_shape": [32, 32, 3],
            "splits": [{"split": "train", "images": images}],
            "unbalanced": False,
        },
        "inspection": {"augmentations": augmentations},
        "recommended": {"variation": variations[0]["name"]},
        "variations": list(variations),
        "comparisons": {"one_key": list(one_key)},
    }


def measured(key, name, verdict, drop=0.0):
    """A row of the inspection's table of augmentations."""
    reason = "50.0% of 3,000 changed images are known, 80.0% of the unchanged ones; it counts."
    return {"recipe_key": key, "name": name, "verdict": verdict, "drop": drop, "reason": reason}


def pair(first, second, key, difference, verdict):
    """A paired test of two variations that differ in one key."""
    return {
        "first": first,
        "second": second,
        "key": key,
        "images": IMAGES,
        "difference": difference,
        "interval": [difference - 0.01, difference + 0.01],
        "verdict": verdict,
    }


def finding(code, *variations, **more):
    found = study_findings(make_summary(*variations, **more))
    return next(one for one in found if one["code"] == code)


def outcome(code, *variations, **more):
    one = finding(code, *variations, **more)
    return one["reason"] or (
        [item["variation"] for item in one["items"]] if one["outcome"] == "found" else "clear"
    )
