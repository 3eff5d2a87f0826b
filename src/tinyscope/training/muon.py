"""Muon: momentum, then the nearest orthogonal matrix, as the step of a kernel."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (
    (7.36253, -20.74344, 15.16059),
    (2.91754, -2.18241, 0.47553),
    (2.04631, -1.42947, 0.39335),
)
"""Of the three steps' quintics a x + b x^3 + c x^5. Each is the one that brings the singular values
left by those before it nearest to 1, the first those from 0.03 to 1: they end within 4% of it."""
STEPS = len(COEFFICIENTS)
_TINY = 1e-7
_ROOM = 1.01
"""Singular values start below 1 by as much as bfloat16 may put them above it."""


def orthogonalised(
    matrices: Sequence[Tensor], *, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """About the orthogonal matrices nearest to some.

    Newton-Schulz iteration, as in Jordan et al. 2024, "Muon: An optimizer for hidden layers in
    neural networks", with polynomials that differ from step to step, chosen one after the other as
    in Amsel et al. 2025, "The Polar Express" (arXiv 2505.16932): three of these leave singular
    values of a thirtieth of the matrix' norm and more in 0.96 … 1.04, where five of Jordan's leave
    them in 0.7 … 1.2; smaller ones are multiplied by up to 44. In bfloat16, matrices of equal
    singular values came to 0.83 … 1.16. X <- (a + b X X' + c (X X')^2) X is a polynomial of
    G = X X' times X, and polynomials of G commute: here the steps run on the small square G, all
    squares of a size at once, and X is multiplied once, at the end. For a kernel of 256 x 2,304
    that is 0.9 GFLOP instead of 3.2. Five steps of Jordan's would not bear bfloat16 in
    this form: what it rounds off near 0 they multiply by 500. torch.optim.Muon takes 2-dimensional
    parameters only and iterates on X, one kernel at a time.

    Args:
        matrices: float (R, C) each, of any shapes.
        dtype: of the products, float32 or bfloat16.

    Returns:
        float32 (R, C) each.
    """
    wide = [each.T if each.shape[0] > each.shape[1] else each for each in matrices]
    wide = [(each / (_ROOM * each.float().norm() + _TINY)).to(dtype) for each in wide]
    answers = list(wide)
    for rows in sorted({len(each) for each in wide}):
        places = [place for place, each in enumerate(wide) if len(each) == rows]
        products = _polynomials(torch.stack([wide[place] @ wide[place].T for place in places]))
        for place, product in zip(places, products, strict=True):
            answers[place] = (product @ wide[place]).float()
    return [
        answer.T if matrix.shape[0] > matrix.shape[1] else answer
        for matrix, answer in zip(matrices, answers, strict=True)
    ]


def _polynomials(grams: Tensor) -> Tensor:
    """What the iteration multiplies each X by, from G = X X' (B, R, R)."""
    product = None
    for step, (a, b, c) in enumerate(COEFFICIENTS):
        polynomial = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        product = polynomial if product is None else polynomial @ product
        if step < STEPS - 1:
            grams = polynomial @ grams @ polynomial
    assert product is not None
    return product


def flop(shape: Sequence[int]) -> int:
    """Floating-point operations of `orthogonalised` for a kernel (out, in, …), additions too."""
    small, large = sorted((shape[0], prod(shape[1:])))
    squares = STEPS + (STEPS - 1) + 2 * (STEPS - 1)  # products of two small squares
    return 2 * small * small * (2 * large + squares * small)


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
        dtype: in which kernels are orthogonalised; momentum and kernels keep their own.
    """

    def __init__(self, groups: list[dict[str, Any]], *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": 0.0, "orthogonal": False})
        self._dtype = dtype

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
            turns = orthogonalised([_matrix(each) for each in ahead], dtype=self._dtype)
            for parameter, turn in zip(parameters, turns, strict=True):
                length = len(parameter) ** 0.5
                parameter.mul_(length / parameter.norm().clamp_min(_TINY))
                parameter.sub_(_kernel(turn, parameter.shape).to(parameter.dtype), alpha=rate)

    def _moving(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        moving: Tensor = state["momentum"]
        return moving


def _matrix(kernel: Tensor) -> Tensor:
    """(out, …) of a kernel; of one that lies channels-last, a view.

    The order of a matrix' columns changes nothing about its singular values.
    """
    return (kernel.permute(0, 2, 3, 1) if kernel.dim() == 4 else kernel).flatten(1)


def _kernel(matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """A view of what `_matrix` made of a kernel of that shape, as the kernel."""
    if len(shape) != 4:
        return matrix.view(shape)
    out, channels, height, width = shape
    return matrix.view(out, height, width, channels).permute(0, 3, 1, 2)
