"""Recipe: every choice that changes the result of a training, and nothing else."""

import operator
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tinyscope.batch_count import batch_count
from tinyscope.errors import InputError, nearest, unknown
from tinyscope.plan.contradictions import contradictions
from tinyscope.plan.spelling import NONE, spelled


def _number(default: Any, **limits: float) -> Any:
    """A field whose values are held within `limits`, by the words of `_WITHIN`."""
    return field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice that changes the result of a training.

    Device, paths and workers are not here: they change how long it takes, not what comes out. Lists
    are kept as tuples.

    Raises:
        InputError: a value has the wrong type, is out of range, or contradicts another.
    """

    model: str = "compact-cnn"
    """A name of `tinyscope list models`."""
    layers: Sequence[str] = ()
    """The network itself where `model = "layer-stack"`: "conv 32 3x3 same relu", "maxpool 2" …"""
    widths: Sequence[int] = (64, 256, 256)
    """Channels of each group of "whitened-cnn" and "whitened-cnn-folded"."""
    depth: int = _number(2, at_least=2, at_most=16)
    """Convolutions in each group of either."""
    initializer: Literal["he-normal", "zero-output", "glorot-uniform", "torch"] = "he-normal"
    """Kernels of convolutions and dense layers; "glorot-uniform" with zero biases is Keras',
    "zero-output" is "he-normal" with zeros in the last dense layer, for a backbone that learns on.
    Whitened CNNs have initial weights of their own."""
    normalization: Literal["standard", "unit"] = "standard"
    """Pixels less their channel's mean over its deviation on the training images, or over 255."""

    backbone: str = ""
    """Of "transfer": the network whose features are used. A name of `tinyscope list backbones`,
    "timm:NAME" with the extra `[pretrained]`, or the folder of a finished run or model."""
    backbone_weights: str = ""
    """A `.safetensors` file with the backbone's weights; empty for those published for its name."""
    backbone_layer: str = ""
    """Where the features are taken from; empty for the layer before the backbone's classes."""
    backbone_size: int | None = _number(None, at_least=8, at_most=512)
    """Side in pixels that images are brought to for the backbone; none: as they are."""
    pooling: Literal["mean", "max", "flatten"] = "mean"
    """What is made of the map of each feature: its mean, its maximum, or all its values."""
    classifier: Literal[
        "dense",
        "logistic-regression",
        "linear-svm",
        "rbf-svm",
        "nearest-neighbours",
        "random-forest",
        "gradient-boosting",
    ] = "dense"
    """What tells classes by features in "transfer": a dense layer, trained as any network is, or a
    model of scikit-learn."""
    refit: bool = False
    """Whether a classifier of scikit-learn, once it has answered the validation images, is fitted
    again with them: it is that one which the test images are put to, and which ships."""
    head: Sequence[str] = ()
    """Layers before the dense one, as of "layer-stack": "batchnorm", "dense 256 relu" …"""
    feature_views: int = _number(1, at_least=1, at_most=100)
    """How often a training image passes a frozen backbone: once as it is, then changed at random
    as the recipe says. The classifier learns from all these views."""
    unfrozen_blocks: int = _number(0, at_least=0)
    """Last blocks of the backbone that are trained too; 0: it is frozen, and an image passes it
    `feature_views` times whatever the epochs are."""
    unfrozen_rate: float = _number(0.1, above=0, at_most=1)
    """Learning rate of those blocks, as a factor."""

    horizontal_flip: bool = False
    """Half of the images of a batch are mirrored left to right."""
    alternating_flip: bool = False
    """An image mirrored in one epoch is not in the next, so that two epochs show both sides."""
    vertical_flip: bool = False
    """Half of the images of a batch are mirrored top to bottom."""
    shift: int = _number(0, at_least=0)
    """Pixels, at most, by which an image moves along either axis; the border is reflected."""
    rotation: float = _number(0.0, at_least=0, at_most=180)
    """Degrees, at most, either way."""
    zoom: float = _number(0.0, at_least=0, at_most=0.9)
    """Share, at most, by which an image shrinks or grows."""
    cutout: int = _number(0, at_least=0)
    """Side in pixels of a square that is blanked at a random place."""
    training_sizes: Sequence[float] = ()
    """Shares of the images' side at which training sees them, in equal parts of its steps; the last
    one, if any, has to be 1. Known as progressive resizing: small images cost less."""

    optimizer: Literal["sgd", "rmsprop", "adam", "adamw", "muon"] = "sgd"
    """What turns gradients into steps."""
    learning_rate: float = _number(0.1, at_least=0)
    """Before the schedule's factor; of "muon", for the kernels of hidden layers."""
    head_learning_rate: float = _number(4.5, at_least=0)
    """Of the last dense layer's kernel beside "muon", per image and whatever the momentum; as for
    "whitened-cnn", whose outputs are means over inputs, and converted for other models."""
    offset_learning_rate: float = _number(0.35, at_least=0)
    """Of biases, and scale and offset of norms, beside "muon", per image likewise."""
    sgd_momentum: float = _number(0.85, at_least=0, below=1)
    """Of what "muon" leaves to SGD: the head and the offsets."""
    momentum: float = _number(0.9, at_least=0, below=1)
    """Of "sgd", "rmsprop" and "muon"."""
    nesterov: bool = True
    """Nesterov's form of momentum, of "sgd" only."""
    weight_decay: float = _number(5e-4, at_least=0)
    """Per step, on kernels, not on biases and norms; decoupled from the gradient in "adamw"; not
    in "muon", which keeps the length of kernels fixed."""
    rho: float = _number(0.9, at_least=0, below=1)
    """Decay of the mean squared gradient of "rmsprop"."""
    beta_1: float = _number(0.9, at_least=0, below=1)
    """Decay of the mean gradient of "adam" and "adamw"."""
    beta_2: float = _number(0.999, at_least=0, below=1)
    """Decay of the mean squared gradient of "adam" and "adamw"."""
    epsilon: float = _number(1e-7, above=0)
    """Keeps the division by a root of "rmsprop", "adam" and "adamw" finite."""

    schedule: Literal["constant", "step", "linear", "cosine", "one-cycle"] = "constant"
    """The learning rate's factor over the training."""
    warmup: float = _number(0.0, at_least=0, at_most=1)
    """Share of all steps in which the rate rises; of "linear", "cosine" and "one-cycle"."""
    step_epochs: int = _number(10, at_least=1)
    """Epochs between two steps of the schedule "step"."""
    step_factor: float = _number(0.1, at_least=0, at_most=1)
    """Factor of each step of the schedule "step"."""
    plateau_patience: int | None = _number(None, at_least=1)
    """Epochs without a lower validation loss before the rate is reduced; none: never."""
    plateau_factor: float = _number(0.1, at_least=0, at_most=1)
    """Factor of such a reduction."""
    plateau_minimum: float = _number(0.0, at_least=0)
    """The rate that no reduction goes below."""

    epochs: int = _number(20, at_least=1)
    """Passes over the training images, at most."""
    batch_size: int = _number(128, at_least=1, at_most=65536)
    """Images a step."""
    hardest_share: float = _number(1.0, above=0, at_most=1)
    """Share of a step's images that are learnt from: those with the highest loss of a small
    network, the proxy, which is trained beside. 1: all of them, without a proxy."""
    proxy_widths: Sequence[int] = (16, 32, 64)
    """Channels of each group of the proxy, a "whitened-cnn" trained as the recipe "sprint" is."""
    proxy_size: float = _number(0.625, at_least=0.5, at_most=1)
    """Share of the images' side at which the proxy sees them, at most."""
    early_stopping_patience: int | None = _number(None, at_least=1)
    """Epochs without a lower validation loss before training ends with the best epoch's weights."""
    label_smoothing: float = _number(0.0, at_least=0, at_most=0.99)
    """Share of the target that is spread over all classes."""
    sam_steps: float = _number(0.0, at_least=0, at_most=1)
    """Share of all steps, the last ones, that take their gradients where the loss is higher than at
    the weights themselves (sharpness-aware minimization). 0: none."""
    sam_radius: float = _number(0.05, above=0)
    """How far from the weights that is: the norm of the difference, over all hidden kernels."""
    sam_share: float = _number(1.0, above=0, at_most=1)
    """Share of what a step learns from that tells in which direction the loss is higher."""
    averaged_steps: float = _number(0.0, at_least=0, below=1)
    """Share of all steps, the last ones, in which the rate falls no further, and whose weights are
    averaged in the end (stochastic weight averaging). 0: the last weights are taken."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """ "balanced" weighs an image's loss by N / (K x the images of its class)."""
    test_views: Literal["one", "mirrored", "mirrored-and-moved"] = "one"
    """How often the finished model looks at an image: once; also mirrored; also moved by a pixel
    to the upper left and to the lower right (6 views). The logits are averaged (test-time
    augmentation)."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the arithmetic. "auto" becomes one of the others before a run is named."""

    def __post_init__(self) -> None:
        problems = faults(self.as_dict())
        if problems:
            raise InputError(" ".join(problems))
        for key in KEYS:
            object.__setattr__(self, key, _stored(key, getattr(self, key)))

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, as plain JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def steps(self, images: int) -> int:
        """Of the optimizer, in all epochs, for so many training images."""
        return self.epochs * batch_count(images, self.batch_size)

    def learnt_from(self, images: int) -> int:
        """How many of so many images of a step the network learns from."""
        return min(images, max(2, round(images * self.hardest_share)))

    def ascent_from(self, images: int) -> int:
        """How many of so many images that are learnt from tell where the loss is higher."""
        return min(images, max(2, round(images * self.sam_share)))

    def changed(self, changes: Mapping[str, Any]) -> "Recipe":
        """This recipe with some fields replaced.

        Raises:
            InputError: a key is unknown, or a value does not fit.
        """
        problems = faults(changes, partly=True)
        if problems:
            raise InputError(" ".join(problems))
        return replace(self, **changes)

    def difference(self, other: "Recipe") -> dict[str, Any]:
        """The fields of this recipe that are not as in `other`."""
        theirs = other.as_dict()
        return {key: value for key, value in self.as_dict().items() if value != theirs[key]}


FEW_STEPS = 150
"""Of the optimizer: below this, a training has hardly begun, and its figures say little."""

KEYS = tuple(entry.name for entry in fields(Recipe))
"""The name of every choice."""

_TYPES = get_type_hints(Recipe)
_RANGES = {entry.name: entry.metadata for entry in fields(Recipe)}
_WITHIN = {
    "at_least": operator.ge,
    "above": operator.gt,
    "at_most": operator.le,
    "below": operator.lt,
}


def faults(values: Mapping[str, Any], *, partly: bool = False) -> list[str]:
    """One sentence for each thing that is wrong with `values` as (part of) a recipe.

    Args:
        values: fields by name, as they come from TOML, JSON or the command line.
        partly: only single values are judged, not whether they fit one another.
    """
    problems = [problem for key in values if (problem := fault_of(key, values[key]))]
    if partly or problems:
        return problems
    return contradictions({key: _stored(key, value) for key, value in values.items()})


def fault_of(key: str, value: Any) -> str | None:
    """What is wrong with one field, as a sentence, or None."""
    if key not in _TYPES:
        return unknown("recipe key", key, KEYS, see="tinyscope list recipes")
    kind, or_none = _kind_of(key)
    if or_none and (value is None or value == NONE):
        return None
    given = f"{key} = {spelled(value)}"
    if get_origin(kind) is Literal:
        return None if value in get_args(kind) else _no_choice(given, value, get_args(kind))
    if get_origin(kind) is Sequence:
        fits, meaning = _LISTS[key]
        return None if isinstance(value, (list, tuple)) and fits(value) else f"{given} {meaning}"
    numeric = (int, float) if kind is float else (kind,)
    if not isinstance(value, numeric) or (isinstance(value, bool) and kind is not bool):
        return f"{given} is not {_KINDS[kind]}{or_none}."
    if kind is float and not abs(value) <= sys.float_info.max:  # nor an integer beyond all floats
        return f"{given} is not a finite number."
    if all(_WITHIN[word](value, limit) for word, limit in _RANGES[key].items()):
        return None
    return f"{given} is out of range: {_range(key)}{or_none}."


def allowed(key: str) -> str:
    """What values a key takes, in words: "a whole number, at least 1", or the choices."""
    kind, or_none = _kind_of(key)
    if get_origin(kind) is Literal:
        return " or ".join(map(spelled, get_args(kind)))
    if key in _LISTS:
        return _LISTS[key][1].removeprefix("is not ").removesuffix(".")
    return ", ".join(filter(None, (_KINDS[kind], _range(key)))) + or_none


def _kind_of(key: str) -> tuple[Any, str]:
    """The type of a key's values other than None, and how messages go on where None is one."""
    kind = _TYPES[key]
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, ""
    return next(part for part in get_args(kind) if part is not type(None)), f', or "{NONE}"'


def _range(key: str) -> str:
    limits = _RANGES[key].items()
    return ", ".join(f"{word.replace('_', ' ')} {limit:g}" for word, limit in limits)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _share(value: Any) -> bool:
    return (_whole(value) or isinstance(value, float)) and 0.25 <= value <= 1


_LISTS: dict[str, tuple[Callable[[Sequence[Any]], bool], str]] = {
    "head": (
        lambda parts: all(isinstance(part, str) for part in parts),
        'is not a list of texts, such as ["batchnorm", "dropout 0.5"].',
    ),
    "layers": (
        lambda parts: all(isinstance(part, str) for part in parts),
        'is not a list of texts, such as ["flatten", "dense 64 relu"].',
    ),
    **dict.fromkeys(
        ("widths", "proxy_widths"),
        (
            lambda parts: bool(parts) and all(_whole(part) and 1 <= part <= 4096 for part in parts),
            "is not a list of whole numbers from 1 to 4096, such as [64, 256, 256].",
        ),
    ),
    "training_sizes": (
        lambda parts: all(map(_share, parts)) and (not parts or parts[-1] == 1),
        "is not a list of shares from 0.25 to 1 that ends with 1, such as [0.625, 0.75, 1.0].",
    ),
}


def _no_choice(given: str, value: Any, choices: tuple[str, ...]) -> str:
    guess = nearest(str(value), choices)
    hint = f' Did you mean "{guess}"?' if guess else ""
    return f"{given} is none of {', '.join(map(spelled, choices))}.{hint}"


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _stored(key: str, value: Any) -> Any:
    """The one form of a value that has several, so that equal recipes are hashed alike."""
    if value == NONE and _TYPES[key] is not str:
        return None
    if _TYPES[key] is float:
        return float(value)
    if _TYPES[key] == Sequence[float]:
        return tuple(map(float, value))
    return tuple(value) if isinstance(value, list) else value
