"""A small network that chooses which images of a batch a larger one learns from."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.data.augmentation import shrunk
from tinyscope.evaluation.predict import forward
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import sprint
from tinyscope.training.cuda_graph import CudaGraphPass
from tinyscope.training.learner import Learner
from tinyscope.training.schedules import rate_factor, size_share

_STEPS_BETWEEN = 4
"""The proxy learns in every fourth step, as Jordan's does: it is to cost little."""


def proxy_recipe(recipe: Recipe) -> Recipe:
    """How the proxy of a recipe is trained: much as `sprint` is, beside the network itself.

    What concerns images and labels is the recipe's; network, optimizer and schedule are not.
    """
    return sprint().changed(
        {
            "model": "whitened-cnn",  # folded, one of few channels tells less apart
            "widths": recipe.proxy_widths,
            "training_sizes": recipe.training_sizes,
            "normalization": recipe.normalization,
            "label_smoothing": recipe.label_smoothing,
            "class_weights": recipe.class_weights,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "precision": recipe.precision,
        }
    )


class Proxy:
    """Chooses the hardest images of a batch: those with the highest loss of a small network.

    With class weights, the losses are weighted as those that are learnt from.

    The small network is trained beside the larger one, on some of what it has chosen. After the
    recipe for 96% in the code of Jordan 2024 (arXiv 2404.00498), whose proxy is trained beforehand;
    "Selection via Proxy" is the title of Coleman et al. 2020 (arXiv 1906.11829).

    Args:
        network: the small one, made by `proxy_recipe`, on the device.
        recipe: of the larger network.
        steps_per_epoch: of both.
        class_weights: of both, see `Learner`.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        steps_per_epoch: int,
        class_weights: Tensor | None = None,
    ) -> None:
        self._recipe = recipe
        self._own = proxy_recipe(recipe)
        self.learner = Learner(network.train(), self._own, class_weights=class_weights)
        self._class_weights = class_weights
        self._steps_per_epoch = steps_per_epoch
        device = next(network.parameters()).device
        self._sound = torch.ones((), dtype=torch.bool, device=device)
        self._losses = (
            CudaGraphPass(self._computed, []) if device.type == "cuda" else self._computed
        )

    def hardest(self, pixels: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """The images that the larger network is to learn from.

        Args:
            pixels: (n, H, W, C) in 0 … 255, on the device.
            labels: int64 (n,), on the device.
            number: of the step, from 0 over all epochs.

        Returns:
            `Recipe.learnt_from(n)` of the images and their labels, in their order.
        """
        share = seen_share(self._recipe, number, steps_per_epoch=self._steps_per_epoch)
        pixels, labels = self.chosen(pixels, labels, share)
        if learns(number):
            rate = rate_factor(self._own, number, steps_per_epoch=self._steps_per_epoch)
            self.learner.step(pixels, labels, rate=rate, share=share)
        return pixels, labels

    def chosen(self, pixels: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """What `hardest` gives, by images seen at a share of their side; the proxy learns nothing.

        Args:
            pixels: see `hardest`.
            labels: see `hardest`.
            share: of either side.
        """
        (losses,) = self._losses(shrunk(pixels, share), labels)
        self._sound &= losses.isfinite().all()
        chosen = losses.topk(self._recipe.learnt_from(len(labels))).indices.sort().values
        return pixels[chosen], labels[chosen]

    def _computed(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            logits = forward(self.learner.network, pixels, precision=self._own.precision)
            losses = F.cross_entropy(logits.float(), labels, reduction="none")
            if self._class_weights is not None:
                # The proxy knows a rare class the better, the more it weighs: unweighted, its
                # images would count as easy and be left out.
                losses = losses * self._class_weights.index_select(0, labels)
            return (losses,)

    @property
    def sound(self) -> bool:
        """Whether every loss that it has chosen by was a number."""
        return bool(self._sound)


def seen_share(recipe: Recipe, number: int, *, steps_per_epoch: int) -> float:
    """The share of the images' side at which a step's proxy sees them: at most the network's."""
    return min(size_share(recipe, number, steps_per_epoch=steps_per_epoch), recipe.proxy_size)


def learns(number: int) -> bool:
    """Whether a proxy learns from what it has chosen in the step of that number."""
    return number % _STEPS_BETWEEN == 0
