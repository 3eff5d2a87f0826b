"""Muon: momentum, then the nearest orthogonal matrix, as the step of a kernel."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

STEPS = 5
"""Of Newton and Schulz."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic: they bring singular values to about 0.7 … 1.2 in `STEPS` steps, not to 1."""
_TINY = 1e-7


def orthogonalised(matrix: Tensor) -> Tensor:
    """About the orthogonal matrix nearest to one: its singular values brought to 0.7 … 1.2.

    Newton-Schulz iteration with the quintic of Jordan et al. 2024, "Muon: An optimizer for hidden
    layers in neural networks". X <- (a + b X X' + c (X X')^2) X is a polynomial of G = X X' times
    X, and polynomials of G commute: here the steps run on the small square G, and X is multiplied
    once, at the end. For a kernel of 256 x 2,304 that is 0.9 GFLOP instead of 3.4; float32 is
    enough for it. torch.optim.Muon takes 2-dimensional parameters only and iterates on X in
    bfloat16, which many CPUs emulate.

    Args:
        matrix: float (R, C), of any shape.

    Returns:
        float32 (R, C).
    """
    tall = matrix.shape[0] > matrix.shape[1]
    wide = (matrix.T if tall else matrix).float()
    wide = wide / (wide.norm() + _TINY)
    gram = wide @ wide.T
    product = torch.eye(len(gram), device=gram.device)
    a, b, c = COEFFICIENTS
    for step in range(STEPS):
        polynomial = torch.addmm(b * gram, gram, gram, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial @ product
        if step < STEPS - 1:
            gram = polynomial @ gram @ polynomial
    orthogonal = product @ wide
    return orthogonal.T if tall else orthogonal


def flop(shape: Iterable[int]) -> int:
    """Floating-point operations of `orthogonalised` for a kernel (out, in, …), additions too."""
    rows, *rest = shape
    columns = 1
    for length in rest:
        columns *= length
    small, large = sorted((rows, columns))
    products = 2 * STEPS + 2 * (STEPS - 1)  # of two small squares
    return 2 * small * small * (2 * large + products * small)


class Muon(torch.optim.Optimizer):
    """Muon for kernels, Nesterov's SGD for all else, in one optimizer.

    A kernel (out, …) is taken as a matrix of out rows. Before each step it is scaled so that its
    rows have norm 1 on average (root of the mean square): its length means nothing before a norm,
    and so a learning rate is the angle by which a step turns it.

    Jordan's rates for SGD hang on batch size and momentum. Here a rate is what one image's gradient
    moves a parameter by in all, over the steps in which momentum repeats it: a step is
    rate x (1 - momentum) x (sum over the batch's images).

    Args:
        groups: of parameters, each with `lr`, `momentum`, and `orthogonal`, whether it holds
            kernels; the others' gradients have to be sums over images.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": 0.0, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that lie in the parameters; `closure` is not used."""
        for group in self.param_groups:
            momentum, rate = group["momentum"], group["lr"]
            parameters = [each for each in group["params"] if each.grad is not None]
            if not parameters:
                continue
            gradients = [each.grad for each in parameters]
            moving = [self._moving(each) for each in parameters]
            torch._foreach_mul_(moving, momentum)
            torch._foreach_add_(moving, gradients)
            ahead = torch._foreach_add(gradients, moving, alpha=momentum)
            if not group["orthogonal"]:
                torch._foreach_add_(parameters, ahead, alpha=-rate * (1 - momentum))
                continue
            for parameter, direction in zip(parameters, ahead, strict=True):
                length = len(parameter) ** 0.5
                parameter.mul_(length / parameter.norm().clamp_min(_TINY))
                turned = orthogonalised(_matrix(direction)).to(parameter.dtype)
                _matrix(parameter).sub_(turned, alpha=rate)

    def _moving(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        moving: Tensor = state["momentum"]
        return moving


def _matrix(kernel: Tensor) -> Tensor:
    """A view (out, …) of a kernel in the order of its memory, channels-last or not.

    The order of a matrix' columns changes nothing about its singular values.
    """
    if kernel.dim() == 4:
        kernel = kernel.permute(0, 2, 3, 1)
        if not kernel.is_contiguous():
            kernel = kernel.permute(0, 3, 1, 2)
    return kernel.view(len(kernel), -1)
