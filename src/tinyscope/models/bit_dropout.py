"""BitDropout: dropout in a small part of torch's time on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BitDropout(nn.Module):
    """Dropout that decides about 64 values with each random word and each operation on it.

    torch draws a value at a time from a serial generator: 50 ms for 7.4 million values in bfloat16
    on two cores, where this takes 1.8. The rate is rounded to a multiple of 1/4,096.

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
        share = round(rate * 2**_DIGITS)
        lane = _INTEGER[values.element_size()]
        kept = torch.tensor(2**_DIGITS / (2**_DIGITS - share), dtype=values.dtype).view(lane)
        # A lane of 16 bits decides about 16 values that lie far apart, one in each plane: so every
        # operation runs over neighbours, in registers. Products of integers, for comparisons that
        # give bools, and products with those, take several times as long.
        lanes = _random_bits(share, values.numel()).view(lane)
        width = 8 * values.element_size()
        bits = (1 << torch.arange(width)).to(lane)
        planes = lanes.bitwise_and(bits[:, None]).eq_(0).mul_(kept)
        mask = planes.view(values.dtype).as_strided(
            values.shape, torch.empty_like(values, device="meta").stride()
        )
        context.save_for_backward(mask)
        return values * mask

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (mask,) = context.saved_tensors
        return gradients[0] * mask, None


def _random_bits(share: int, count: int) -> Tensor:
    """int64 words with at least `count` bits, each of them 1 by a chance of share / 2^_DIGITS.

    Digit by digit of the share in base two, from its last one that is 1: where a fresh random bit
    says so, "or" takes the chance p to (1 + p) / 2, and "and" takes it to p / 2.
    """
    digits = f"{share:0{_DIGITS}b}".rstrip("0")
    words = torch.empty((max(len(digits), 1), -(-count // 64)), dtype=torch.int64)
    # random_() without bounds would leave the sign bit 0.
    words.random_(-(2**63), None)
    if not digits:
        return words[0].zero_()
    bits = words[-1]
    for digit, fresh in zip(digits[-2::-1], words[:-1].unbind()[::-1], strict=True):
        bits = bits.bitwise_or_(fresh) if digit == "1" else bits.bitwise_and_(fresh)
    return bits


_DIGITS = 12
_INTEGER = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integers with the same number of bytes."""
