"""VGG16, whole or cut at a layer, with the parameter names under which its weights are published.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv 1409.1556), table 1, configuration D: thirteen 3x3 convolutions in five blocks that end in a
2x2 max-pool each, and three dense layers; 138,357,544 parameters. Differs from the paper: images
of any size from 32 pixels, because the maps are averaged to 7x7 before the dense layers, as
torchvision does; at 224x224 they are 7x7 anyway.
"""

import torch
from torch import Tensor, nn

from tinyscope.models.bit_dropout import BitDropout
from tinyscope.models.small_maps import Conv3x3

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and channels of each block."""

LAYERS = ("block1", "block2", "block3", "block4", "block5", "fc1", "fc2", "logits")
"""Where it can be cut, from input to output. A block ends after its own pool and ReLU, a dense
layer but the last after its ReLU; `logits` are those of ImageNet's 1,000 classes."""

_SIDE = 7
_CLASSES = 1000

TIMM_NAMES: dict[str, tuple[str, tuple[int, ...]]] = {
    "pre_logits.fc1.weight": ("classifier.0.weight", (4096, 512, _SIDE, _SIDE)),
    "pre_logits.fc1.bias": ("classifier.0.bias", (4096,)),
    "pre_logits.fc2.weight": ("classifier.3.weight", (4096, 4096, 1, 1)),
    "pre_logits.fc2.bias": ("classifier.3.bias", (4096,)),
    "head.fc.weight": ("classifier.6.weight", (_CLASSES, 4096)),
    "head.fc.bias": ("classifier.6.bias", (_CLASSES,)),
}
"""timm's names of the dense layers, which are convolutions there: each with torchvision's name and
the shape under timm's. The convolutions have the same names in both."""


class VGG16(nn.Module):
    """The network up to a layer; what lies behind it is not built.

    Args:
        layer: one of `LAYERS`.
    """

    def __init__(self, layer: str = LAYERS[-1]) -> None:
        super().__init__()
        place = LAYERS.index(layer)
        modules: list[nn.Module] = []
        channels = 3
        for convolutions, width in BLOCKS[: place + 1]:
            for _ in range(convolutions):
                modules += [Conv3x3(channels, width, bias=True), nn.ReLU(inplace=True)]
                channels = width
            # The pool in front of the block's last ReLU: the same function, and the ReLU then has
            # a quarter of the values to pass over.
            modules.insert(-1, nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules)
        self.classifier: nn.Sequential | None = None
        dense = place - len(BLOCKS) + 1
        if dense > 0:
            self.classifier = nn.Sequential(*_dense_layers(dense))
            self.pool = nn.AdaptiveAvgPool2d(_SIDE)

    def forward(self, images: Tensor) -> Tensor:
        """What the layer gives.

        Args:
            images: (N, 3, H, W), normalized; H and W at least 2^b for block b, 32 for all behind.

        Returns:
            (N, F, H / 2^b, W / 2^b), rounded down, of block b; (N, 4096) of `fc1` and `fc2`;
            (N, 1000) of `logits`.
        """
        values: Tensor = self.features(images)
        if self.classifier is not None:
            values = self.classifier(torch.flatten(self.pool(values), 1))
        return values


def _dense_layers(count: int) -> list[nn.Module]:
    """The first dense layers, numbered as in torchvision; dropout between them, as in the paper."""
    inputs = (BLOCKS[-1][1] * _SIDE**2, 4096, 4096)
    outputs = (4096, 4096, _CLASSES)
    modules: list[nn.Module] = []
    for place in range(count):
        if place:
            modules.append(BitDropout(0.5))
        modules.append(nn.Linear(inputs[place], outputs[place]))
        if place < 2:
            modules.append(nn.ReLU(inplace=True))
    return modules


def smallest_image(layer: str) -> int:
    """Side in pixels of the smallest image that gives anything at a layer."""
    return 2 ** min(LAYERS.index(layer) + 1, len(BLOCKS))


def parameter_blocks(layer: str) -> tuple[tuple[str, ...], ...]:
    """The modules with parameters of each block, and of each dense layer, up to a layer."""
    blocks: list[tuple[str, ...]] = []
    index = 0
    for convolutions, _ in BLOCKS:
        blocks.append(tuple(f"features.{index + 2 * place}" for place in range(convolutions)))
        index += 2 * convolutions + 1
    blocks += [("classifier.0",), ("classifier.3",), ("classifier.6",)]
    return tuple(blocks[: LAYERS.index(layer) + 1])
