import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models.resnet import Block, ResNet


def test_resnet_20_has_the_parameters_of_its_paper() -> None:
    # Kernels: 3*16*9 + 6*16*16*9 + 16*32*9 + 5*32*32*9 + 32*64*9 + 5*64*64*9 + 64*10, and 10 biases
    # and 2 * (7*16 + 6*32 + 6*64) of the norms; table 6 of the paper rounds to 0.27 million.
    network = ResNet(3, channels=3, classes=10)
    assert sum(each.numel() for each in network.parameters()) == 269_722


@pytest.mark.parametrize(
    ("blocks", "depth", "millions"), [(3, 20, 0.27), (5, 32, 0.46), (9, 56, 0.85)]
)
def test_a_network_of_n_blocks_has_6n_plus_2_layers_and_the_size_of_table_6(
    blocks: int, depth: int, millions: float
) -> None:
    network = ResNet(blocks, channels=3, classes=10)
    weighted = [each for each in network.modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth
    count = sum(each.numel() for each in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_the_shapes_are_those_of_the_paper() -> None:
    network = ResNet(3, channels=3, classes=7).eval()
    values = network.stem(torch.zeros(2, 3, 32, 32))
    shapes = [tuple(values.shape)]
    for block in network.groups:
        values = block(values)
        shapes.append(tuple(values.shape))
    assert shapes == [
        *[(2, 16, 32, 32)] * 4,
        *[(2, 32, 16, 16)] * 3,
        *[(2, 64, 8, 8)] * 3,
    ]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


class PlainBlock(nn.Module):
    """The block as in figure 2 of the paper, with option A written out, nothing in place."""

    def __init__(self, block: Block, *, stride: int, channels_out: int) -> None:
        super().__init__()
        self.block, self.stride, self.channels_out = block, stride, channels_out

    def forward(self, values: Tensor) -> Tensor:
        block = self.block
        inner = F.relu(block.norm_1(F.conv2d(values, block.conv_1.weight, None, self.stride, 1)))
        inner = block.norm_2(F.conv2d(inner, block.conv_2.weight, None, 1, 1))
        _, channels, height, width = inner.shape
        shortcut = torch.zeros(len(values), self.channels_out, height, width)
        first = (self.channels_out - values.shape[1]) // 2
        taken = F.max_pool2d(values, 1, self.stride)  # every second row and column
        shortcut[:, first : first + values.shape[1]] = taken
        assert channels == self.channels_out
        return F.relu(inner + shortcut)


@pytest.mark.parametrize(("into", "out", "stride"), [(16, 16, 1), (16, 32, 2), (4, 7, 2)])
@pytest.mark.parametrize("size", [8, 9])
def test_a_block_adds_its_subsampled_and_padded_input(
    into: int, out: int, stride: int, size: int
) -> None:
    torch.manual_seed(0)
    block = Block(into, out, stride=stride)
    images = torch.randn(3, into, size, size)
    plain = PlainBlock(block, stride=stride, channels_out=out)
    gradients = []
    for network in (block, plain):
        leaf = images.clone().requires_grad_()
        block.zero_grad()
        result = network(leaf)
        (result**2).sum().backward()
        gradients.append(
            [result.detach(), leaf.grad, *(p.grad.clone() for p in block.parameters())]
        )
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_input_of_a_block_is_not_overwritten() -> None:
    images = torch.randn(2, 16, 8, 8)
    before = images.clone()
    Block(16, 16, stride=1)(images)
    assert torch.equal(images, before)
