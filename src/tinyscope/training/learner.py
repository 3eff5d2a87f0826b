"""A network that learns: its loss, its optimizer, and how its device computes a pass."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.data.augmentation import shrunk
from tinyscope.evaluation.predict import forward
from tinyscope.plan.recipe import Recipe
from tinyscope.training.checkpoint import optimizer_state, restore_optimizer
from tinyscope.training.cuda_graph import CudaGraphPass, Pass
from tinyscope.training.optimizers import build_optimizer, check_backbone, hidden_kernels
from tinyscope.training.replayed_pass import ReplayedPass
from tinyscope.training.sharpness import SharpnessAwarePass, statistics_kept


class Learner:
    """A network that learns from one batch after another.

    Args:
        network: takes pixels (n, H, W, C), or features (n, F); on the device that it learns on.
        recipe: its precision is decided.
        class_weights: (K,) of the loss, on the device, each image's loss being multiplied with that
            of its class before the mean is taken; None weighs all classes alike.

    Raises:
        InputError: Muon is to train a backbone that it would spoil (`check_backbone`).
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, *, class_weights: Tensor | None = None
    ) -> None:
        check_backbone(recipe, network)
        self.network = network
        self._recipe = recipe
        self._class_weights = class_weights
        self._optimizer = build_optimizer(recipe, network)
        self._pass = _pass(self._forward_and_backward, network)
        # A network of one layer has no hidden kernels: there, its own is moved.
        kernels = [each for each in network.parameters() if each.requires_grad and each.dim() > 1]
        self._sharpness_aware = SharpnessAwarePass(
            self._pass, _pass(self._ascent, network), hidden_kernels(network) or kernels, recipe
        )

    def step(
        self,
        pixels: Tensor,
        labels: Tensor,
        *,
        rate: float,
        share: float,
        sharpness_aware: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """One step of the optimizer.

        Args:
            pixels: (n, H, W, C) in 0 … 255, or features (n, F), on the device.
            labels: int64 (n,), on the device.
            rate: the schedule's factor of the learning rates.
            share: of either side of the images at which the network sees them.
            sharpness_aware: whether gradients are those of a place near by (`SharpnessAwarePass`).

        Returns:
            The batch's mean loss, and how many of its images were right, before the step; where it
            is aware of sharpness, at the place that gradients are taken at.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
        self._optimizer.zero_grad()
        compute = self._sharpness_aware if sharpness_aware else self._pass
        loss, right = compute(shrunk(pixels, share), labels)
        self._optimizer.step()
        return loss, right

    def _ascent(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with statistics_kept(self.network):
            return self._forward_and_backward(pixels, labels)

    def _forward_and_backward(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Leaves the gradients of a batch in the parameters; answers what `step` does."""
        logits = forward(self.network, pixels, precision=self._recipe.precision).float()
        smoothing, weights = self._recipe.label_smoothing, self._class_weights
        if weights is None:
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        else:
            # Not through torch's own weights: it divides by those of the batch, and gives the share
            # that smoothing takes to other classes their weights. Where one class is ten times as
            # frequent as another, its images would then be taught to be of the other.
            losses = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
            loss = (losses * weights.index_select(0, labels)).mean()
        # Muon's rates are stated for sums over images.
        (loss * len(labels) if self._recipe.optimizer == "muon" else loss).backward()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """Everything that changes: the network's tensors, the optimizer's, and its values."""
        return self.network.state_dict(), *optimizer_state(self._optimizer)

    def restore(
        self, network: dict[str, Tensor], optimizer: dict[str, Tensor], values: dict[str, Any]
    ) -> None:
        """Puts back what `state` took."""
        self.network.load_state_dict(network)
        restore_optimizer(self._optimizer, optimizer, values)


def _pass(compute: Pass, network: nn.Module) -> Pass:
    """A pass as its device computes it fastest."""
    parameters = list(network.parameters())
    device = parameters[0].device.type
    if device == "cuda":
        return CudaGraphPass(compute, parameters)
    return ReplayedPass(compute, parameters) if device == "cpu" else compute
