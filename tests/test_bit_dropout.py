import math

import pytest
import torch
from torch import Tensor

from tinyscope.models.bit_dropout import BitDropout

RATES = (0.1, 0.25, 0.5, 0.9)


def dropped(rate: float, count: int = 1_000_000, *, seed: int = 0) -> Tensor:
    """Which of `count` ones become zero."""
    torch.manual_seed(seed)
    return BitDropout(rate)(torch.ones(count)) == 0


@pytest.mark.parametrize("rate", RATES)
def test_dropout_drops_its_share_by_every_bit_of_the_random_words(rate: float) -> None:
    zeros = dropped(rate).double()
    for values in (zeros, *zeros.view(32, -1)):
        deviation = math.sqrt(rate * (1 - rate) / len(values))
        assert abs(values.mean().item() - rate) < 5 * deviation


@pytest.mark.parametrize("rate", RATES)
def test_neighbours_are_dropped_independently(rate: float) -> None:
    zeros = dropped(rate).double() - rate
    variance = rate * (1 - rate)
    for distance in (1, 2, 3, 4, 8, 32, 31_250, 62_500):  # 31,250: one bit further in a word
        pairs = zeros[distance:] * zeros[:-distance]
        assert abs(pairs.mean().item() / variance) < 5 / math.sqrt(len(pairs))


@pytest.mark.parametrize("rate", RATES)
def test_what_is_kept_is_scaled_so_that_the_mean_stays(rate: float) -> None:
    torch.manual_seed(0)
    values = BitDropout(rate)(torch.ones(1_000_000))
    kept = values[values != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - rate), abs=0.51 / 4096 / (1 - rate) ** 2 * 1.01)
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
    assert set(mask.unique().tolist()) <= {0.0, torch.tensor(4 / 3).to(dtype).item()}
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
