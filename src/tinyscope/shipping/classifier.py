"""Classifier: weights, preprocessing and class names in one folder; photos in, answers out."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

import tinyscope
from tinyscope.data.dataset import Preprocessing
from tinyscope.data.decoding import Undecodable, decode
from tinyscope.errors import InputError, StorageError
from tinyscope.files import replacing, write_json
from tinyscope.models.classical_head import ClassicalHead, classical_head
from tinyscope.models.description import DESCRIBED, network_of
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.views import with_views
from tinyscope.models.whitened_cnn import WhitenedCNN
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.spelling import spelled

FORMAT = 1
"""Of `model.json`; a larger one was written by a later version."""

_CLASSICAL = "classifier.skops"
_BATCH = 128


@dataclass(frozen=True)
class Prediction:
    """The answer for one image."""

    file: str
    """As it was given."""
    top: tuple[tuple[str, float], ...] = ()
    """Classes with probabilities, the likeliest first; empty where there is an error."""
    error: str | None = None
    """Why there is no answer."""

    @property
    def class_name(self) -> str | None:
        """The likeliest class."""
        return self.top[0][0] if self.top else None

    @property
    def probability(self) -> float | None:
        """Of the likeliest class, in 0 … 1: the network's softmax, not calibrated."""
        return self.top[0][1] if self.top else None

    def as_dict(self) -> dict[str, Any]:
        """As `tinyscope predict --json` prints it; `cannot_tell` is null: no threshold is set."""
        return {
            "file": self.file,
            "class": self.class_name,
            "probability": self.probability,
            "top": [list(pair) for pair in self.top],
            "cannot_tell": None,
            "error": self.error,
        }


class Classifier:
    """A trained network that takes photos of any size and answers with class names.

    Args:
        network: takes pixels (N, H, W, C), gives logits (N, K).
        class_names: K names, in the order of the logits.
        preprocessing: the size and channels of its training images.
        card: what else `model.json` tells, for people.
        description: of the network, see `models.description`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        card: dict[str, Any] | None = None,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network.cpu().eval()
        self.class_names = tuple(class_names)
        self.preprocessing = preprocessing
        self.card = card or {}
        self.description = description or {}

    def predict(self, image: str | Path | bytes | np.ndarray, *, top: int = 5) -> Prediction:
        """The answer for one image.

        Args:
            image: a file, a file's bytes, or uint8 pixels (H, W, C) of the network's own size.
            top: classes to name, at most; 1 or more.

        Raises:
            InputError: something else, an array of another shape or dtype, or `top` below 1. A file
                that cannot be read is no exception but a `Prediction` with its `error`.
        """
        return next(self.predict_each([image], top=top))

    def predict_each(
        self, images: Iterable[str | Path | bytes | np.ndarray], *, top: int = 5
    ) -> Iterator[Prediction]:
        """The answers for many images, in their order, while they are being read.

        Args:
            images: see `predict`; an iterator may be endless.
            top: classes to name, at most; 1 or more.

        Raises:
            InputError: `images` is one path or the bytes of one file, or `top` is below 1; while
                the answers are read, see `predict`.
        """
        # Checked here and not in the generator, which would tell only once an answer is asked for.
        if isinstance(images, (str, bytes, Path)):
            given = "the bytes of a file" if isinstance(images, bytes) else f'"{images}"'
            raise InputError(
                f"images is {given}, a single image; expected several, such as a list of them. "
                "predict takes one."
            )
        if not isinstance(top, (int, np.integer)) or top < 1:
            raise InputError(f"top = {spelled(top)} is no count of classes; expected 1 or more.")
        return self._answers(images, top)

    def _answers(
        self, images: Iterable[str | Path | bytes | np.ndarray], top: int
    ) -> Iterator[Prediction]:
        with ThreadPoolExecutor() as pool:
            source = iter(images)
            while group := list(islice(source, _BATCH)):
                pixels = list(pool.map(self._pixels, group))
                usable = [each for each in pixels if isinstance(each, np.ndarray)]
                answers = iter(self.probabilities(np.stack(usable)) if usable else ())
                for image, read in zip(group, pixels, strict=True):
                    name = str(image) if isinstance(image, (str, Path)) else ""
                    if isinstance(read, str):
                        yield Prediction(name, error=read)
                    else:
                        yield Prediction(name, top=self._top(next(answers), top))

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Softmax of the logits, float64 (N, K).

        Args:
            pixels: uint8 (N, H, W, C), of the network's own size.

        Raises:
            InputError: no array, or one of another shape or dtype.
        """
        shape = tuple(self.preprocessing)
        expected = f"expected uint8 (N, {', '.join(map(str, shape))})"
        if not isinstance(pixels, np.ndarray):
            raise InputError(f"pixels is {type(pixels).__name__}; {expected}.")
        if pixels.ndim != 4 or pixels.shape[1:] != shape or pixels.dtype != np.uint8:
            raise InputError(
                f"An array of {pixels.dtype} {pixels.shape} holds no images for this model; "
                f"{expected}."
            )
        with torch.inference_mode():
            # torch takes neither mirrored views nor, without a warning, memory that is read-only.
            owned = np.require(pixels, requirements=("C", "W"))
            logits = self.network(torch.from_numpy(owned)).double()
        answers: np.ndarray = logits.softmax(dim=1).numpy()
        return answers

    def _top(self, probabilities: np.ndarray, count: int) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-probabilities, kind="stable")[:count]
        return tuple((self.class_names[index], float(probabilities[index])) for index in order)

    def _pixels(self, image: str | Path | bytes | np.ndarray) -> np.ndarray | str:
        """Pixels of the network's size, or why there are none."""
        if isinstance(image, np.ndarray):
            if image.shape != tuple(self.preprocessing) or image.dtype != np.uint8:
                raise InputError(
                    f"An array of {image.dtype} {image.shape} is no image for this model; "
                    f"expected uint8 {tuple(self.preprocessing)}."
                )
            return image
        if not isinstance(image, (str, Path, bytes)):
            raise InputError(
                f"A {type(image).__name__} is no image for a model; expected a path, bytes of a "
                f"file or an array, uint8 {tuple(self.preprocessing)}."
            )
        try:
            return decode(Path(image) if isinstance(image, str) else image, self.preprocessing)
        except Undecodable as reason:
            return str(reason)


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
    with replacing(folder / "weights.safetensors") as file:
        file.write(save(weights))
    for module in network.modules():
        if isinstance(module, ClassicalHead):
            with replacing(folder / _CLASSICAL) as file:
                file.write(module.as_bytes())
    keys = ["model", "layers", "widths", "depth"]
    if transfer is not None:
        keys += ["backbone_size", "pooling", "head", "classifier"]
    chosen = recipe.as_dict()
    content = {
        "format": FORMAT,
        "tinyscope": tinyscope.__version__,
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
        for name in ("weights.safetensors", _CLASSICAL, "model.json"):
            if (source / name).exists():
                with replacing(target / name) as file:
                    file.write((source / name).read_bytes())
            else:
                (target / name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from None


def load_classifier(path: str | Path) -> Classifier:
    """The classifier in a model folder, a run's folder, or a study's folder (the recommended one).

    Raises:
        InputError: there is no model.
        StorageError: its files are damaged, another version has written them and this one cannot
            read them, or its network needs an extra that is not installed.
    """
    folder = Path(path)
    if os.path.isfile(folder / "model" / "model.json"):
        folder = folder / "model"
    if not os.path.isfile(folder / "model.json"):
        raise InputError(
            f"{path} holds no model. Expected a model folder, a finished run's folder or a "
            'finished study\'s folder. Run "tinyscope list runs FOLDER" to see all runs below a '
            "folder."
        )
    try:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if not isinstance(content["format"], int):
            raise TypeError(f"format = {spelled(content['format'])} is not a whole number.")
        if content["format"] > FORMAT:
            raise StorageError(
                f"{folder} was written by a later version of Tinyscope (format "
                f"{content['format']}; this one reads up to {FORMAT})."
            )
        shape = content["preprocessing"]
        preprocessing = Preprocessing(shape["height"], shape["width"], shape["channels"])
        description = {
            **content,
            "classes": len(content["class_names"]),
            **preprocessing._asdict(),
        }
        network = network_of(description)
        weights = load_file(folder / "weights.safetensors")
        if content.get("classifier", "dense") != "dense":
            network.head = classical_head(
                (folder / _CLASSICAL).read_bytes(),
                classes=description["classes"],
                file=str(folder / _CLASSICAL),
            )
        filler = [1.0] * len(weights["mean"])  # the true values are among the weights
        wrapped = PixelInput(network, mean=filler, deviation=filler)
        wrapped.load_state_dict(weights)
        seeing = with_views(wrapped, content.get("test_views", "one"))
        card = content["card"]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"{folder} is damaged as a model folder: {reason}") from None
    except InputError as error:  # it describes a network that is not to be had here
        raise StorageError(
            f"{folder} cannot be used, perhaps because another version of Tinyscope wrote it: "
            f"{error}"
        ) from None
    return Classifier(
        seeing,
        class_names=content["class_names"],
        preprocessing=preprocessing,
        card=card,
        description={key: description[key] for key in DESCRIBED if key in description},
    )
