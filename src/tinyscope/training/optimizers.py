"""Optimizers by name: torch's fused ones, Muon, and RMSprop in Keras' form."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tinyscope.errors import InputError
from tinyscope.models.transfer import TransferNetwork
from tinyscope.models.whitened_cnn import MeanLinear
from tinyscope.plan.recipe import Recipe
from tinyscope.training.muon import Muon

_Tensors = list[Tensor] | tuple[Tensor, ...]
_OTHER_LENGTH = 0.25
"""From where on a kernel's length is not Muon's, whose steps leave it within their rate."""


def build_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over the network's trainable parameters.

    Each group holds its rate before any schedule as `initial_lr`. Weight decay is for kernels only:
    biases, and scale and offset of norms, have one dimension and go without. The backbone of a
    `TransferNetwork` learns at `unfrozen_rate` times the rate of the rest.
    """
    optimizer = _muon(recipe, network) if recipe.optimizer == "muon" else _built(recipe, network)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def check_backbone(recipe: Recipe, network: nn.Module) -> None:
    """Refuses a training that would spoil a backbone before it has learnt anything.

    Raises:
        InputError: Muon is to train a backbone whose kernels have other lengths than it gives them.
    """
    if recipe.optimizer != "muon":
        return
    for kernel in _of_backbones(network):
        if kernel.requires_grad and kernel.dim() > 1:
            length = kernel.norm().item() / len(kernel) ** 0.5
            if abs(length - 1) > _OTHER_LENGTH:
                raise InputError(
                    'optimizer = "muon" scales every kernel to a length of its own, and this '
                    'backbone answers by the lengths that its kernels have: use "adamw", as the '
                    'recipe "fine-tuning" does, or another optimizer.'
                )


def hidden_kernels(network: nn.Module) -> list[nn.Parameter]:
    """The trainable kernels of a network but for that of its last dense layer."""
    head = {layer.weight for layer in _last(network)}
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [each for each in trainable if each.dim() > 1 and each not in head]


def _last(network: nn.Module) -> list[nn.Linear]:
    """The last dense layer, if there is one."""
    return [each for each in network.modules() if isinstance(each, nn.Linear)][-1:]


def _muon(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    last = _last(network)
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    kernels = hidden_kernels(network)
    head = [each for each in trainable if each.dim() > 1 and each not in set(kernels)]
    offsets = [each for each in trainable if each.dim() <= 1]
    head_rate, offset_rate = recipe.head_learning_rate, recipe.offset_learning_rate
    if last and not isinstance(last[0], MeanLinear):
        # The rates are stated for means over n inputs, W x / n with W of deviation 1. Of a plain
        # V x, V = W / n: its rate is 1 / n^2 of that; and the gradient that it passes on is that
        # of rows with squared norm 2 (He) instead of 1 / n.
        head_rate /= last[0].in_features ** 2
        offset_rate /= 2 * last[0].in_features
    sgd = {"momentum": recipe.sgd_momentum, "orthogonal": False}
    groups: list[dict[str, Any]] = [
        {
            "params": kernels,
            "lr": recipe.learning_rate,
            "momentum": recipe.momentum,
            "orthogonal": True,
        },
        {"params": head, "lr": head_rate, **sgd},
        {"params": offsets, "lr": offset_rate, **sgd},
    ]
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    return Muon(_slower_in_backbone(groups, recipe, network), dtype=dtype)


def _of_backbones(network: nn.Module) -> set[Tensor]:
    """The parameters of the backbones in a network."""
    return {
        parameter
        for module in network.modules()
        if isinstance(module, TransferNetwork)
        for parameter in module.backbone.parameters()
    }


def _built(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    kernels = [parameter for parameter in trainable if parameter.dim() > 1]
    others = [parameter for parameter in trainable if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": recipe.weight_decay, "lr": recipe.learning_rate},
        {"params": others, "weight_decay": 0.0, "lr": recipe.learning_rate},
    ]
    groups = _slower_in_backbone(groups, recipe, network)
    rate = recipe.learning_rate
    betas = (recipe.beta_1, recipe.beta_2)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, rate, recipe.momentum, nesterov=recipe.nesterov, fused=True)
    if recipe.optimizer == "rmsprop":
        return RMSprop(
            groups, rate, rho=recipe.rho, momentum=recipe.momentum, epsilon=recipe.epsilon
        )
    # Keras' Adam adds epsilon before it corrects the bias of the second moment: with 1e-7, a
    # difference below 1e-4 of a step after the first hundred.
    adam = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return adam(groups, rate, betas, recipe.epsilon, fused=True)


def _slower_in_backbone(
    groups: list[dict[str, Any]], recipe: Recipe, network: nn.Module
) -> list[dict[str, Any]]:
    """The groups that have parameters, those of a backbone as groups of their own."""
    backbone = _of_backbones(network)
    split = []
    for group in groups:
        inside = [each for each in group["params"] if each in backbone]
        outside = [each for each in group["params"] if each not in backbone]
        split.append({**group, "params": outside})
        split.append({**group, "params": inside, "lr": group["lr"] * recipe.unfrozen_rate})
    return [group for group in split if group["params"]]


class RMSprop(torch.optim.Optimizer):
    """RMSprop as Keras defines it: epsilon is added below the root.

    v = rho v + (1 - rho) g^2;  step = lr g / sqrt(v + epsilon), through momentum where given.

    Tieleman and Hinton 2012 (lecture 6.5 of "Neural Networks for Machine Learning") leave epsilon
    open. torch adds it to the root instead, which with Keras' 1e-7 takes steps up to 3,000 times as
    long where gradients are small: a network that learns in Keras may diverge.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        *,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "momentum": momentum,
                "epsilon": epsilon,
                "weight_decay": weight_decay,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that lie in the parameters; `closure` is not used."""
        for group in self.param_groups:
            parameters = [each for each in group["params"] if each.grad is not None]
            if not parameters:
                continue
            gradients: _Tensors = [each.grad for each in parameters]
            squares = [self._state(each, "square") for each in parameters]
            if group["weight_decay"]:
                gradients = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])
            torch._foreach_mul_(squares, group["rho"])
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["rho"])
            roots = torch._foreach_add(squares, group["epsilon"])
            torch._foreach_sqrt_(roots)
            if not group["momentum"]:
                torch._foreach_addcdiv_(parameters, gradients, roots, -group["lr"])
                continue
            moving = [self._state(each, "momentum") for each in parameters]
            torch._foreach_mul_(moving, group["momentum"])
            torch._foreach_addcdiv_(moving, gradients, roots, group["lr"])
            torch._foreach_sub_(parameters, moving)

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]
