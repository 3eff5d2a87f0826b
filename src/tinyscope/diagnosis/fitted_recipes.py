"""Recipes that come along, fitted to a study: without what its data does not bear."""

from collections.abc import Mapping
from typing import Any

from tinyscope.batch_count import batch_count
from tinyscope.diagnosis.augmentation_evidence import harms, may_mirror
from tinyscope.plan.recipe_book import fine_tuning, recipe

_STEPS = 400
"""Of the optimizer: a little less than `quick` takes on CIFAR-10."""


def borne(summary: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """The augmentations that may be offered to a variation, by key, with their strength."""
    offered: dict[str, Any] = {}
    if may_mirror(summary, start):
        offered["horizontal_flip"] = True
    shift = max(1, _side(summary) // 8)
    return offered if harms(summary, start, "shift", shift) else {**offered, "shift": shift}


def fast(name: str, summary: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """A fast recipe of the book for the data of a variation, with steps enough.

    How classes are weighed says what the study wants, and is that variation's.
    """
    fitted = recipe(name).as_dict() | {"class_weights": start["recipe"]["class_weights"]}
    if not may_mirror(summary, start):
        fitted |= {"horizontal_flip": False, "alternating_flip": False, "test_views": "one"}
    fitted["shift"] = min(fitted["shift"], max(1, _side(summary) // 8))
    if harms(summary, start, "shift", fitted["shift"]):
        fitted["shift"] = 0
    if _side(summary) < 16:
        fitted |= {"training_sizes": [], "proxy_size": 1.0}  # there is nothing to shrink
    images = training_images(summary)
    while fitted["batch_size"] > 62 and images / fitted["batch_size"] < 40:
        fitted["batch_size"] //= 2
    steps = batch_count(images, fitted["batch_size"])
    fitted["epochs"] = max(fitted["epochs"], min(40, -(-_STEPS // steps)))
    return fitted


def fine_tuned(summary: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe `fine-tuning` at a variation's image size, with what the data bears."""
    fitted, allowed = fine_tuning().as_dict(), borne(summary, start)
    fitted["shift"] = min(fitted["shift"], allowed.get("shift", 0))
    if "horizontal_flip" not in allowed:
        fitted |= {"horizontal_flip": False, "test_views": "one"}
    kept = ("backbone_size", "pooling", "class_weights", "precision")
    return {**fitted, **{key: start["recipe"][key] for key in kept}}


def training_images(summary: Mapping[str, Any]) -> int:
    """How many images a study trains with."""
    splits = summary["data"]["splits"]
    return next(int(part["images"]) for part in splits if part["split"] == "train")


def _side(summary: Mapping[str, Any]) -> int:
    """The shorter one of its images, in pixels."""
    return int(min(summary["data"]["image_shape"][:2]))
