import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import correlate2d
from torch import Tensor, nn

from tinyscope.models.fast_layers import BitDropout, Conv2dBeforePool, Conv2dSame

RATES = (0.1, 0.25, 0.5, 0.9)


def dropped(rate: float, count: int = 1_000_000, *, seed: int = 0) -> Tensor:
    """Which of `count` ones become zero."""
    torch.manual_seed(seed)
    return BitDropout(rate)(torch.ones(count)) == 0


@pytest.mark.parametrize("rate", RATES)
def test_dropout_drops_its_share_in_every_lane_of_the_random_words(rate: float) -> None:
    zeros = dropped(rate).double()
    for values in (zeros, *zeros.view(-1, 4).unbind(1)):
        deviation = math.sqrt(rate * (1 - rate) / len(values))
        assert abs(values.mean().item() - rate) < 5 * deviation


@pytest.mark.parametrize("rate", RATES)
def test_neighbours_are_dropped_independently(rate: float) -> None:
    zeros = dropped(rate).double() - rate
    variance = rate * (1 - rate)
    for distance in (1, 2, 3, 4, 8, 32):
        pairs = zeros[distance:] * zeros[:-distance]
        assert abs(pairs.mean().item() / variance) < 5 / math.sqrt(len(pairs))


@pytest.mark.parametrize("rate", RATES)
def test_what_is_kept_is_scaled_so_that_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    values = BitDropout(rate)(torch.ones(1_000_000))
    kept = values[values != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - rate), abs=2 / 65536 / (1 - rate) ** 2)
    deviation = math.sqrt(rate / (1 - rate) / len(values))
    assert abs(values.double().mean().item() - 1) < 5 * deviation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "values",
    [
        torch.randn(3, 5, 7, 6),
        torch.randn(3, 5, 7, 6).contiguous(memory_format=torch.channels_last),
        torch.randn(3, 5, 7, 6)[:, 1:4, ::2],
        torch.randn(3, 1, 7, 5).contiguous(memory_format=torch.channels_last),
        torch.randn(7, 9),
        torch.randn(9, 7).T,
        torch.randn(1, 1),
        torch.randn(0, 4),
    ],
    ids=["plain", "channels-last", "sliced", "grey", "vectors", "transposed", "one", "none"],
)
def test_the_gradient_passes_where_the_value_did(values: Tensor, dtype: torch.dtype) -> None:
    values = values.detach().to(dtype).requires_grad_()
    torch.manual_seed(3)
    out = BitDropout(0.25)(values)
    assert out.shape == values.shape
    assert out.dtype == dtype
    assert out.stride() == torch.empty_like(values).stride()
    out.sum().backward()
    mask = values.grad
    assert set(mask.unique().tolist()) <= {0.0, torch.tensor(65536 / 49152).to(dtype).item()}
    torch.testing.assert_close(out.detach(), values.detach() * mask, rtol=0, atol=0)


def test_gradients_from_above_are_masked_as_well() -> None:
    torch.manual_seed(0)
    values = torch.randn(50, 30, dtype=torch.float64, requires_grad=True)
    above = torch.randn(50, 30, dtype=torch.float64)
    out = BitDropout(0.5)(values)
    out.backward(above)
    torch.testing.assert_close(values.grad, torch.where(out == 0, 0.0, 2 * above))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_is_drawn_for_every_value_by_itself(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    values = torch.ones(16, 8, 12, 12).contiguous(memory_format=layout)
    zeros = (BitDropout(0.5)(values) == 0).double()
    for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)):
        shares = zeros.mean(axes)
        spread = math.sqrt(0.25 * len(shares) / zeros.numel())
        assert (shares - 0.5).abs().max() < 5 * spread


def test_one_seed_gives_one_mask_and_another_seed_another() -> None:
    assert torch.equal(dropped(0.5, 999, seed=1), dropped(0.5, 999, seed=1))
    assert not torch.equal(dropped(0.5, 999, seed=1), dropped(0.5, 999, seed=2))
    torch.manual_seed(1)
    first, second = (BitDropout(0.5)(torch.ones(999)) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("layer", [BitDropout(0.5).eval(), BitDropout(0.0)])
def test_dropout_leaves_values_alone_in_evaluation_and_at_rate_zero(layer: BitDropout) -> None:
    state = torch.get_rng_state()
    values = torch.randn(10, 10)
    before = values.clone()
    torch.set_rng_state(state)
    assert torch.equal(layer(values), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_highest_rate_still_keeps_some_values() -> None:
    values = BitDropout(0.99)(torch.ones(100_000))
    assert torch.isfinite(values).all()
    assert 500 < (values != 0).sum() < 1500


def test_a_dropout_layer_shows_its_rate() -> None:
    assert repr(BitDropout(0.25)) == "BitDropout(rate=0.25)"


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
