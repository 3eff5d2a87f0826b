"""The network that a training starts from: built, normalizing, fitted to the images."""

import numpy as np
import torch
from torch import Tensor, nn

from tinyscope.data.augmentation import shrunk
from tinyscope.data.dataset import Preprocessing, Splits
from tinyscope.data.normalization import channel_statistics
from tinyscope.errors import InputError
from tinyscope.models import zoo
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.whitened_cnn import WhitenedCNN
from tinyscope.plan.recipe import Recipe

_IMAGES_TO_START_FROM = 2000
_PIXELS_TO_START_FROM = 2000 * 64 * 64
"""At most, spread over the training images, from which first filters are taken."""


def untrained(data: Splits, recipe: Recipe) -> tuple[PixelInput, Tensor]:
    """The recipe's network for that data, and the mean colour (C,) of the training images.

    Weights come from torch's global generator.

    Raises:
        InputError: there is no such model, or it does not fit the images or the recipe's sizes of
            batches and images; or it begins with a backbone.
    """
    if recipe.model == zoo.TRANSFER:
        raise InputError(
            'model = "transfer" begins with a backbone, which only a study loads: use '
            "tinyscope.run, or another recipe."
        )
    mean, deviation = channel_statistics(data.train.images)
    shape = data.train.preprocessing
    network = built(recipe, shape, len(data.train.class_names))
    if recipe.normalization == "unit":
        wrapped = PixelInput(network, mean=[0.0] * len(mean), deviation=[255.0] * len(mean))
    else:
        wrapped = PixelInput(network, mean=mean.tolist(), deviation=deviation.tolist())
    if isinstance(network, WhitenedCNN):
        few = _PIXELS_TO_START_FROM // (shape.height * shape.width)
        some = data.train.images[:: -(-len(data.train) // min(_IMAGES_TO_START_FROM, few))]
        network.initialise_from(wrapped.normalized(torch.from_numpy(np.ascontiguousarray(some))))
    refuse_unfit(wrapped, recipe, shape)
    return wrapped, torch.from_numpy(mean).float()


def built(recipe: Recipe, shape: Preprocessing, classes: int) -> nn.Module:
    """The recipe's network for such images, with weights from torch's global generator.

    Raises:
        InputError: there is no such model, or the images are too small for it.
    """
    return zoo.build(
        recipe.model,
        layers=recipe.layers,
        widths=recipe.widths,
        depth=recipe.depth,
        initializer=recipe.initializer,
        channels=shape.channels,
        classes=classes,
        height=shape.height,
        width=shape.width,
    )


def refuse_unfit(network: nn.Module, recipe: Recipe, shape: Preprocessing) -> None:
    """Refuses a training that would fail at its first batch; leaves the network in training mode.

    Args:
        network: takes pixels (N, H, W, C).
        recipe: of the training.
        shape: of the images.

    Raises:
        InputError: the network does not fit the recipe's sizes of batches and images.
    """
    _refuse_single_images(network.train(), recipe)
    _refuse_unfit_sizes(network, recipe, shape)


def _refuse_single_images(network: nn.Module, recipe: Recipe) -> None:
    if recipe.batch_size == 1 and any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
        for module in network.modules()
    ):
        raise InputError(
            f"batch_size = 1 does not go with {recipe.model}, whose batch norm compares the "
            "images of a batch. Use 2 or more; 32 is usual."
        )


def _refuse_unfit_sizes(network: nn.Module, recipe: Recipe, shape: Preprocessing) -> None:
    """Refuses where the network does not take the smallest of the training sizes.

    Which ones it takes is not known beforehand: dense layers after "flatten" fit one size alone.
    """
    whole = next(network.buffers()).new_zeros((1, *shape))
    pixels = shrunk(whole, min(recipe.training_sizes, default=1.0))
    if pixels is whole:
        return
    try:
        with torch.inference_mode():
            network.eval()(pixels)
    except RuntimeError:
        sizes = ", ".join(f"{share:g}" for share in recipe.training_sizes)
        raise InputError(
            f"training_sizes = [{sizes}] does not go with {recipe.model}, which does not take "
            f"images of {pixels.shape[2]}x{pixels.shape[1]}. training_sizes = [] trains at full "
            "size; whitened-cnn takes all sizes."
        ) from None
    network.train()
