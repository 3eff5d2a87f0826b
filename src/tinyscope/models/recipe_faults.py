"""What is wrong with those values of a recipe that only this room can judge: models and layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tinyscope.errors import unknown
from tinyscope.models.layer_lines import layers_fault
from tinyscope.models.zoo import NAMES


def _model_fault(name: str) -> str | None:
    return None if name in NAMES else unknown("model", name, NAMES, see="tinyscope list models")


def _told_of(key: str, judge: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    """The judge, whose sentences name the key: layers stand below two."""

    def named(value: Any) -> str | None:
        text = judge(value)
        return text and f"{key}: {text}"

    return named


JUDGES: dict[str, Callable[[Any], str | None]] = {
    "model": _model_fault,
    "layers": _told_of("layers", partial(layers_fault, of="images")),
    "head": _told_of("head", partial(layers_fault, of="features")),
}
"""By recipe key: what is wrong with a value of the right type, as a sentence, or None. Whether
layers fit the images shows once these are loaded."""
