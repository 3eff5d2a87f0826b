"""What a training costs in floating-point operations, by formula."""

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinyscope.data.augmentation import shrinking_flop, shrunk
from tinyscope.models.fast_layers import WhitenedConv2d
from tinyscope.plan.recipe import Recipe
from tinyscope.training import muon
from tinyscope.training.optimizers import build_optimizer
from tinyscope.training.proxy import learns, proxy_recipe, seen_share
from tinyscope.training.schedules import is_sharpness_aware, size_share
from tinyscope.training.weight_average import STATISTICS_BATCHES, has_statistics


class ImageFlop(NamedTuple):
    """FLOP of a network for one image."""

    forward: int
    backward: int
    """As many as forward for the kernel of each layer that is trained, and again for its input
    where the gradient has to go further back."""


def training_flop(
    network: nn.Module,
    recipe: Recipe,
    *,
    shape: tuple[int, ...],
    images: int,
    steps_per_epoch: int,
    epochs: int,
    proxy: nn.Module | None = None,
) -> int:
    """FLOP of a training: a multiplication and an addition are two.

    Counted are convolutions and dense layers, forward and backward, at the size at which each step
    sees its images (`schedules.size_share`), the products that bring images to that size, and
    Muon's orthogonalisation in every step; a proxy's likewise, and its forward pass for every image
    that it judges; the second pass of steps that are aware of sharpness; and the passes by which
    norms get statistics of averaged weights. Not counted is what takes a few operations a value:
    norms, activations, pooling, dropout, biases, the loss, augmentation, normalization and the sums
    of the optimizers; nor the covariance of patches that whitening filters are taken from (once,
    0.6 GFLOP for images of 32x32); nor whitening's way into a kernel that it is folded into (each
    step, under a MFLOP); nor any evaluation.

    Args:
        network: see `image_flop`.
        recipe: its optimizer, training_sizes, epochs and what it says of a proxy are read.
        shape: (H, W, C) of the images, or (F,) of features.
        images: in the training split; each is seen once an epoch.
        steps_per_epoch: batches that they are cut into, as evenly as can be.
        epochs: that were run, at most the recipe's.
        proxy: the network that chooses what is learnt from, where there is one.
    """
    steps = range(epochs * steps_per_epoch)
    batches = [
        images // steps_per_epoch + (step % steps_per_epoch < images % steps_per_epoch)
        for step in steps
    ]
    learnt_from = [recipe.learnt_from(batch) for batch in batches]
    shares = [size_share(recipe, step, steps_per_epoch=steps_per_epoch) for step in steps]
    flop = len(steps) * _turning(recipe, network)
    flop += _layers(network, shape, shares, learnt_from, backward=True)
    aware = [is_sharpness_aware(recipe, step, steps_per_epoch=steps_per_epoch) for step in steps]
    ascents = [recipe.ascent_from(n) * here for n, here in zip(learnt_from, aware, strict=True)]
    flop += _layers(network, shape, shares, ascents, backward=True, shrinking=False)
    ends = recipe.averaged_steps and epochs == recipe.epochs and has_statistics(network)
    typical = batches[:STATISTICS_BATCHES] if ends else []
    whole, seen = [1.0] * len(typical), [recipe.proxy_size] * len(typical)
    flop += _layers(network, shape, whole, map(recipe.learnt_from, typical), backward=False)
    if proxy is not None:
        shares = [seen_share(recipe, step, steps_per_epoch=steps_per_epoch) for step in steps]
        flop += _layers(proxy, shape, shares, batches, backward=False)
        flop += _layers(proxy, shape, seen, typical, backward=False)
        taught = [count * learns(step) for step, count in enumerate(learnt_from)]
        flop += _layers(proxy, shape, shares, taught, backward=True)
        flop += sum(map(learns, steps)) * _turning(proxy_recipe(recipe), proxy)
    return flop


def _layers(
    network: nn.Module,
    shape: tuple[int, ...],
    shares: Iterable[float],
    images: Iterable[int],
    *,
    backward: bool,
    shrinking: bool = True,
) -> int:
    """FLOP of a network's layers over all steps, each with a share of the side and a batch.

    Shrinking is that of the images to their share, where they are not shrunk already.
    """
    seen: Counter[float] = Counter()
    for share, batch in zip(shares, images, strict=True):
        seen[share] += batch
    flop = 0
    for share, count in seen.items():
        once = image_flop(network, shape=shape, share=share)
        flop += count * (once.forward + backward * once.backward)
        if shrinking and share < 1:
            flop += count * shrinking_flop(shape, share)
    return flop


def _turning(recipe: Recipe, network: nn.Module) -> int:
    """FLOP of Muon's orthogonalisation in a step."""
    if recipe.optimizer != "muon":  # torch's own refuse kernels that are shapes without numbers
        return 0
    return sum(
        muon.flop(kernel.shape)
        for group in build_optimizer(recipe, network).param_groups
        if group.get("orthogonal")
        for kernel in group["params"]
    )


def image_flop(network: nn.Module, *, shape: tuple[int, ...], share: float = 1.0) -> ImageFlop:
    """FLOP of the convolutions and dense layers of a network, for one image.

    Args:
        network: takes pixels (N, H, W, C) or features (N, F); which kernels are trained,
            `requires_grad` tells. It is left as it is, and may be on the meta device.
        shape: of one example.
        share: of either side at which the network sees them.
    """
    probe = deepcopy(network).eval()
    shapes_alone = any(each.is_meta for each in probe.parameters())
    device = torch.device("meta" if shapes_alone else "cpu")
    forward = backward = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal forward, backward
        assert isinstance(layer, (nn.Conv2d, nn.Linear))
        kernel = layer.on_pixels() if isinstance(layer, WhitenedConv2d) else layer.weight
        # Each value of the output is a sum over the kernel of one of its channels.
        once = 2 * (output.numel() // len(kernel)) * kernel.numel()
        forward += once
        backward += once * (int(kernel.requires_grad) + int(inputs[0].requires_grad))

    for layer in probe.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            # First of its hooks: one of a tapped layer ends the pass.
            layer.register_forward_hook(count, prepend=True)
    with torch.enable_grad():
        probe.to(device)(shrunk(torch.zeros(1, *shape, device=device), share))
    return ImageFlop(forward, backward)
