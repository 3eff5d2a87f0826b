"""The speed network: whitened patches, three groups of convolutions, one dense layer.

After the network of Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv
2404.00498, section 3), which goes back to Page 2018, "How to Train Your ResNet", and Balsam 2023
(hlb-CIFAR10). Differs: SiLU for GELU, which costs a CPU more; the whitening layer has no bias; it
can be folded into the next one; norms bear channels that hardly vary; any number of groups and
images of any size from 8 pixels.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models.fast_layers import Conv2dBeforePool, WhitenedConv2d
from tinyscope.models.max_pool import max_pool_2x2
from tinyscope.models.small_maps import Conv3x3

_PATCH = 2
_LEAST_VARIANCE = 5e-4
"""Added to the variance of each direction, so that those without any are not blown up."""
_AT_A_TIME = 250
_PIXELS_AT_A_TIME = 250 * 32 * 32
"""Images, and their pixels, whose patches are laid out at once, at most."""
_STATISTICS_MOMENTUM = 0.4
"""Of batch norm's running statistics: a short training has no time for torch's 0.1."""
EPSILON = 1e-3
"""What every norm adds to the variance of a channel. Where images are strokes on a flat ground,
channels of the last groups hardly vary; the record's norms add 1e-12 and blow that up until nothing
is learnt."""
EPSILON_BEFORE = 1e-12
"""Of networks whose descriptions do not tell it: earlier versions trained them."""


class WhitenedCNN(nn.Module):
    """A network for short trainings.

    A 2x2 convolution whose filters are the principal directions of the training images' patches,
    each with both signs; groups of convolution, max-pool, norm, SiLU, then further convolutions
    with norm and SiLU; a global max-pool; a dense layer without bias.

    Folded, each direction has one sign and no activation, and the first group's first convolution
    takes the image itself (`fast_layers.WhitenedConv2d`). A CPU trains small networks in a tenth
    less time so, and with 32 channels in the first group they know as much; wide ones save less
    and know a little less (`docs/experiments.md`).

    Args:
        widths: channels of each group.
        depth: convolutions of each group, 2 or more; with 3 or more, a shortcut leads from the
            first one's activation to the last one's norm.
        folded: whether whitening is part of the first convolution.
        channels: of the images.
        classes: outputs.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        depth: int = 2,
        folded: bool = False,
        channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self._directions = channels * _PATCH**2
        self.whitening: nn.Conv2d | None = None
        first: Conv2dBeforePool | WhitenedConv2d
        if folded:
            first = WhitenedConv2d(channels, widths[0], patch=_PATCH)
        else:
            self.whitening = nn.Conv2d(channels, 2 * self._directions, _PATCH, bias=False)
            self.whitening.weight.requires_grad_(False)
            first = Conv2dBeforePool(2 * self._directions, widths[0])
        self.groups = nn.Sequential(Group(first, depth))
        for before, width in pairwise(widths):
            self.groups.append(Group(Conv2dBeforePool(before, width), depth))
        self.head = MeanLinear(widths[-1], classes)
        self.reset()

    def reset(self) -> None:
        """New initial weights from torch's generator; whitening becomes the patch's own pixels."""
        with torch.no_grad():
            self._whiten_with(torch.eye(self._directions))
            for layer in self.groups.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
                    # Inputs pass through as they are, as far as there are outputs for them.
                    nn.init.dirac_(layer.weight[: layer.in_channels])
            nn.init.normal_(self.head.weight)

    def initialise_from(self, images: Tensor) -> None:
        """Takes the whitening filters from images: the eigenvectors of their patches' covariance.

        Args:
            images: (N, C, H, W), normalized; a few thousand are enough.
        """
        pixels = images.shape[2] * images.shape[3]
        at_a_time = max(1, min(_AT_A_TIME, _PIXELS_AT_A_TIME // pixels))
        covariance = sum(map(_products, images.split(at_a_time)))
        assert isinstance(covariance, Tensor)
        count = len(images) * (images.shape[2] - _PATCH + 1) * (images.shape[3] - _PATCH + 1)
        variances, directions = torch.linalg.eigh(covariance.cpu() / count)
        filters = (directions / (variances + _LEAST_VARIANCE).sqrt()).T.flip(0)
        with torch.no_grad():
            self._whiten_with(filters)

    def _whiten_with(self, filters: Tensor) -> None:
        """Takes filters (directions, C*4)."""
        if self.whitening is None:
            [folded] = (each for each in self.modules() if isinstance(each, WhitenedConv2d))
            folded.filters.copy_(filters.view_as(folded.filters))
        else:
            both = torch.cat([filters, -filters])
            self.whitening.weight.copy_(both.view_as(self.whitening.weight))

    def whitened(self, images: Tensor) -> Tensor:
        """What the groups take of (N, C, H, W): (N, 8C, H-1, W-1), or the images, if folded."""
        return images if self.whitening is None else F.silu(self.whitening(images), inplace=True)

    @property
    def epsilon(self) -> float:
        """What every norm adds to the variance of a channel; may be set."""
        return next(each.eps for each in self.modules() if isinstance(each, nn.BatchNorm2d))

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        for each in self.modules():
            if isinstance(each, nn.BatchNorm2d):
                each.eps = value

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K); H and W at least 3."""
        values = self.groups(self.whitened(images)).amax((2, 3))  # (N, width)
        logits: Tensor = self.head(values)
        return logits


class MeanLinear(nn.Linear):
    """A dense layer without bias whose outputs are means over its inputs, not sums."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        return super().forward(input) / self.in_features


class Group(nn.Module):
    """Convolutions of one width, behind the first of which a pool halves the resolution.

    Args:
        first: the first convolution.
        depth: how many there are.
    """

    def __init__(self, first: Conv2dBeforePool | WhitenedConv2d, depth: int) -> None:
        super().__init__()
        width = first.out_channels
        others = (Conv3x3(width, width, bias=False) for _ in range(1, depth))
        self.convolutions = nn.ModuleList([first, *others])
        self.norms = nn.ModuleList(_norm(width) for _ in range(depth))

    def forward(self, values: Tensor) -> Tensor:
        """(N, in, H, W) to (N, width, H/2, W/2), rounded down; as it is where a side is 1."""
        return self.activations(values)[-1]

    def activations(self, values: Tensor) -> list[Tensor]:
        """What each convolution of the group leads to, all of the shape that `forward` gives."""
        values = self.convolutions[0](values)
        if min(values.shape[2:]) > 1:
            values = max_pool_2x2(values)
        values = shortcut = F.silu(self.norms[0](values))
        found = [values]
        last = len(self.convolutions) - 1
        for place in range(1, last + 1):
            values = self.norms[place](self.convolutions[place](values))
            if place == last and place > 1:
                values = values + shortcut
            values = F.silu(values)
            found.append(values)
        return found


class Levels(nn.Module):
    """What the last two groups of a network see, side by side: the means of all their maps.

    Features of the last layer alone are made for the classes that it was trained on; those below
    know more of others. On 8,000 images of CIFAR-10 and a network trained on CIFAR-100, logistic
    regression from 100 images a class was right on 72% of 4,000 others with these, on 67% with the
    last layer's (one draw).

    Args:
        network: its head is not needed.
    """

    def __init__(self, network: WhitenedCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, F), F being the widths of the last two groups times their depth."""
        values = self.network.whitened(images)
        first = len(self.network.groups) - 2
        means = []
        for place, group in enumerate(self.network.groups):
            assert isinstance(group, Group)
            found = group.activations(values)
            values = found[-1]
            if place >= first:
                means += [each.mean((2, 3)) for each in found]
        return torch.cat(means, dim=1)


def _products(images: Tensor) -> Tensor:
    """The products of a patch's values, summed over all patches: float64 (C*4, C*4).

    In float64: the weakest directions have a thousandth of the strongest one's variance.
    """
    high, wide = (side - _PATCH + 1 for side in images.shape[2:])
    corners = [
        images[:, :, row : row + high, column : column + wide]
        for row in range(_PATCH)
        for column in range(_PATCH)
    ]
    patches = torch.stack(corners, dim=2).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1).double()
    return patches @ patches.T


def _norm(width: int) -> nn.BatchNorm2d:
    """Batch norm with an offset and no scale: the next convolution has one."""
    norm = nn.BatchNorm2d(width, eps=EPSILON, momentum=_STATISTICS_MOMENTUM)
    norm.weight.requires_grad_(False)
    return norm
