"""What is known to be possible on CIFAR-10 and CIFAR-100, each figure with its source.

Logistic regression was measured for this table: scikit-learn 1.9.1's `LogisticRegression` on the
3,072 pixel values of an image, from 0 to 1 as float32, fitted once to all 50,000 training images.
On CIFAR-10 with max_iter=100, 4,073 of 10,000 test images right; on CIFAR-100 with max_iter=50,
1,777. Neither had converged.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinyscope.data.families import families_of
from tinyscope.diagnosis.augmentation_evidence import CIFAR10


class KnownResult(NamedTuple):
    """One published result."""

    accuracy: float
    """On the 10,000 test images, as a fraction, unless the condition says otherwise."""
    method: str
    source: str
    """Who, when and where."""
    condition: str = ""
    """What has to be known to compare it: other images, other data learnt from, the time."""


_HERE = "measured for this table"
_COATES = "Coates, Lee and Ng, AISTATS 2011"
_CUDA = "Krizhevsky, Sutskever and Hinton, NIPS 2012"
_NIN = "Lin, Chen and Yan, ICLR 2014"
_GRAHAM = "Graham, interview after the Kaggle competition, 2014"
_WIDE = "Zagoruyko and Komodakis, BMVC 2016"
_DENSE = "Huang, Liu, van der Maaten and Weinberger, CVPR 2017"
_AUGMENT = "Cubuk, Zoph, Mané, Vasudevan and Le, CVPR 2019"
_VIT = "Dosovitskiy and others, ICLR 2021"
_SAM = "Foret, Kleiner, Mobahi and Neyshabur, ICLR 2021"
_AIRBENCH = "Jordan, arXiv:2404.00498, 2024"
_MORE = "learnt from many million other images before"

KNOWN_RESULTS: dict[str, tuple[KnownResult, ...]] = {
    "cifar10": (
        KnownResult(0.4073, "Logistic regression on raw pixels", _HERE, "scikit-learn"),
        KnownResult(
            0.789,
            "Convolutional deep belief network",
            "Krizhevsky, unpublished manuscript, 2010",
            "learnt from unlabelled tiny images before",
        ),
        KnownResult(0.796, "k-means features of patches, and a linear SVM", _COATES),
        KnownResult(0.89, "CNN of four layers with local normalization", _CUDA),
        KnownResult(0.9119, "Network in network", _NIN),
        KnownResult(0.9357, "ResNet-110", "He, Zhang, Ren and Sun, CVPR 2016", "best of 5 runs"),
        KnownResult(0.94, "One person", "Karpathy, blog, 2011", "“about 94%”, on 400 test images"),
        KnownResult(0.9401, "airbench94", _AIRBENCH, "3.3 seconds on one A100; mean of many runs"),
        KnownResult(
            0.9553,
            "DeepCNet, the winner on Kaggle",
            _GRAHAM,
            "Kaggle’s test images; 90 hours on one GPU",
        ),
        KnownResult(0.96, "Wide ResNet 28-10", _WIDE),
        KnownResult(0.9605, "airbench96", _AIRBENCH, "46 seconds on one A100; mean of many runs"),
        KnownResult(0.9654, "DenseNet-BC of 190 layers", _DENSE),
        KnownResult(0.985, "PyramidNet with ShakeDrop and AutoAugment", _AUGMENT),
        KnownResult(0.995, "Vision transformer ViT-H/14", _VIT, _MORE),
        KnownResult(0.997, "EfficientNet-L2, sharpness-aware", _SAM, _MORE),
    ),
    "cifar100": (
        KnownResult(0.1777, "Logistic regression on raw pixels", _HERE, "scikit-learn"),
        KnownResult(
            0.6143,
            "Maxout network",
            "Goodfellow, Warde-Farley, Mirza, Courville and Bengio, ICML 2013",
        ),
        KnownResult(0.6432, "Network in network", _NIN),
        KnownResult(0.7932, "DeepCNet", _GRAHAM),
        KnownResult(0.8075, "Wide ResNet 28-10", _WIDE),
        KnownResult(0.8282, "DenseNet-BC of 190 layers", _DENSE),
        KnownResult(0.893, "PyramidNet with ShakeDrop and AutoAugment", _AUGMENT),
        KnownResult(0.9455, "Vision transformer ViT-H/14", _VIT, _MORE),
        KnownResult(0.9608, "EfficientNet-L2, sharpness-aware", _SAM, _MORE),
    ),
}
"""By data set, in ascending order."""


def known_results(name: str, class_names: Sequence[str]) -> tuple[KnownResult, ...]:
    """What is known of a data set; nothing where it is not one of these, with all its classes.

    Args:
        name: of the data set, however it is written: "cifar10", "CIFAR-10".
        class_names: its classes, in any order.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    whole = {"cifar10": set(class_names) == CIFAR10, "cifar100": bool(families_of(class_names))}
    return KNOWN_RESULTS[plain] if whole.get(plain) else ()


def ranked(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The known results with the study's recommended model among them, in ascending order.

    Args:
        summary: as `summary.summarise` makes it.

    Returns:
        Dictionaries with the fields of `KnownResult` and "ours", whether it is the recommended
        model: mean over seeds of its test accuracy, with its interval in "condition". Empty where
        nothing is known of the data.
    """
    data, chosen = summary["data"], summary["recommended"]
    known = known_results(data["name"], data["class_names"])
    if not known:
        return []
    splits = {split["split"]: split["images"] for split in data["splits"]}
    which = "one seed" if len(chosen["seeds"]) == 1 else "lowest seed"
    interval, kind = chosen["image_interval"], f"over images, {which}"
    if chosen["seed_interval"] is not None:
        interval, kind = chosen["seed_interval"], f"over {len(chosen['seeds'])} seeds"
    low, high = interval
    recipe = next(one for one in summary["variations"] if one["name"] == chosen["variation"])[
        "recipe"
    ]
    learnt_from = splits["train"] + (splits.get("validation", 0) if recipe["refit"] else 0)
    ours = {
        "accuracy": chosen["test_accuracy"],
        "method": f"{chosen['variation']} ({chosen['model']})",
        "source": "this study",
        "condition": f"our {splits['test']:,} test images; {100 * low:.2f}–{100 * high:.2f}%: 95% "
        f"{kind}; learnt from {learnt_from:,} images{_learnt_before(recipe)}",
        "ours": True,
    }
    rows = [{**one._asdict(), "ours": False} for one in known] + [ours]
    return sorted(rows, key=lambda row: row["accuracy"])


def _learnt_before(recipe: Mapping[str, Any]) -> str:
    """What a model knew before it saw the study's images, as the rest of a condition."""
    backbone = recipe["backbone"]
    if not backbone:
        return ""
    name = backbone.replace("\\", "/").rstrip("/").rpartition("/")[2]
    # A folder's model may have learnt from any images, even from these.
    own = name != backbone and not backbone.startswith("timm:")
    return f"; its backbone ({name}) had learnt {'' if own else 'from other images '}before"
