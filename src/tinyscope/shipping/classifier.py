"""Classifier: weights, preprocessing and class names in one folder; photos in, answers out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tinyscope.data.batches import images_at_once
from tinyscope.data.dataset import Preprocessing
from tinyscope.data.decoding import Undecodable, decode
from tinyscope.data.file_tree import printable
from tinyscope.errors import InputError
from tinyscope.evaluation.predict import BATCH
from tinyscope.files import path_of
from tinyscope.models.description import DESCRIBED
from tinyscope.models.transfer import side_of
from tinyscope.plan.spelling import spelled
from tinyscope.shipping.model_folder import is_model, read_model

_BATCH = 128
_BATCH_BYTES = 128 << 20  # of what is given as arrays or as files' bytes
_NO_NUMBERS = "the model's answer is no number"


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
        """As `tinyscope predict --json` prints it; `cannot_tell` is null: no threshold is set.

        In a file's name, what is no UTF-8 is spelled out, as in the tables that are written.
        """
        return {
            "file": printable(self.file),
            "class": self.class_name,
            "probability": self.probability,
            "top": [list(pair) for pair in self.top],
            "cannot_tell": None,
            "error": None if self.error is None else printable(self.error),
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
            image: a file (~ is the home folder), a file's bytes, or uint8 pixels (H, W, C) of the
                network's own size.
            top: classes to name, at most; 1 or more.

        Raises:
            InputError: something else, an array of another shape or dtype, or `top` below 1. A file
                that cannot be read is no exception but a `Prediction` with its `error`.
        """
        return next(self.predict_each([image], top=top))

    def predict_each(
        self,
        images: Iterable[str | Path | bytes | np.ndarray],
        *,
        top: int = 5,
        batch: int = _BATCH,
    ) -> Iterator[Prediction]:
        """The answers for many images, in their order, while they are being read.

        Args:
            images: see `predict`; an iterator may be endless.
            top: classes to name, at most; 1 or more.
            batch: images that are read before the first of them is answered, at most (fewer where
                arrays and files' bytes come to 128 MiB): 1 answers each frame of a camera as it
                comes, more are faster together.

        Raises:
            InputError: `images` is one path or the bytes of one file, or `top` or `batch` is below
                1; while the answers are read, see `predict`.
        """
        # Checked here and not in the generator, which would tell only once an answer is asked for.
        if isinstance(images, (str, bytes, Path)):
            given = "the bytes of a file" if isinstance(images, bytes) else f'"{images}"'
            raise InputError(
                f"images is {given}, a single image; expected several, such as a list of them. "
                "predict takes one."
            )
        for count, name, what in ((top, "top", "classes"), (batch, "batch", "images")):
            if not isinstance(count, (int, np.integer)) or count < 1:
                raise InputError(
                    f"{name} = {spelled(count)} is no count of {what}; expected 1 or more."
                )
        return self._answers(images, top, batch)

    def _answers(
        self, images: Iterable[str | Path | bytes | np.ndarray], top: int, batch: int
    ) -> Iterator[Prediction]:
        with ThreadPoolExecutor() as pool:
            for group in _groups(images, batch):
                pixels = list(pool.map(self._pixels, group))
                usable = [each for each in pixels if isinstance(each, np.ndarray)]
                answers = iter(self.probabilities(np.stack(usable)) if usable else ())
                for image, read in zip(group, pixels, strict=True):
                    name = str(image) if isinstance(image, (str, Path)) else ""
                    if isinstance(read, str):
                        yield Prediction(name, error=read)
                        continue
                    answer = next(answers)
                    if np.isfinite(answer).all():
                        yield Prediction(name, top=self._top(answer, top))
                    else:
                        yield Prediction(name, error=_NO_NUMBERS)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Softmax of the logits, float64 (N, K); NaN in the rows where logits are not finite.

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
        step = images_at_once(BATCH, *shape[:2], side=side_of(self.network))
        answers = np.empty((len(pixels), len(self.class_names)))
        for start in range(0, len(pixels), step):
            # torch takes neither mirrored views nor, without a warning, memory that is read-only.
            owned = np.require(pixels[start : start + step], requirements=("C", "W"))
            with torch.inference_mode():
                logits = self.network(torch.from_numpy(owned)).double()
            answers[start : start + step] = logits.softmax(dim=1).numpy()
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
            source = image if isinstance(image, bytes) else path_of(image)
            return decode(source, self.preprocessing)
        except Undecodable as reason:
            return str(reason)


def _groups(
    images: Iterable[str | Path | bytes | np.ndarray], most: int
) -> Iterator[list[str | Path | bytes | np.ndarray]]:
    """Images in lists that are neither long nor large."""
    group: list[str | Path | bytes | np.ndarray] = []
    held = 0
    for image in images:
        group.append(image)
        held += len(image) if isinstance(image, bytes) else getattr(image, "nbytes", 0)
        if len(group) == most or held >= _BATCH_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def load_classifier(path: str | Path) -> Classifier:
    """The classifier in a model folder, a run's folder, or a study's folder (the recommended one).

    It computes in float32 on the CPU, so that it answers alike on every machine. Where its run was
    trained in bfloat16, the answers that the report counts were too: of CIFAR-10's 10,000 test
    images, six models of `sprint` and `quick` told 20 to 34 otherwise, and their accuracies differ
    by 0.06 points or less; no probability by more than 0.04.

    Raises:
        InputError: there is no model.
        StorageError: its files are damaged, another version has written them and this one cannot
            read them, or its network needs an extra that is not installed.
    """
    folder = path_of(path)
    if is_model(folder / "model"):
        folder = folder / "model"
    if not is_model(folder):
        raise InputError(
            f"{path} holds no model. Expected a model folder, a finished run's folder or a "
            'finished study\'s folder. Run "tinyscope list runs FOLDER" to see all runs below a '
            "folder."
        )
    stored = read_model(folder)
    return Classifier(
        stored.network,
        class_names=stored.class_names,
        preprocessing=stored.preprocessing,
        card=stored.card,
        description={
            key: stored.description[key] for key in DESCRIBED if key in stored.description
        },
    )
