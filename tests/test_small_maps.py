"""3x3 convolutions of small maps, computed with several images in a row."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models import small_maps
from tinyscope.models.fast_layers import Conv2dBeforePool, Conv2dSame
from tinyscope.models.small_maps import Conv3x3, conv_3x3
from tinyscope.models.vgg import VGG16
from tinyscope.models.whitened_cnn import WhitenedCNN

CHANNELS_LAST = torch.channels_last


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """This processor, whichever it is, is taken for one with matrix tiles."""
    monkeypatch.setattr(small_maps, "_has_tiles", lambda: True)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images stood in a row, for each convolution that put some there."""
    found: list[int] = []
    as_before = small_maps._together

    def noted(maps: Tensor, count: int, *, before: int, after: int) -> Tensor:
        found.append(count)
        return as_before(maps, count, before=before, after=after)

    monkeypatch.setattr(small_maps, "_together", noted)
    return found


def few(*shape: int, of: int) -> Tensor:
    """Whole numbers, most of them 0, of which sums are exact: bfloat16, channels-last."""
    numbers = torch.randint(-2, 3, shape) * (torch.rand(shape) < of)
    return numbers.bfloat16().contiguous(memory_format=CHANNELS_LAST)


SIZES = [(8, 8), (7, 7), (5, 6), (6, 3), (3, 4), (4, 2), (1, 5), (2, 1)]


@pytest.mark.parametrize(
    ("size", "padding"),
    [*((size, 1) for size in SIZES), *((size, 0) for size in SIZES if min(size) > 2)],
)
@pytest.mark.parametrize("count", [160, 163])
def test_values_and_gradients_are_those_of_torch(
    tiles: None, together: list[int], size: tuple[int, int], padding: int, count: int
) -> None:
    torch.manual_seed(0)
    images = few(count, 64, *size, of=0.1).requires_grad_()
    kernel = few(72, 64, 3, 3, of=0.1).requires_grad_()
    found = conv_3x3(images, kernel, padding=padding)
    gradient = few(*found.shape, of=0.02)
    of_images, of_kernel = torch.autograd.grad(found, (images, kernel), gradient)
    assert together[0] * (size[1] + padding) >= 32
    assert together == [together[0]] * 2

    wide_images, wide_kernel = (
        each.detach().double().requires_grad_() for each in (images, kernel)
    )
    expected = F.conv2d(wide_images, wide_kernel, padding=padding)
    gradients = torch.autograd.grad(expected, (wide_images, wide_kernel), gradient.double())
    for ours, torchs in zip((found, of_images, of_kernel), (expected, *gradients), strict=True):
        assert torchs.abs().max() <= 256, "bfloat16 would round such sums"
        assert torch.equal(ours.double(), torchs)
    assert found.is_contiguous(memory_format=CHANNELS_LAST)
    assert of_images.is_contiguous(memory_format=CHANNELS_LAST)


def test_a_bias_is_added_and_learnt(tiles: None, together: list[int]) -> None:
    torch.manual_seed(0)
    layer = Conv3x3(64, 64, bias=True)
    images = few(160, 64, 4, 4, of=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(images)
        plain = F.conv2d(images, layer.weight, layer.bias, padding=1)
    assert together
    torch.testing.assert_close(found, plain, rtol=0.02, atol=0.02)
    of_plain = torch.autograd.grad(plain.sum(), [layer.weight, layer.bias])
    for ours, torchs in zip(
        torch.autograd.grad(found.sum(), [layer.weight, layer.bias]), of_plain, strict=True
    ):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, torchs, rtol=0.01, atol=0.5)


def test_what_is_not_wanted_has_no_gradient(tiles: None) -> None:
    images, kernel = few(160, 64, 4, 4, of=0.1), few(64, 64, 3, 3, of=0.1).requires_grad_()
    conv_3x3(images, kernel, padding=1).sum().backward()
    assert kernel.grad is not None
    assert images.grad is None


@pytest.mark.parametrize(
    "change",
    ["no tiles", "float32", "no gradient", "frozen", "wide maps", "narrow", "few"],
)
def test_elsewhere_the_convolution_is_torchs_to_the_bit(
    monkeypatch: pytest.MonkeyPatch, together: list[int], change: str
) -> None:
    monkeypatch.setattr(small_maps, "_has_tiles", lambda: change != "no tiles")
    torch.manual_seed(0)
    count = 100 if change == "few" else 160
    channels = 63 if change == "narrow" else 64
    side = 9 if change == "wide maps" else 4
    dtype = torch.float32 if change == "float32" else torch.bfloat16
    images = torch.randn(count, channels, side, side).to(dtype, memory_format=CHANNELS_LAST)
    kernel = torch.randn(64, channels, 3, 3).to(dtype).requires_grad_(change != "frozen")
    with torch.set_grad_enabled(change != "no gradient"):
        assert torch.equal(conv_3x3(images, kernel, padding=1), F.conv2d(images, kernel, padding=1))
    assert not together


@pytest.mark.parametrize(
    "layer",
    [
        Conv2dBeforePool(64, 64),
        Conv2dSame(64, 64, 3),
        VGG16("block2").features[5],
        WhitenedCNN([64, 64], channels=3, classes=10).groups[0].convolutions[1],
    ],
    ids=["before a pool", "same", "VGG16", "whitened CNN"],
)
def test_the_layers_of_our_networks_are_computed_so(
    tiles: None, together: list[int], layer: nn.Module
) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        layer(few(160, 64, 5, 5, of=0.1))
    assert together


def test_a_relu_behind_it_may_work_in_place(tiles: None, together: list[int]) -> None:
    images, kernel = few(160, 64, 4, 4, of=0.1), few(64, 64, 3, 3, of=0.1).requires_grad_()
    F.relu(conv_3x3(images, kernel, padding=1), inplace=True).sum().backward()
    assert together
