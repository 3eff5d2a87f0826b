"""Layer lines: the words that `layer_stack` is written in, read without building anything."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tinyscope.errors import InputError

_COUNT = "([1-9][0-9]{0,4})"
_CONV = re.compile(
    rf"conv {_COUNT} {_COUNT}x{_COUNT}(?: stride {_COUNT})? (same|valid)( batchnorm)?( relu)?"
)
_DENSE = re.compile(rf"dense {_COUNT}( batchnorm)?( relu)?")
_POOL = re.compile(rf"(maxpool|avgpool) {_COUNT}")
_DROPOUT = re.compile(r"dropout (0?\.[0-9]+)")

_EXPECTED = (
    "Expected one of: conv 32 3x3 [stride 2] same|valid [batchnorm] [relu], dense 512 [batchnorm] "
    "[relu], maxpool 2, avgpool 2, globalpool, batchnorm, relu, dropout 0.25, flatten."
)


class Layer(NamedTuple):
    """What one line says."""

    kind: str
    """Its first word."""
    size: int = 0
    """Channels of "conv", outputs of "dense", side of the window of "maxpool" and "avgpool"."""
    kernel: int = 1
    stride: int = 1
    padding: str = "same"
    """Or "valid"."""
    batchnorm: bool = False
    relu: bool = False
    """Both of "conv" and "dense", whether the line ends so."""
    rate: float = 0.0
    """Of "dropout"."""


def read_layer(line: str, number: int) -> Layer:
    """The layer that a line spells.

    Args:
        line: "conv 32 3x3 same relu".
        number: of the line among its layers, from 1, for messages.

    Raises:
        InputError: the line is no layer.
    """
    text = " ".join(line.split())
    if match := _CONV.fullmatch(text):
        size, kernel, width, stride = (int(part or 1) for part in match.groups()[:4])
        if kernel != width:
            raise InputError(f"{place_of(line, number)}: a kernel is as high as it is wide.")
        return Layer("conv", size, kernel, stride, match[5], bool(match[6]), bool(match[7]))
    if match := _DENSE.fullmatch(text):
        return Layer("dense", int(match[1]), batchnorm=bool(match[2]), relu=bool(match[3]))
    if match := _POOL.fullmatch(text):
        return Layer(match[1], int(match[2]))
    if match := _DROPOUT.fullmatch(text):
        if float(match[1]) > 0.99:
            raise InputError(
                f"{place_of(line, number)}: at most 0.99 of the values can be dropped."
            )
        return Layer("dropout", rate=float(match[1]))
    if text in ("globalpool", "batchnorm", "relu", "flatten"):
        return Layer(text)
    raise InputError(f"{place_of(line, number)} is no layer. {_EXPECTED}")


def place_of(line: str, number: int) -> str:
    """How messages call a line: `layer 2 ("maxpool 2")`."""
    return f'layer {number} ("{line}")'


def order_fault(layer: Layer, where: str, *, image: bool) -> str | None:
    """What keeps a layer from taking what comes before it, as far as sizes do not matter, or None.

    Args:
        layer: as `read_layer` gives it.
        where: as `place_of` names it.
        image: whether an image comes in, rather than a vector.
    """
    if layer.kind == "dense" and image:
        return f'{where}: "flatten" or "globalpool" has to come before it.'
    if layer.kind in ("conv", "maxpool", "avgpool", "globalpool") and not image:
        return f"{where} needs an image, but the layers before it flatten it."
    return None


def layers_fault(lines: Sequence[str], *, of: Literal["images", "features"]) -> str | None:
    """What is wrong with lines whatever the sizes of the images, in one or more sentences, or None.

    Args:
        lines: one layer each.
        of: what comes into the first one: images, or vectors of features.
    """
    layers, problems = [], []
    for number, line in enumerate(lines, start=1):
        try:
            layers.append(read_layer(line, number))
        except InputError as error:
            problems.append(str(error))
    if problems:
        # What can stand in a line is said once, however many lines are none.
        told = [text.removesuffix(f" {_EXPECTED}") for text in problems]
        return " ".join(told if told == problems else [*told, _EXPECTED])
    image = of == "images"
    for number, (line, layer) in enumerate(zip(lines, layers, strict=True), start=1):
        if text := order_fault(layer, place_of(line, number), image=image):
            return text
        image = image and layer.kind not in ("flatten", "globalpool")
    if image and layers:
        return (
            'The layers end in an image; "flatten" or "globalpool" has to come before the classes.'
        )
    return None
