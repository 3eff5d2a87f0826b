"""Layers that compute what torch's do, in less time on a CPU."""

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models.small_maps import conv_3x3


class ChannelsLastFlatten(nn.Flatten):
    """torch's flattening, whose gradient comes back channels-last where the values were so.

    Left to itself it comes back channel by channel, and the layers below then read one layout and
    write another: ReLU's gradient takes up to ten times as long.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) to (N, F), channel by channel."""
        if (
            input.dim() == 4
            and input.is_contiguous(memory_format=torch.channels_last)
            and not input.is_contiguous()
        ):
            return _ChannelsLastFlatten.apply(input)
        return super().forward(input)


class _ChannelsLastFlatten(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.shape = values.shape
        return values.flatten(1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].reshape(context.shape)
        return gradient.contiguous(memory_format=torch.channels_last)


class Conv2dSame(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) rows and columns, padded as in TensorFlow.

    Where the padding is odd, the extra row and column are at the bottom and at the right; torch's
    own `padding="same"` refuses strides.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in input.shape[2:]
        )
        if self.kernel_size == (3, 3) and self.stride == (1, 1):
            return conv_3x3(input, self.weight, self.bias, padding=1)
        if high == wide and high % 2 == 0:
            return F.conv2d(input, self.weight, self.bias, self.stride, high // 2)
        edges = (wide // 2, wide - wide // 2, high // 2, high - high // 2)
        return F.conv2d(F.pad(input, edges), self.weight, self.bias, self.stride)


class Conv2dBeforePool(nn.Conv2d):
    """A 3x3 convolution padded by 1, without the last row or column that a 2x2 pool leaves out.

    Of 7 x 7 places such a pool takes 6 x 6: what is not computed here is a quarter of that
    convolution, and a tenth of the speed network's arithmetic on images of 32x32. What the pool
    then gives, and every gradient, is the same. Where a side is 1, such as at the end of a network
    for small images, nothing is taken to be pooled, and nothing left out.

    Args:
        inputs: channels.
        outputs: channels; they have no bias.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H, W), odd sides shorter by one if both are above 1."""
        odd_rows, odd_columns = (side % 2 for side in input.shape[2:])
        if min(input.shape[2:]) == 1 or not (odd_rows or odd_columns):
            return conv_3x3(input, self.weight, padding=1)
        # The row and the column left out are the padding of those before them.
        padded = F.pad(input, (1, 1 - odd_columns, 1, 1 - odd_rows))
        return conv_3x3(padded, self.weight, padding=0)


class WhitenedConv2d(nn.Conv2d):
    """A 3x3 convolution of whitened patches as a single one of the image, before a 2x2 pool.

    Whitening is a linear map of each patch of 2x2 pixels, and so it and the convolution above it
    are one 4x4 convolution of the pixels, with four ninths of the multiplications of the upper one
    alone. What is trained is the kernel on whitened values, `weight`: there gradients of
    all directions are of one size, on pixels they are not. As in `Conv2dBeforePool`, what the pool
    leaves out is not computed.

    Differs from whitening first at the upper and left edge: outside the image lie zeros, not
    outside the whitened patches.

    Args:
        channels: of the image.
        outputs: channels; they have no bias.
        patch: side in pixels of the patches that are whitened.
    """

    filters: Tensor

    def __init__(self, channels: int, outputs: int, *, patch: int) -> None:
        directions = channels * patch**2
        super().__init__(directions, outputs, 3, bias=False)
        pixels = torch.eye(directions).view(directions, channels, patch, patch)
        self.register_buffer("filters", pixels)

    def on_pixels(self) -> Tensor:
        """The kernel that pixels are multiplied by: float32 (out, channels, patch+2, patch+2)."""
        device = self.weight.device.type
        casts = torch.amp.is_autocast_available(
            device
        )  # the meta device, of shapes alone, does not
        with torch.autocast(device, enabled=False) if casts else nullcontext():
            return F.conv_transpose2d(self.weight, self.filters)

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, out, h, w): h and w are H-patch+1 and W-patch+1, made even."""
        patch = self.filters.shape[2]
        odd_rows, odd_columns = ((side - patch + 1) % 2 for side in input.shape[2:])
        padded = F.pad(input, (1, 1 - odd_columns, 1, 1 - odd_rows))
        return F.conv2d(padded, self.on_pixels())
