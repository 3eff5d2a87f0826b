"""Sharpness-aware minimization: gradients of a place near by where the loss is higher."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tinyscope.plan.recipe import Recipe
from tinyscope.training.cuda_graph import Pass

_TINY = 1e-12


class SharpnessAwarePass:
    """A pass that leaves the gradients of a place near by, where the loss is higher.

    Weights whose surroundings have a low loss too know more of new images. Foret et al. 2021,
    "Sharpness-Aware Minimization for Efficiently Improving Generalization" (arXiv 2010.01412,
    equation 2): the place lies in the direction of the gradient, at the distance of a radius.
    Differs: the direction may come from some of the batch's images, which is cheaper; what is
    not among the kernels stays where it is.

    Args:
        compute: the pass at the weights as they are.
        ascent: the pass that tells the direction; it should leave running statistics alone
            (`statistics_kept`).
        kernels: that are moved, at least one.
        recipe: its sam_radius and sam_share are read.
    """

    def __init__(
        self, compute: Pass, ascent: Pass, kernels: Sequence[nn.Parameter], recipe: Recipe
    ) -> None:
        self._compute, self._ascent = compute, ascent
        self._kernels: list[Tensor] = list(kernels)
        self._recipe = recipe

    def __call__(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `compute` answers, of the place near by; the weights are then as they were."""
        some = self._recipe.ascent_from(len(labels))
        self._ascent(batch[:some], labels[:some])
        with torch.no_grad():
            moved = [each for each in self._kernels if each.grad is not None]
            gradients = [each.grad for each in moved if each.grad is not None]
            norm = torch.stack(torch._foreach_norm(gradients)).norm()
            far = self._recipe.sam_radius / norm.clamp_min(_TINY)
            before = [each.clone() for each in moved]
            torch._foreach_add_(moved, list(torch._foreach_mul(gradients, far)))
        answers = self._compute(batch, labels)
        with torch.no_grad():
            torch._foreach_copy_(moved, before)
        return answers


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Norms compute as in training, and their running statistics stay what they are."""
    norm = nn.modules.batchnorm._BatchNorm
    norms = [each for each in network.modules() if isinstance(each, norm)]
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 0.0
    try:
        yield
    finally:
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum
