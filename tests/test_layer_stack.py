import random
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.errors import InputError
from tinyscope.models import published
from tinyscope.models.bit_dropout import BitDropout
from tinyscope.models.layer_stack import LayerStack


def stack(*layers: str, channels: int = 3, size: int = 32, classes: int = 10) -> LayerStack:
    return LayerStack(layers, channels=channels, classes=classes, height=size, width=size)


@pytest.mark.parametrize(
    ("layers", "parameters"),
    [
        pytest.param(published.KOSSOWSKA_1, 181_162, id="kossowska-1"),
        pytest.param(published.KOSSOWSKA_2, 1_250_858, id="kossowska-2"),
        pytest.param(published.KOSSOWSKA_3, 4_210_090, id="kossowska-3"),
        pytest.param(published.BRITTAN_1, 66_170, id="brittan-1"),
        pytest.param(published.WORKSHOP_SIMPLE, 703_786, id="workshop-simple"),
        pytest.param(published.WORKSHOP_DEEPER, 403_850, id="workshop-deeper"),
        # No totals are printed for these; worked out by hand: kernels + biases.
        # 3*9*16+16, 16*9*32+32, 32*9*64+64, then 4*4*64 values: 1024*64+64, 64*10+10.
        pytest.param(
            published.BRITTAN_IMPROVED, 448 + 4_640 + 18_496 + 65_600 + 650, id="brittan-improved"
        ),
        # ... 64*9*128+128, 128*9*256+256, one position of 256: 256*1024+1024, 1024*10+10.
        pytest.param(
            published.BRITTAN_V3,
            448 + 4_640 + 18_496 + 73_856 + 295_168 + 263_168 + 10_250,
            id="brittan-v3",
        ),
        pytest.param(
            published.BRITTAN_FINAL,
            448 + 4_640 + 18_496 + 73_856 + 295_168 + 131_584 + 5_130,
            id="brittan-final",
        ),
    ],
)
def test_a_published_network_has_exactly_its_published_parameters(
    layers: Sequence[str], parameters: int
) -> None:
    network = stack(*layers)
    assert sum(each.numel() for each in network.parameters()) == parameters


PUBLISHED_SHAPES = {
    # Each layer with weights or pooling: its output (channels, rows, columns) and its parameters,
    # as the reports print them for 32x32 RGB images.
    "KOSSOWSKA_1": [
        ((32, 16, 16), 2_432),
        ((32, 6, 6), 25_632),
        ((32, 3, 3), 0),
        ((288,), 0),
        ((512,), 147_968),
        ((10,), 5_130),
    ],
    "KOSSOWSKA_2": [
        ((32, 32, 32), 896),
        ((32, 30, 30), 9_248),
        ((32, 15, 15), 0),
        ((64, 15, 15), 18_496),
        ((64, 13, 13), 36_928),
        ((64, 6, 6), 0),
        ((2304,), 0),
        ((512,), 1_180_160),
        ((10,), 5_130),
    ],
    "KOSSOWSKA_3": [
        ((32, 32, 32), 896),
        ((32, 32, 32), 9_248),
        ((32, 16, 16), 0),
        ((8192,), 0),
        ((512,), 4_194_816),
        ((10,), 5_130),
    ],
    "BRITTAN_1": [
        ((16, 32, 32), 448),
        ((16, 16, 16), 0),
        ((4096,), 0),
        ((16,), 65_552),
        ((10,), 170),
    ],
    "WORKSHOP_SIMPLE": [
        ((32, 30, 30), 896),
        ((32, 15, 15), 0),
        ((32, 13, 13), 9_248),
        ((5408,), 0),
        ((128,), 692_352),
        ((10,), 1_290),
    ],
    "WORKSHOP_DEEPER": [
        ((64, 30, 30), 1_792),
        ((64, 28, 28), 36_928),
        ((64, 26, 26), 36_928),
        ((64, 24, 24), 36_928),
        ((64, 12, 12), 0),
        ((32, 10, 10), 18_464),
        ((32, 8, 8), 9_248),
        ((2048,), 0),
        ((128,), 262_272),
        ((10,), 1_290),
    ],
}


@pytest.mark.parametrize("name", PUBLISHED_SHAPES)
def test_a_published_network_has_its_published_shapes_layer_by_layer(name: str) -> None:
    values = torch.zeros(1, 3, 32, 32)
    found = []
    for module in stack(*getattr(published, name)).eval():
        values = module(values)
        if not isinstance(module, (nn.ReLU, BitDropout)):
            parameters = sum(each.numel() for each in module.parameters())
            found.append((tuple(values.shape[1:]), parameters))
    assert found == PUBLISHED_SHAPES[name]


def test_every_kind_of_layer_becomes_what_it_says() -> None:
    network = stack(
        "conv 8 3x3 stride 2 valid batchnorm",
        "avgpool 3",
        "batchnorm",
        "relu",
        "globalpool",
        "dense 6 batchnorm relu",
        "dropout .5",
        "batchnorm",
        classes=4,
    )
    kinds = [type(module).__name__ for module in network]
    assert kinds == [
        *("Conv2d", "BatchNorm2d", "AvgPool2d", "BatchNorm2d", "ReLU"),
        *("AdaptiveAvgPool2d", "Flatten", "Linear", "BatchNorm1d", "ReLU"),
        *("BitDropout", "BatchNorm1d", "Linear"),
    ]
    assert network[0].stride == (2, 2)
    assert network[0].bias is None
    assert network[7].bias is None
    assert network[10].rate == 0.5
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 4)


def test_blanks_in_a_line_do_not_matter() -> None:
    assert repr(stack("  conv  8 3x3   same relu ", "flatten")) == repr(
        stack("conv 8 3x3 same relu", "flatten")
    )


EXPECTED = (
    " is no layer. Expected one of: conv 32 3x3 [stride 2] same|valid [batchnorm] [relu], "
    "dense 512 [batchnorm] [relu], maxpool 2, avgpool 2, globalpool, batchnorm, relu, "
    "dropout 0.25, flatten."
)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "The layers end in 3 channels of 32x32; "),
        (["conv 8 3x3 same", "relu"], "The layers end in 8 channels of 32x32; "),
    ],
)
def test_an_image_cannot_be_the_end(layers: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        stack(*layers)
    assert str(caught.value) == (
        f'{message}"flatten" or "globalpool" has to come before the classes.'
    )


@pytest.mark.parametrize(
    "line",
    [
        "conv 8 3x3",
        "conv 8 3 same",
        "conv 0 3x3 same",
        "conv 8 0x0 same",
        "conv 8 3x3 stride 0 same",
        "conv 8 3x3 stride -1 same",
        "conv 8 3x3 same relu batchnorm",
        "conv 999999999999 3x3 same",
        "Conv 8 3x3 same",
        "dense",
        "dense 0",
        "dense 8 softmax",
        "maxpool",
        "maxpool 0",
        "maxpool 2x2",
        "dropout",
        "dropout 1",
        "dropout 1.5",
        "dropout 25%",
        "relu6",
        "softmax",
        "",
    ],
)
def test_a_line_that_is_no_layer_is_told_with_all_that_are(line: str) -> None:
    with pytest.raises(InputError) as caught:
        stack("conv 4 3x3 same", line, "flatten")
    assert str(caught.value) == f'layer 2 ("{line}"){EXPECTED}'


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["conv 8 3x5 same"], 'layer 1 ("conv 8 3x5 same"): a kernel is as high as it is wide.'),
        (
            ["relu", "dense 8"],
            'layer 2 ("dense 8"): "flatten" or "globalpool" has to come before it.',
        ),
        (
            ["flatten", "conv 8 3x3 same"],
            'layer 2 ("conv 8 3x3 same") needs an image, but the layers before it flatten it.',
        ),
        (
            ["globalpool", "maxpool 2"],
            'layer 2 ("maxpool 2") needs an image, but the layers before it flatten it.',
        ),
        (
            ["globalpool", "globalpool"],
            'layer 2 ("globalpool") needs an image, but the layers before it flatten it.',
        ),
        (
            ["conv 8 33x33 valid"],
            'layer 1 ("conv 8 33x33 valid") does not fit an input of 3 channels of 32x32.',
        ),
        (
            ["maxpool 16", "maxpool 3"],
            'layer 2 ("maxpool 3") does not fit an input of 3 channels of 2x2.',
        ),
        (
            ["avgpool 33"],
            'layer 1 ("avgpool 33") does not fit an input of 3 channels of 32x32.',
        ),
        (
            ["flatten", "dropout .999999"],
            'layer 2 ("dropout .999999"): at most 0.99 of the values can be dropped.',
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_told_with_its_place(layers: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        stack(*layers)
    assert str(caught.value) == message


def test_building_a_network_leaves_its_norms_new_and_draws_for_weights_only() -> None:
    torch.manual_seed(0)
    network = stack("conv 4 3x3 same relu", "dropout 0.5", "batchnorm", "flatten", "batchnorm")
    for module in network:
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert module.running_mean.tolist() == [0.0] * module.num_features
            assert module.running_var.tolist() == [1.0] * module.num_features
            assert module.num_batches_tracked == 0
    assert all(module.training for module in network.modules())
    torch.manual_seed(0)
    without = stack("conv 4 3x3 same relu", "batchnorm", "flatten", "batchnorm")
    assert torch.equal(network[-1].weight, without[-1].weight)


class AsWritten(nn.Module):
    """The layers of a stack in the order of their lines, with nothing in place."""

    def __init__(self, layers: Sequence[str], trained: LayerStack) -> None:
        super().__init__()
        weighted = iter([each for each in trained if list(each.parameters())])
        self.steps = nn.ModuleList()
        for line in layers:
            words = line.split()
            if words[0] in ("conv", "dense"):
                self.steps.append(next(weighted))
                if "batchnorm" in words:
                    self.steps.append(next(weighted))
            elif words[0] == "batchnorm":
                self.steps.append(next(weighted))
            elif words[0] == "maxpool":
                self.steps.append(nn.MaxPool2d(int(words[1])))
            elif words[0] == "avgpool":
                self.steps.append(nn.AvgPool2d(int(words[1])))
            elif words[0] == "dropout":
                self.steps.append(BitDropout(float(words[1])))
            elif words[0] == "globalpool":
                self.steps.append(nn.AdaptiveAvgPool2d(1))
            if words[-1] == "relu":
                self.steps.append(nn.ReLU())
            if words[0] in ("flatten", "globalpool"):
                self.steps.append(nn.Flatten())
        self.steps.append(next(weighted))

    def forward(self, values: Tensor) -> Tensor:
        for step in self.steps:
            values = step(values)
        return values


def outcome(
    network: nn.Module, owner: LayerStack, images: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Logits, and the gradients of the images and of all weights."""
    norms = {name: value.clone() for name, value in owner.named_buffers()}
    owner.zero_grad()
    leaf = images.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    torch.manual_seed(7)
    logits = network(leaf)
    F.cross_entropy(logits, labels).backward()
    for name, value in owner.named_buffers():
        value.copy_(norms[name])
    return logits.detach(), [leaf.grad, *(each.grad.clone() for each in owner.parameters())]


def assert_same_as_written(layers: Sequence[str], images: Tensor) -> None:
    network = LayerStack(
        layers, channels=images.shape[1], classes=3, height=images.shape[2], width=images.shape[3]
    )
    labels = torch.arange(len(images)) % 3
    before = images.clone()
    logits, gradients = outcome(network, network, images, labels)
    assert torch.equal(images, before), "the input was overwritten"
    expected, expected_gradients = outcome(AsWritten(layers, network), network, images, labels)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert len(gradients) == len(expected_gradients)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size", [9, 10, 11])
@pytest.mark.parametrize("window", [2, 3])
def test_pooling_before_relu_changes_neither_outputs_nor_gradients(
    channels_last: bool, size: int, window: int
) -> None:
    torch.manual_seed(size)
    images = torch.randn(6, 3, size, size)
    images[0] = -1.0  # windows without any positive value, and ties
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    layers = (
        "conv 8 3x3 same relu",
        f"maxpool {window}",
        "conv 8 3x3 same batchnorm relu",
        f"maxpool {window}",
        "flatten",
        "dense 8 relu",
    )
    assert isinstance(
        LayerStack(layers, channels=3, classes=3, height=size, width=size)[1], nn.MaxPool2d
    )
    assert_same_as_written(layers, images)


@pytest.mark.parametrize(
    "layers",
    [
        ("relu", "flatten"),
        ("relu", "relu", "maxpool 2", "relu", "flatten", "relu"),
        ("maxpool 2", "relu", "relu", "flatten", "relu", "dense 5 relu", "relu"),
        ("dropout 0.5", "relu", "conv 4 3x3 same", "relu", "dropout 0.5", "relu", "globalpool"),
        ("flatten", "relu", "dense 5", "dropout 0.25", "relu", "batchnorm", "relu"),
        ("avgpool 2", "relu", "maxpool 2", "batchnorm", "relu", "globalpool", "relu"),
        ("batchnorm", "relu", "maxpool 2", "maxpool 2", "relu", "flatten"),
        ("conv 4 3x3 stride 2 same relu", "maxpool 2", "relu", "avgpool 2", "relu", "flatten"),
    ],
)
def test_a_relu_in_place_never_spoils_a_gradient(layers: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    assert_same_as_written(layers, torch.randn(5, 3, 9, 9))


def test_any_order_of_layers_gives_the_gradients_of_the_order_as_written() -> None:
    on_images = [
        *("relu", "relu", "maxpool 2", "avgpool 2", "batchnorm", "dropout 0.5"),
        *("conv 4 3x3 same", "conv 4 3x3 same relu", "conv 4 3x3 stride 2 same batchnorm relu"),
    ]
    on_vectors = ["relu", "batchnorm", "dropout 0.25", "dense 6", "dense 6 relu", "flatten"]
    for seed in range(20):
        draw = random.Random(seed)
        torch.manual_seed(seed)
        layers = [
            *draw.choices(on_images, k=draw.randrange(5)),
            draw.choice(["flatten", "globalpool"]),
            *draw.choices(on_vectors, k=draw.randrange(4)),
        ]
        images = torch.randn(5, 2, 17, 16)  # four halvings leave something
        if draw.random() < 0.5:
            images = images.contiguous(memory_format=torch.channels_last)
        assert_same_as_written(layers, images)
