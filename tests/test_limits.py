import pytest
from summary_world import LEVEL_CURVE, variation

from tinyscope.report.limits import limits


def told(names: tuple[str, ...], backbone: str) -> list[str]:
    """The limits of a study of one transfer, on images of two classes."""
    return limits_of(variation("frozen", model="transfer", backbone=backbone), names=names)


def limits_of(*variations, names=("ant", "bee"), counts=(50, 50), validation=0.1) -> list[str]:
    for one in variations:
        one |= {"test": {"leaks": None, "images": sum(counts)}, "published": None}
    split = {"images": 5000, "counts": list(counts)}
    data = {
        "name": "some",
        "class_names": list(names),
        "splits": [{"split": "train", **split}, {"split": "test", **split}],
        "unbalanced": False,
        "found": 100,
        "used": 100,
    }
    study = {"seeds": [0], "validation": validation}
    return limits(data, study, list(variations), test_came_with_data=False)


@pytest.mark.parametrize(
    ("names", "backbone", "known"),
    [
        (("apple", "bed"), "cifar100-backbone", True),
        (("apple", "bed"), "vgg16", False),
        (("apple", "cat"), "cifar100-backbone", False),
    ],
)
def test_a_backbone_that_may_know_these_images_is_named_as_a_limit(names, backbone, known):
    sentences = [one for one in told(names, backbone) if "CIFAR-100's training images" in one]
    assert bool(sentences) is known
    assert all("“frozen”" in one for one in sentences)


def test_figures_of_a_training_that_diverged_are_said_to_be_those_of_the_epoch_that_is_kept():
    def told_of(*histories, validation=0.1):
        hot = variation("hot", histories=histories, stopped="diverged")
        sentences = limits_of(hot, validation=validation)
        return [one for one in sentences if "grew without bound" in one]

    assert told_of(LEVEL_CURVE, LEVEL_CURVE) == [
        "The loss of 2 runs of hot grew without bound: the figures are those of the best epoch "
        "before, and say nothing of a lower learning rate."
    ]
    (unvalidated,) = told_of(LEVEL_CURVE, validation=0)
    assert "those of the last epoch before," in unvalidated
    assert told_of(LEVEL_CURVE, [])[1] == (
        "The loss of 1 run of hot grew without bound: the figures are those of the initial "
        "weights, because not even the first epoch was completed, and say nothing of a lower "
        "learning rate."
    )
    assert len(told_of([])) == 1
