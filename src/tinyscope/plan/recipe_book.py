"""The named recipes, each a function that says where it comes from and what it is for."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tinyscope.errors import InputError, unknown
from tinyscope.plan.recipe import Recipe

WHITENED = ("whitened-cnn", "whitened-cnn-folded")
"""The models that a recipe's widths and depth shape."""


def plain() -> Recipe:
    """The defaults: a compact network with SGD, no augmentation, 20 epochs."""
    return Recipe()


def compact() -> Recipe:
    """The compact network in 6 epochs of one-cycle SGD, with mirrored and shifted images.

    Super-convergence (Smith and Topin, arXiv 1708.07120) is why 6 epochs are enough. The measured
    accuracy and seconds of every variation stand in `results/`.
    """
    return Recipe(
        model="compact-cnn",
        horizontal_flip=True,
        shift=2,
        learning_rate=0.2,
        schedule="one-cycle",
        warmup=0.25,
        epochs=6,
        batch_size=256,
    )


def resnet() -> Recipe:
    """ResNet-20 as its paper trains it on CIFAR, in 20 epochs instead of 164.

    He et al. 2015 (arXiv 1512.03385, section 4.2): SGD with momentum 0.9, weight decay 1e-4,
    batch 128, rate 0.1, mirrored images shifted by at most 4 pixels. Differs: cosine schedule,
    weight decay spares norms, reflected instead of black borders.
    """
    return Recipe(
        model="resnet-20",
        horizontal_flip=True,
        shift=4,
        nesterov=False,
        weight_decay=1e-4,
        schedule="cosine",
        epochs=20,
    )


def _speed(**choices: Any) -> Recipe:
    """What the fast recipes share.

    Ingredients of Jordan 2024 (arXiv 2404.00498) and of its later record with Muon; sources of the
    parts stand where they are written. Differs, each after experiments that `docs/experiments.md`
    keeps: training begins with smaller images, which costs less for the same accuracy; the
    whitening layer has no bias; no weight decay; small batches, which a CPU takes as fast as large
    ones.
    """
    return Recipe(
        horizontal_flip=True,
        alternating_flip=True,
        optimizer="muon",
        momentum=0.6,
        weight_decay=0.0,
        schedule="linear",
        test_views="mirrored-and-moved",
        **{"model": "whitened-cnn", "shift": 2, "label_smoothing": 0.2, **choices},
    )


_HARDER: dict[str, Any] = {
    "hardest_share": 0.667,
    "proxy_widths": (16, 32, 32),
    "proxy_size": 0.5,
}
"""Two thirds of each batch are learnt from, chosen by a far smaller network (`docs/experiments.md`:
how large it is hardly matters)."""


def sprint() -> Recipe:
    """A small whitened CNN in 2 epochs: the quickest answer that is worth looking at.

    Whitening is folded into the first convolution, which saves small networks a tenth of their
    time. 0.0054 PFLOP of training on 50,000 images of 32x32. Measured accuracy and seconds stand in
    `results/`, the experiments behind the choices in `docs/experiments.md`.
    """
    return _speed(
        model="whitened-cnn-folded",
        widths=(32, 64, 128),
        learning_rate=0.2,
        label_smoothing=0.1,
        training_sizes=(0.625, 0.75, 1.0, 1.0),
        epochs=2,
        batch_size=250,
    )


def quick() -> Recipe:
    """A whitened CNN in 7 epochs of the harder two thirds: nine in ten of CIFAR-10, in a minute.

    0.026 PFLOP of training on 50,000 images of 32x32. See `sprint` for where its figures stand, and
    for its first convolution. A small network beside it chooses the images that each step learns
    from (`training.proxy`).
    """
    return _speed(
        model="whitened-cnn-folded",
        widths=(32, 128, 128),
        learning_rate=0.2,
        training_sizes=(0.625, 0.75, 1.0, 1.0),
        epochs=7,
        batch_size=750,
        **_HARDER,
    )


def standard() -> Recipe:
    """The whitened CNN at the widths of Jordan's record, in 14 epochs of the harder two thirds.

    0.21 PFLOP of training on 50,000 images of 32x32. See `sprint` for where its figures stand, and
    `quick` for the choice of images.
    """
    return _speed(
        widths=(64, 256, 256),
        learning_rate=0.2,
        training_sizes=(0.625, 0.75, 1.0, 1.0),
        epochs=14,
        batch_size=750,
        **_HARDER,
    )


def _accurate(**choices: Any) -> Recipe:
    """What the two slow ones of the fast recipes share."""
    return _speed(
        depth=3,
        cutout=8,
        shift=4,
        learning_rate=0.2,
        training_sizes=(0.625, 0.75, 1.0, 1.0),
        **choices,
    )


def accurate() -> Recipe:
    """A wide whitened CNN with shortcuts in 14 epochs: five to six times the work of `standard`.

    1.20 PFLOP of training on 50,000 images of 32x32. What was tried at this cost stands in
    `docs/experiments.md`. See `sprint` for where its figures stand. A third convolution in each
    group, with a shortcut, cut-out squares and the choice of harder images are in Jordan's recipe
    for 96% too (arXiv 2404.00498 and its code); smaller images first and Muon are not, nor that the
    last fifth of the steps is aware of sharpness and its weights are averaged.
    """
    return _accurate(
        widths=(128, 512, 512),
        epochs=14,
        batch_size=1500,
        hardest_share=0.667,
        proxy_widths=(24, 64, 64),
        proxy_size=1.0,
        sam_steps=0.2,
        sam_radius=0.3,
        sam_share=0.125,
        averaged_steps=0.2,
    )


def many_classes() -> Recipe:
    """Wider in the last group, in 8 epochs of all images: for a hundred classes or so.

    At the record's rate. 0.19 PFLOP of training on 50,000 images of 32x32. See `sprint` for where
    its figures stand, on CIFAR-100.
    """
    return _speed(
        widths=(64, 256, 448),
        learning_rate=0.24,
        training_sizes=(0.625, 0.75, 0.75, 1.0),
        epochs=8,
        batch_size=500,
    )


def many_classes_accurate() -> Recipe:
    """With shortcuts and a wider last group, in 15 epochs: for a hundred classes or so.

    1.15 PFLOP of training on 50,000 images of 32x32. See `sprint` for where its figures stand, on
    CIFAR-100.
    """
    return _accurate(widths=(96, 384, 512), epochs=15, batch_size=1000)


def transfer() -> Recipe:
    """Logistic regression on what a backbone sees that comes along: for few images a class.

    An image is brought to 32 pixels, the only size that this backbone has seen, and passes it once,
    0.3 GFLOP. Once the validation images have chosen, they are learnt from too: they are a tenth of
    few. The backbone was trained on CIFAR-100; its model card stands beside its weights,
    measured accuracy in `results/`. Another backbone may want another `backbone_size`.
    """
    return Recipe(
        model="transfer",
        backbone="cifar100-backbone",
        backbone_size=32,
        classifier="logistic-regression",
        refit=True,
        epochs=1,
    )


def fine_tuning() -> Recipe:
    """The backbone that comes along with a new dense layer, all of it trained, slower below.

    For 100 images a class and more, from a quarter of a minute on; with 20, `transfer` is better.
    Measured accuracy stands in `results/`, the experiments in `docs/experiments.md`.
    """
    return Recipe(
        model="transfer",
        backbone="cifar100-backbone",
        backbone_size=32,
        head=("batchnorm",),
        initializer="zero-output",
        unfrozen_blocks=4,
        unfrozen_rate=0.5,
        horizontal_flip=True,
        shift=2,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.01,
        schedule="linear",
        warmup=0.1,
        label_smoothing=0.2,
        epochs=10,
        batch_size=50,
        test_views="mirrored",
    )


def keras_rmsprop() -> Recipe:
    """What Keras does with RMSprop when nothing else is said.

    Glorot-uniform kernels, zero biases, pixels / 255, batches of 32, rate 0.001.
    """
    return Recipe(
        initializer="glorot-uniform",
        normalization="unit",
        optimizer="rmsprop",
        learning_rate=1e-3,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        epochs=15,
        batch_size=32,
    )


def keras_adam() -> Recipe:
    """What Keras does with Adam when nothing else is said."""
    return keras_rmsprop().changed({"optimizer": "adam"})


def keras_sgd() -> Recipe:
    """What Keras does with SGD when nothing else is said: rate 0.01, no momentum."""
    return keras_rmsprop().changed({"optimizer": "sgd", "learning_rate": 0.01})


RECIPES: dict[str, Callable[[], Recipe]] = {
    "plain": plain,
    "compact": compact,
    "resnet": resnet,
    "sprint": sprint,
    "quick": quick,
    "standard": standard,
    "accurate": accurate,
    "many-classes": many_classes,
    "many-classes-accurate": many_classes_accurate,
    "transfer": transfer,
    "fine-tuning": fine_tuning,
    "keras-rmsprop": keras_rmsprop,
    "keras-adam": keras_adam,
    "keras-sgd": keras_sgd,
}


class Measured(NamedTuple):
    """What a recipe reached on CIFAR-10, trained on all 50,000 images; means over its seeds."""

    accuracy: float
    """Share of the 10,000 test images, with the recipe's own views."""
    one_view: float
    """The same, with a single look at each image."""
    flop: float
    """Of the training, in floating-point operations by formula."""
    parameters: int
    record: str
    """The folder of `results/` that holds it."""


_TIME_TO_ACCURACY = "2026-11-29_time-to-accuracy_2-core-xeon-amx"

MEASURED = {
    "sprint": Measured(0.8541, 0.8430, 0.00544e15, 291_328, _TIME_TO_ACCURACY),
    "quick": Measured(0.9088, 0.8971, 0.0255e15, 494_336, _TIME_TO_ACCURACY),
    "standard": Measured(0.9414, 0.9315, 0.208e15, 1_972_768, _TIME_TO_ACCURACY),
}
"""By recipe: what findings and suggestions say that is possible."""


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RECIPES:
        raise InputError(unknown("recipe", name, RECIPES, see="tinyscope list recipes"))
    return RECIPES[name]()
