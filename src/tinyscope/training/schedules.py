"""Learning rate and image size over a training, as pure functions of the step."""

import math

from tinyscope.plan.recipe import Recipe


def rate_factor(recipe: Recipe, step: int, *, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied by at a step.

    Args:
        recipe: its schedule, warmup, step_epochs, step_factor and epochs are read.
        step: from 0 to epochs x steps_per_epoch - 1.
        steps_per_epoch: at least 1.

    Returns:
        constant: 1. step: step_factor to the power of the whole step_epochs passed. linear: a line
        from 0 up to 1 over the warmup, then a line down to 0. cosine: the same rise, then half a
        cosine to 0 (Loshchilov and Hutter, arXiv 1608.03983, equation 5, one cycle). one-cycle:
        half a cosine from 1/25 up to 1 over the warmup, then half a cosine down to 1/250,000 (Smith
        and Topin, arXiv 1708.07120, with the shape of torch's OneCycleLR; momentum stays as it is).
        Where weights are averaged, the factor stays what it was when that began.
    """
    total = recipe.epochs * steps_per_epoch
    if recipe.averaged_steps:
        step = min(step, _begin(recipe.averaged_steps, total))
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "step":
        return recipe.step_factor ** (step // (recipe.step_epochs * steps_per_epoch))
    if recipe.schedule in ("linear", "cosine"):
        rise = recipe.warmup * total
        if step < rise:
            return (step + 1) / (rise + 1)
        fallen = (step - rise) / max(total - rise, 1)
        return 1 - fallen if recipe.schedule == "linear" else _between(1.0, 0.0, fallen)
    peak = recipe.warmup * total - 1
    if step <= peak:
        return _between(1 / 25, 1.0, step / max(peak, 1))
    return _between(1.0, 1 / 250_000, (step - peak) / max(total - 1 - peak, 1))


def size_share(recipe: Recipe, step: int, *, steps_per_epoch: int) -> float:
    """The share of the images' side at which a step sees them.

    Args:
        recipe: its training_sizes and epochs are read.
        step: see `rate_factor`.
        steps_per_epoch: at least 1.
    """
    if not recipe.training_sizes:
        return 1.0
    stages = len(recipe.training_sizes)
    return recipe.training_sizes[step * stages // (recipe.epochs * steps_per_epoch)]


def is_averaged(recipe: Recipe, step: int, *, steps_per_epoch: int) -> bool:
    """Whether the weights after a step are among those that are averaged; see `rate_factor`."""
    return step >= _begin(recipe.averaged_steps, recipe.epochs * steps_per_epoch)


def is_sharpness_aware(recipe: Recipe, step: int, *, steps_per_epoch: int) -> bool:
    """Whether a step takes its gradients where the loss is higher; see `rate_factor`."""
    return step >= _begin(recipe.sam_steps, recipe.epochs * steps_per_epoch)


def _begin(share: float, total: int) -> int:
    """The first of the last `share` of `total` steps, one step at least; `total` where it is 0."""
    return total - max(1, round(share * total)) if share else total


def _between(start: float, end: float, share: float) -> float:
    """Along half a cosine from `start` (share 0) to `end` (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
