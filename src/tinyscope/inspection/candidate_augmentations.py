"""Changes of images that training could make, each as a function that always draws the same.

Those that a recipe offers are made by the very functions that training uses.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from tinyscope.data.augmentation import cutout, flip_and_shift, rotate_and_zoom

Change = Callable[[Tensor], Tensor]
"""Pixels (n, H, W, C) of 0 … 255 to such pixels."""


class Augmentation(NamedTuple):
    """A change that training could make."""

    name: str
    settings: dict[str, Any]
    """What switches it on in a recipe; empty where no key does."""
    moves_pixels: bool
    """Whether it only moves pixels, so that all detail stays."""
    change: Change

    @property
    def kind(self) -> str:
        """The same for images of all sizes, where amounts differ: a recipe's key, or the name."""
        return next(iter(self.settings), self.name)


def augmentations(height: int, width: int, channels: int) -> list[Augmentation]:
    """The changes that are judged for images of that shape, those that a recipe offers first."""
    shift, hole = max(1, min(height, width) // 8), max(1, min(height, width) // 4)
    changes = [
        Augmentation("horizontal flip", {"horizontal_flip": True}, True, lambda x: x.flip(2)),
        Augmentation("vertical flip", {"vertical_flip": True}, True, lambda x: x.flip(1)),
        Augmentation(f"shift by up to {shift}", {"shift": shift}, False, _shifted(shift)),
        Augmentation("rotation by up to 15 degrees", {"rotation": 15.0}, False, _turned(15, 0)),
        Augmentation("zoom by up to 25%", {"zoom": 0.25}, False, _turned(0, 0.25)),
        Augmentation(f"cutout of {hole}", {"cutout": hole}, False, _cut_out(hole)),
        Augmentation("rotation by 180 degrees", {}, True, lambda x: x.flip(1, 2)),
        Augmentation("brightness by 30%", {}, False, _brightness),
        Augmentation("inverted colours", {}, False, lambda x: 255 - x),
        Augmentation("blur", {}, False, _blurred),
    ]
    if height == width:
        changes.insert(6, Augmentation("rotation by 90 degrees", {}, True, _quarter))
    if channels == 3:
        changes.append(Augmentation("grey", {}, False, _grey))
    return changes


def changed(images: np.ndarray, augmentation: Augmentation) -> np.ndarray:
    """Images as the augmentation leaves them, each with a random draw that is always the same.

    Args:
        images: uint8 (n, H, W, C), of the shape that `augmentations` was asked for.
        augmentation: one of them.

    Returns:
        uint8 (n, H, W, C).
    """
    if not len(images):
        return images
    pixels = augmentation.change(torch.from_numpy(np.ascontiguousarray(images)))
    return pixels.round().clamp(0, 255).to(torch.uint8).contiguous().numpy()


def _generator() -> Generator:
    return Generator().manual_seed(0)


def _shifted(by: int) -> Change:
    def change(pixels: Tensor) -> Tensor:
        return flip_and_shift(
            pixels, horizontal_flip=False, vertical_flip=False, shift=by, generator=_generator()
        )

    return change


def _turned(degrees: float, zoom: float) -> Change:
    return lambda pixels: rotate_and_zoom(
        pixels, rotation=degrees, zoom=zoom, generator=_generator()
    )


def _cut_out(side: int) -> Change:
    def change(pixels: Tensor) -> Tensor:
        fill = pixels.float().mean((0, 1, 2))
        return cutout(pixels, side=side, fill=fill, generator=_generator())

    return change


def _quarter(pixels: Tensor) -> Tensor:
    """One half of the images turned left, the other half turned right."""
    turned = pixels.transpose(1, 2)
    left = torch.arange(len(pixels)) % 2 == 0
    return torch.where(left[:, None, None, None], turned.flip(1), turned.flip(2))


def _brightness(pixels: Tensor) -> Tensor:
    factor = 1 + 0.3 * (2 * torch.rand(len(pixels), generator=_generator()) - 1)
    return pixels * factor[:, None, None, None]


def _blurred(pixels: Tensor) -> Tensor:
    """Means of 3 x 3 pixels."""
    planes = torch.nn.functional.pad(pixels.permute(0, 3, 1, 2).float(), (1,) * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(planes, 3, stride=1).permute(0, 2, 3, 1)


def _grey(pixels: Tensor) -> Tensor:
    luma = pixels.float() @ torch.tensor([0.299, 0.587, 0.114])
    return luma[..., None].expand(-1, -1, -1, 3)
