"""Model folders: a trained network in plain values and weights, written, copied and read back."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

import tinyscope
from tinyscope.data.dataset import Preprocessing
from tinyscope.errors import InputError, StorageError
from tinyscope.files import replacing, write_json
from tinyscope.models.backbones import TIMM
from tinyscope.models.classical_head import ClassicalHead, classical_head, library_version
from tinyscope.models.description import network_of
from tinyscope.models.generator import borrowed_generator
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.views import with_views
from tinyscope.models.whitened_cnn import WhitenedCNN
from tinyscope.models.zoo import TRANSFER
from tinyscope.plan.recipe import Recipe, faults
from tinyscope.plan.spelling import spelled

FORMAT = 1
"""Of `model.json`; a larger one was written by a later version."""

_WEIGHTS = "weights.safetensors"
_CLASSICAL = "classifier.skops"
_OF_RECIPES = (
    *("model", "layers", "widths", "depth", "test_views"),
    *("backbone_size", "pooling", "head", "classifier"),
)
"""Keys of a description, and the views, that a recipe has too, with the same values."""


class Stored(NamedTuple):
    """What a model folder holds."""

    network: nn.Module
    """Takes pixels (N, H, W, C), gives logits (N, K), with its test views; in evaluation mode."""
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    card: dict[str, Any]
    description: dict[str, Any]
    """Of the network, and whatever else `model.json` tells."""


def save_model(
    folder: Path,
    network: nn.Module,
    *,
    recipe: Recipe,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    card: dict[str, Any],
    transfer: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model folder: `weights.safetensors`, then `model.json`.

    A model of scikit-learn that is the network's head stands in `classifier.skops`.

    Args:
        folder: made where it is missing.
        network: a `PixelInput`, which holds its normalization.
        recipe: its model, what shapes it and the views are kept; the rest is on the card.
        class_names: in the order of the logits.
        preprocessing: of its training images.
        card: plain JSON values for people: accuracy, data, recipe.
        transfer: "backbone" and "features" of a transfer, see `models.description`.

    Raises:
        StorageError: it cannot be written.
    """
    weights = {
        name: each.detach().cpu().contiguous() for name, each in network.state_dict().items()
    }
    parts, fitted_by = {_WEIGHTS: save(weights)}, {}
    for module in network.modules():
        if isinstance(module, ClassicalHead):
            parts[_CLASSICAL] = module.as_bytes()
            fitted_by = {"scikit_learn": library_version()}
    for name, part in parts.items():
        with replacing(folder / name) as file:
            file.write(part)
    keys = ["model", "layers", "widths", "depth"]
    if transfer is not None:
        keys += ["backbone_size", "pooling", "head", "classifier"]
    chosen = recipe.as_dict()
    content = {
        "format": FORMAT,
        "tinyscope": tinyscope.__version__,
        **fitted_by,
        **{key: chosen[key] for key in keys},
        **_epsilon(network),
        **(transfer or {}),
        "test_views": recipe.test_views,
        "class_names": list(class_names),
        "preprocessing": {
            **preprocessing._asdict(),
            "steps": "EXIF rotation, to RGB or grey, centre crop to the aspect, antialiased "
            "resize; normalization is part of the network",
        },
        "sha256": {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()},
        "card": card,
    }
    write_json(folder / "model.json", content)


def _epsilon(network: nn.Module) -> dict[str, float]:
    """That of a whitened CNN's norms, which a model of another version may not share."""
    inner = network.network if isinstance(network, PixelInput) else network
    return {"epsilon": inner.epsilon} if isinstance(inner, WhitenedCNN) else {}


def copy_model(source: Path, target: Path) -> None:
    """Makes `target` the model folder that `source` is, whatever it was before.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        (target / "model.json").unlink(missing_ok=True)  # what is half copied is no model
        for name in (_WEIGHTS, _CLASSICAL, "model.json"):
            if (source / name).exists():
                with replacing(target / name) as file:
                    file.write((source / name).read_bytes())
            else:
                (target / name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from None


def is_model(folder: Path) -> bool:
    """Whether there is a model in the folder itself."""
    return os.path.isfile(folder / "model.json")


def read_model(folder: Path) -> Stored:
    """What a model folder holds, checked before it is believed.

    Files of which `model.json` has a digest have to be those that it was written with (earlier
    versions wrote none). The network that it describes has to take its images and to have weights
    of the shapes that are there, which is found out before any memory is taken for them; and the
    weights have to be numbers.

    Raises:
        StorageError: its files are damaged, another version has written them and this one cannot
            read them, or its network needs an extra that is not installed.
    """
    try:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if not isinstance(content["format"], int):
            raise TypeError(f"format = {spelled(content['format'])} is not a whole number.")
        if content["format"] > FORMAT:
            raise StorageError(
                f"{folder} was written by a later version of Tinyscope (format "
                f"{content['format']}; this one reads up to {FORMAT})."
            )
        _check_values(content)
        _check_digests(folder, content.get("sha256", {}))
        shape = content["preprocessing"]
        preprocessing = Preprocessing(shape["height"], shape["width"], shape["channels"])
        class_names = tuple(content["class_names"])
        description = {**content, "classes": len(class_names), **preprocessing._asdict()}
        wrapped = _network(folder / _WEIGHTS, description)
        if description.get("classifier", "dense") != "dense":
            wrapped.network.head = classical_head(
                (folder / _CLASSICAL).read_bytes(),
                classes=len(class_names),
                features=description["features"],
                file=str(folder / _CLASSICAL),
                fitted_by=content.get("scikit_learn"),
            )
        seeing = with_views(wrapped, content.get("test_views", "one"))
        return Stored(seeing.eval(), class_names, preprocessing, content["card"], description)
    except (
        *(OSError, ValueError, LookupError, TypeError, AttributeError),
        *(ArithmeticError, RuntimeError, SafetensorError),
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{folder} is damaged as a model folder: {reason}") from None
    except InputError as error:  # it describes a network that is not to be had here
        raise StorageError(
            f"{folder} cannot be used, perhaps because another version of Tinyscope wrote it: "
            f"{error}"
        ) from None


def _check_values(content: Mapping[str, Any]) -> None:
    """Refuses what no network was ever described by, before one is built from it.

    Raises:
        ValueError: something is wrong, in words.
    """
    names = content["class_names"]
    texts = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if not texts or len(set(names)) < len(names):
        raise ValueError("class_names is not a list of different texts.")
    _check_counts(content["preprocessing"], "height", "width", "channels")
    if not isinstance(content["card"], dict):
        raise ValueError("card is not a table of values.")
    _check_description(content)


def _check_description(described: Mapping[str, Any]) -> None:
    known = {key: described[key] for key in _OF_RECIPES if key in described}
    if problems := faults(known, partly=True):
        raise ValueError(" ".join(problems))
    if not _positive(epsilon := described.get("epsilon", 1)):
        raise ValueError(f"epsilon = {spelled(epsilon)} is not a number above 0.")
    if described["model"] != TRANSFER:
        return
    _check_counts(described, "features")
    backbone = described["backbone"]
    if not all(isinstance(backbone[key], str) for key in ("name", "layer")):
        raise ValueError("the backbone has no name or layer.")
    if "network" in backbone:
        _check_counts(backbone["network"], "channels", "classes", "height", "width")
        _check_description(backbone["network"])
        mean, deviation = backbone["mean"], backbone["deviation"]
        # Not as many as its images have channels: a transfer of grey images has three.
        if len(mean) not in (1, 3) or not all(map(_is_number, mean)):
            raise ValueError("the backbone's mean is not 1 or 3 numbers.")
        if len(deviation) != len(mean) or not all(map(_positive, deviation)):
            raise ValueError(f"the backbone's deviation is not {len(mean)} numbers above 0.")


def _check_counts(values: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        if type(values[key]) is not int or values[key] < 1:
            raise ValueError(f"{key} = {spelled(values[key])} is not a whole number from 1 on.")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _check_digests(folder: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        if name not in (_WEIGHTS, _CLASSICAL):
            raise ValueError(f"sha256 names {spelled(name)}, which is no part of a model.")
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(
                    f"{name} is not the file that model.json was written with: its SHA-256 differs."
                )


def _network(file: Path, description: Mapping[str, Any]) -> PixelInput:
    """The network that is described, with the weights of a file."""
    with safe_open(file, framework="pt") as stored:
        there = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    filler = [1.0] * there["mean"][0]  # the true values are among the weights
    if _of_timm(description):  # whose networks keep more than their weights; a name says how large
        with borrowed_generator(torch.device("cpu")):  # weights are drawn before they are read
            wrapped = PixelInput(network_of(description), mean=filler, deviation=filler)
    else:
        with torch.device("meta"):  # shapes without numbers, and without a draw from a generator
            wrapped = PixelInput(network_of(description), mean=filler, deviation=filler).eval()
        _check_shapes(wrapped, there, description)
        wrapped = wrapped.to_empty(device="cpu")
    weights = load_file(file)
    for name, values in weights.items():
        if values.is_floating_point() and not values.isfinite().all():
            raise ValueError(f"{file.name} holds values of {name} that are no finite numbers.")
    wrapped.load_state_dict(weights)
    return wrapped


def _check_shapes(
    wrapped: PixelInput, there: Mapping[str, tuple[int, ...]], description: Mapping[str, Any]
) -> None:
    """Refuses weights of other shapes than a network without memory has, and other images."""
    wanted = {name: tuple(each.shape) for name, each in wrapped.state_dict().items()}
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            raise ValueError(
                f"{name} is {there.get(name, 'missing')} in {_WEIGHTS} and "
                f"{wanted.get(name, 'missing')} in the network that model.json describes."
            )
    size = (description[key] for key in ("height", "width", "channels"))
    dense = description.get("classifier", "dense") == "dense"
    expected = description["classes"] if dense else description["features"]
    with torch.inference_mode():
        answer = wrapped(torch.empty(1, *size, dtype=torch.uint8, device="meta"))
    if tuple(answer.shape) != (1, expected):
        raise ValueError(f"its network gives {tuple(answer.shape)[1:]} numbers, not {expected}.")


def _of_timm(description: Mapping[str, Any]) -> bool:
    backbone = description.get("backbone") or {}
    if "network" in backbone:
        return _of_timm(backbone["network"])
    return bool(backbone) and backbone["name"].startswith(TIMM)
