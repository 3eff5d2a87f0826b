"""3x3 convolutions whose maps are small, in a CPU's matrix tiles several images at a time."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Conv3x3(nn.Conv2d):
    """`conv_3x3` as a layer, padded by 1.

    Args:
        inputs: channels.
        outputs: channels.
        bias: whether one is added to each of them.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H, W)."""
        return conv_3x3(input, self.weight, self.bias, padding=1)


def conv_3x3(images: Tensor, kernel: Tensor, bias: Tensor | None = None, *, padding: int) -> Tensor:
    """A convolution as torch's; trained on small maps, in less time on a CPU with matrix tiles.

    Such a CPU (Intel's AMX) multiplies tiles of 16 rows and 32 values of bfloat16. oneDNN fills
    them with neighbouring places of a row, so that maps 3 places wide leave nine tenths of a tile
    empty where the kernel's gradient is computed, and more than half elsewhere. Here images stand
    side by side in rows long enough, with zeros between them: the same sums, for a copy of what
    goes in and of what comes out. The gradient of a kernel takes a fifth to two thirds of oneDNN's
    time (`docs/experiments.md`). Last digits may differ from torch's.

    Args:
        images: (N, C, H, W).
        kernel: (out, C, 3, 3).
        bias: (out,).
        padding: rows and columns of zeros on every side, 0 or 1.

    Returns:
        (N, out, H - 2 + 2 padding, W - 2 + 2 padding).
    """
    together = _images_in_a_row(images, kernel, padding) if _has_tiles() else None
    if together is None:
        return F.conv2d(images, kernel, bias, padding=padding)
    found: Tensor = _SideBySide.apply(images, kernel.to(images.dtype), padding, together)
    return found if bias is None else found + bias.to(found.dtype).view(-1, 1, 1)


_PLACES = 32
"""Of a row that fill a tile of bfloat16 in a kernel's gradient; narrow maps fill two tiles, for
what separates them goes to waste."""
_NARROW = 6
"""Columns, padding included, up to which maps are narrow."""
_WIDEST = 8
_FEWEST_CHANNELS = 64
_FEWEST_VALUES = 8_000
"""Images times channels from where on the copies cost less than they save."""


@cache
def _has_tiles() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())


def _images_in_a_row(images: Tensor, kernel: Tensor, padding: int) -> int | None:
    """How many fill a row; None where it does not pay."""
    width = images.shape[3]
    channels = min(kernel.shape[:2])
    pays = (
        torch.is_grad_enabled()
        and kernel.requires_grad
        and images.device.type == "cpu"
        and images.dtype == torch.bfloat16
        and images.is_contiguous(memory_format=torch.channels_last)
        and 2 - 2 * padding < width <= _WIDEST
        and channels >= _FEWEST_CHANNELS
        and len(images) * channels >= _FEWEST_VALUES
    )
    period = width + padding
    if not pays:
        return None
    return 2 * _PLACES // period if period <= _NARROW else -(-_PLACES // period)


class _SideBySide(torch.autograd.Function):
    """The convolution of images (N, C, H, W) of which each row holds several.

    An image takes a period of its width and the padding. Zeros stand before the first image, where
    they are padding, and between any two; what a kernel finds across them is left out.
    """

    @staticmethod
    def forward(
        context: Any, images: Tensor, kernel: Tensor, padding: int, together: int
    ) -> Tensor:
        width = images.shape[3]
        rows = _together(images, together, before=padding, after=0)
        context.save_for_backward(rows, kernel)
        context.width, context.padding, context.together = width, padding, together
        found = F.conv2d(rows, kernel, padding=(padding, 0))
        out = width - 2 + 2 * padding
        return _apart(found, len(images), width=out, period=width + padding)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(
        context: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        rows, kernel = context.saved_tensors
        (gradient,) = gradients
        width, padding = context.width, context.padding
        between = width + padding - gradient.shape[3]
        found = _together(gradient, context.together, before=0, after=between)[..., :-between]
        wanted = [*context.needs_input_grad[:2], False]
        of_rows, of_kernel, _ = torch.ops.aten.convolution_backward(
            found, rows, kernel, None, [1, 1], [padding, 0], [1, 1], False, [0, 0], 1, wanted
        )
        if of_rows is not None:
            of_rows = of_rows[..., padding:]
            of_rows = _apart(of_rows, len(gradient), width=width, period=width + padding)
        return of_rows, of_kernel, None, None


def _together(maps: Tensor, together: int, *, before: int, after: int) -> Tensor:
    """(N, C, H, W) as (N / together, C, H, before + together (W + before + after)).

    Columns of zeros stand before all maps and after each of them, and in the places that the last
    row has left.
    """
    count, channels, height, width = maps.shape
    period = width + before + after
    rows = torch.empty(
        (-(-count // together), channels, height, before + together * period),
        dtype=maps.dtype,
        memory_format=torch.channels_last,
    )
    rows[..., :before] = 0
    places = rows[..., before:].unflatten(3, (together, period))
    places[..., width:] = 0
    _copy(maps, places[..., :width].permute(0, 3, 1, 2, 4))
    places[-1, :, :, (count - 1) % together + 1 :] = 0
    return rows


def _apart(rows: Tensor, count: int, *, width: int, period: int) -> Tensor:
    """The first of what `_together` has put together: (count, C, H, width), channels-last."""
    places = rows.unfold(3, width, period)  # (rows, C, H, together, width)
    # No view is answered: a ReLU could not work in place on it.
    maps = torch.empty(
        (count, *rows.shape[1:3], width), dtype=rows.dtype, memory_format=torch.channels_last
    )
    _copy(maps, places.permute(0, 3, 1, 2, 4), back=True)
    return maps


def _copy(maps: Tensor, places: Tensor, *, back: bool = False) -> None:
    """Between maps (N, C, H, W) and their places (rows, together, C, H, W), the last ones unused.

    Args:
        back: from the places to the maps.
    """
    together = places.shape[1]
    whole, left = divmod(len(maps), together)
    pairs = [(maps[: whole * together].unflatten(0, (whole, together)), places[:whole])]
    if left:
        pairs.append((maps[whole * together :], places[-1, :left]))
    for these, those in pairs:
        if back:
            these.copy_(those)
        else:
            those.copy_(these)
