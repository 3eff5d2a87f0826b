"""Layers that compute what torch's do, in less time on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BitDropout(nn.Module):
    """Dropout whose mask is cut from 64-bit random words, four values a word.

    torch draws a value at a time from a serial generator, which takes a tenth of the training of a
    small CNN. The rate is rounded to a multiple of 1/65,536.

    Args:
        rate: share of the values that are dropped, from 0 to 0.99.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def extra_repr(self) -> str:
        """The rate, for `print(model)`."""
        return f"rate={self.rate}"

    def forward(self, values: Tensor) -> Tensor:
        """The values, a share of them zero in training and the others larger in proportion."""
        if not self.training or self.rate == 0:
            return values
        if values.device.type != "cpu":  # a GPU draws all values at once, and Apple's no full words
            return F.dropout(values, self.rate)
        return _BitDropout.apply(values, self.rate)


class _BitDropout(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, rate: float) -> Tensor:
        dropped = round(rate * 65536)
        words = torch.empty((values.numel() + 3) // 4, dtype=torch.int64, device=values.device)
        # random_() without bounds would leave the sign bit, and so a quarter of the lanes, biased.
        words.random_(-(2**63), None)
        lanes = words.view(torch.int16)[: values.numel()]
        mask = torch.empty_like(values)
        ordered = _in_memory_order(mask)
        ordered.copy_((lanes >= dropped - 32768).view_as(ordered))
        ordered.mul_(65536 / (65536 - dropped))
        context.save_for_backward(mask)
        return values * mask

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = context.saved_tensors
        return gradients[0] * mask, None


def _in_memory_order(values: Tensor) -> Tensor:
    """A view that is contiguous where `values` is, or is channels-last."""
    if values.dim() == 4 and not values.is_contiguous():
        return values.permute(0, 2, 3, 1)
    return values


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
            return super().forward(input)
        # The row and the column left out are the padding of those before them.
        padded = F.pad(input, (1, 1 - odd_columns, 1, 1 - odd_rows))
        return F.conv2d(padded, self.weight)
