"""resnet: residual networks for 32x32 images.

He et al. 2015, "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), section 4.2 and
table 6: a 3x3 convolution, three groups of n blocks with 16, 32 and 64 channels, global average
pooling, one dense layer; 6n + 2 layers; identity shortcuts that are subsampled and padded with
zero channels where the shape changes (the paper's option A). n = 3 gives ResNet-20: 269,722
parameters for ten classes, 40.6 million multiply-adds at 32x32, 91.25% in the paper.
Differs from the paper: nothing in the network.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside an identity."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm_1 = nn.BatchNorm2d(channels_out)
        self.conv_2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm_2 = nn.BatchNorm2d(channels_out)
        self.stride = stride
        self.added = channels_out - channels_in

    def forward(self, values: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        inner = F.relu(self.norm_1(self.conv_1(values)), inplace=True)
        inner = self.norm_2(self.conv_2(inner))
        if self.added:
            values = values[:, :, :: self.stride, :: self.stride]
            values = F.pad(values, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return F.relu(inner + values, inplace=True)


class ResNet(nn.Module):
    """The CIFAR networks of the paper, of 6n + 2 layers."""

    def __init__(self, blocks: int, *, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.groups = nn.Sequential(
            *(
                Block(out if place else into, out, stride=1 if place else stride)
                for into, out, stride in widths
                for place in range(blocks)
            )
        )
        self.head = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K); H and W at least 8."""
        values = F.relu(self.norm(self.stem(images)), inplace=True)  # (N, 16, H, W)
        values = self.groups(values)  # (N, 64, H/4, W/4)
        return self.head(values.mean((2, 3)))
