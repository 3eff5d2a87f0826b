import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tinyscope.models.max_pool import MaxPool2x2

LARGE = [(40, 16, 26, 26), (40, 16, 27, 26), (40, 16, 26, 27), (300, 32, 7, 7), (60, 7, 31, 33)]


def pooled(values: Tensor, above: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """What comes out, what came from above, and the gradient."""
    values = values.detach().requires_grad_()
    out = MaxPool2x2()(values)
    above = torch.randn_like(out) if above is None else above
    out.backward(above)
    return out.detach(), above, values.grad


def without_ties(shape: tuple[int, ...]) -> Tensor:
    """bfloat16, channels-last, all four values of a window different."""
    torch.manual_seed(0)
    height, width = shape[2:]
    corner = torch.arange(height)[:, None] % 2 * 2 + torch.arange(width) % 2
    values = (
        torch.randint(-9, 9, shape) * 8.0
        + (corner + torch.randint(0, 4, shape[:2])[..., None, None]) % 4
    )
    return values.bfloat16().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", LARGE)
def test_values_and_gradients_are_torchs_bit_for_bit(shape: tuple[int, ...]) -> None:
    values = without_ties(shape)
    out, above, gradient = pooled(values)
    torchs = values.clone().requires_grad_()
    expected = F.max_pool2d(torchs, 2)
    expected.backward(above)
    assert torch.equal(out, expected.detach())
    assert torch.equal(gradient, torchs.grad)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", LARGE)
def test_of_equal_values_one_gets_the_whole_gradient(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    values = torch.randint(-1, 2, shape).bfloat16().contiguous(memory_format=torch.channels_last)
    out, above, gradient = pooled(values)
    assert torch.equal(out, F.max_pool2d(values, 2))
    height, width = (side // 2 * 2 for side in shape[2:])
    inside = gradient[:, :, :height, :width]
    windows = inside.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).transpose(3, 4).flatten(4)
    assert (windows.count_nonzero(4) == (above != 0)).all()
    assert torch.equal(windows.sum(4), above)
    assert gradient[:, :, height:].count_nonzero() == gradient[:, :, :, width:].count_nonzero() == 0
    largest = F.interpolate(out.float(), scale_factor=2).bfloat16()
    assert (values[:, :, :height, :width][inside != 0] == largest[inside != 0]).all()


def test_no_number_stays_none_and_infinities_are_pooled() -> None:
    values = without_ties(LARGE[0])
    values[0, 0, 0, 0] = torch.nan
    values[0, 1, 1, 1] = torch.inf
    values[0, 2, :2, :2] = -torch.inf
    out, _, gradient = pooled(values)
    torch.testing.assert_close(out, F.max_pool2d(values, 2), equal_nan=True, rtol=0, atol=0)
    assert gradient.isfinite().all()


def test_a_gradient_in_another_layout_comes_back_to_the_right_places() -> None:
    values = without_ties(LARGE[0])
    above = torch.randn(40, 16, 13, 13).bfloat16()
    _, _, gradient = pooled(values, above)
    _, _, expected = pooled(values, above.contiguous(memory_format=torch.channels_last))
    assert torch.equal(gradient, expected)


def test_the_layer_above_may_work_in_place() -> None:
    values = without_ties(LARGE[0]).requires_grad_()
    torch.relu_(MaxPool2x2()(values)).sum().backward()
    expected = values.detach().clone().requires_grad_()
    torch.relu(F.max_pool2d(expected, 2)).sum().backward()
    assert torch.equal(values.grad, expected.grad)


@pytest.mark.parametrize(
    "values",
    [torch.randn(2, 3, 5, 4), torch.randn(40, 16, 26, 26), torch.randn(1, 2, 1, 1).double()],
)
def test_other_values_are_left_to_torch(values: Tensor) -> None:
    if 1 in values.shape[2:]:
        with pytest.raises(RuntimeError, match="too small"):
            MaxPool2x2()(values)
        return
    assert torch.equal(MaxPool2x2()(values), F.max_pool2d(values, 2))
