import pytest
from summary_world import variation

from tinyscope.report.limits import limits


def told(names: tuple[str, ...], backbone: str) -> list[str]:
    """The limits of a study of one transfer, on images of two classes."""
    one = variation("frozen", model="transfer", backbone=backbone)
    one["test"] = {"leaks": None, "images": 100}
    one["published"] = None
    split = {"images": 5000, "counts": [50, 50]}
    data = {
        "name": "some",
        "class_names": list(names),
        "splits": [{"split": "train", **split}, {"split": "test", **split}],
        "unbalanced": False,
        "found": 100,
        "used": 100,
    }
    study = {"seeds": [0], "validation": 0.1}
    return limits(data, study, [one], test_came_with_data=False)


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
