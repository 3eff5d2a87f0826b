import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import correlate2d
from torch import nn

from tinyscope.models.fast_layers import ChannelsLastFlatten, Conv2dBeforePool, Conv2dSame


def by_hand(image: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """A 'SAME' convolution of one channel as TensorFlow defines it.

    tensorflow.org/api_docs/python/tf/nn, "Notes on padding": out = ceil(in / stride), the padding
    is max((out - 1) * stride + kernel - in, 0), its smaller half before.
    """
    edges = []
    for side in image.shape:
        out = math.ceil(side / stride)
        padding = max((out - 1) * stride + len(kernel) - side, 0)
        edges.append((padding // 2, padding - padding // 2))
    return correlate2d(np.pad(image, edges), kernel, mode="valid")[::stride, ::stride]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_same_pads_as_tensorflow_does(kernel: int, stride: int) -> None:
    layer = Conv2dSame(2, 3, kernel, stride).double()
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for height in range(5, 10):
        for width in range(5, 10):
            images = torch.randn(1, 2, height, width, dtype=torch.float64)
            expected = [
                sum(by_hand(images[0, c].numpy(), weight[k, c], stride) for c in range(2)) + bias[k]
                for k in range(3)
            ]
            found = layer(images)
            assert found.shape == (1, 3, math.ceil(height / stride), math.ceil(width / stride))
            np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-12)


def test_an_odd_row_of_padding_is_at_the_bottom_and_at_the_right() -> None:
    # 4x4 by stride 2 and a 3x3 kernel: one row and one column are missing.
    layer = Conv2dSame(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(layer.weight)
    out = layer(torch.arange(16.0).view(1, 1, 4, 4))
    # Rows 0-2 and columns 0-2: 0+1+2+4+5+6+8+9+10; rows 2-3 and columns 2-3: 10+11+14+15.
    assert out[0, 0, 0, 0] == 45
    assert out[0, 0, 1, 1] == 50


@pytest.mark.parametrize("size", [(7, 7), (6, 6), (7, 6), (5, 8), (3, 2), (1, 5), (6, 1), (1, 1)])
def test_a_convolution_before_a_pool_leaves_out_what_the_pool_would(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = Conv2dBeforePool(4, 5)
    plain = nn.Conv2d(4, 5, 3, padding=1, bias=False)
    plain.load_state_dict(ours.state_dict())
    values = torch.randn(2, 4, *size)
    found = []
    for layer in (ours, plain):
        entered = values.clone().requires_grad_()
        passed = layer(entered)
        pooled = F.max_pool2d(passed, 2) if min(size) > 1 else passed
        pooled.square().sum().backward()
        found.append((pooled, entered.grad, layer.weight.grad))
        if layer is ours:
            odd = min(size) > 1
            assert passed.shape[2:] == tuple(side - side % 2 * odd for side in size)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (5, 1, 4, 6), (5, 3, 1, 1), (0, 3, 4, 6)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_flattening_is_torchs_and_its_gradient_keeps_the_layout(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    values = torch.randn(shape).contiguous(memory_format=layout).requires_grad_()
    below = values * 1  # the gradient of a leaf is given the leaf's layout in any case
    found = []
    below.register_hook(found.append)
    flat = ChannelsLastFlatten()(below)
    assert torch.equal(flat, values.flatten(1))
    above = torch.randn(flat.shape)
    flat.backward(above)
    (gradient,) = found
    assert torch.equal(gradient, above.view(shape))
    assert gradient.numel() == 0 or gradient.is_contiguous(memory_format=layout)


def test_what_is_flattened_may_be_worked_on_in_place() -> None:
    values = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    before = values.clone()
    torch.relu_(ChannelsLastFlatten()(values.requires_grad_())).sum().backward()
    assert torch.equal(values, before)
    assert torch.equal(values.grad, (before > 0).float())


def test_vectors_are_flat_already() -> None:
    values = torch.randn(4, 7)
    assert torch.equal(ChannelsLastFlatten()(values), values)
