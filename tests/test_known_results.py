import itertools

import pytest

from tinyscope.data.families import _FAMILY_OF
from tinyscope.diagnosis.augmentation_evidence import CIFAR10
from tinyscope.plan.recipe import Recipe
from tinyscope.report.known_results import KNOWN_RESULTS, known_results, ranked

CIFAR100 = sorted(_FAMILY_OF)


def summary_of(name, class_names, accuracy=0.9, seed_interval=(0.89, 0.91), **recipe):
    return {
        "data": {
            "name": name,
            "class_names": list(class_names),
            "splits": [
                {"split": "train", "images": 45_000},
                {"split": "validation", "images": 5_000},
                {"split": "test", "images": 10_000},
            ],
        },
        "variations": [{"name": "mine", "recipe": Recipe().as_dict() | recipe}],
        "recommended": {
            "variation": "mine",
            "model": "whitened-cnn",
            "test_accuracy": accuracy,
            "seed_interval": seed_interval and list(seed_interval),
            "image_interval": [0.894, 0.906],
            "seeds": [0, 1, 2] if seed_interval else [0],
        },
    }


@pytest.mark.parametrize("name", ["cifar10", "CIFAR-10", "cifar_10"])
def test_cifar_is_known_by_its_name_however_it_is_written(name):
    assert known_results(name, list(CIFAR10)) == KNOWN_RESULTS["cifar10"]


def test_the_two_data_sets_are_not_taken_for_one_another():
    assert known_results("cifar100", CIFAR100) == KNOWN_RESULTS["cifar100"]
    assert known_results("cifar100", list(CIFAR10)) == ()
    assert known_results("cifar10", CIFAR100) == ()


def test_nothing_is_known_of_other_data_or_of_a_part_of_the_classes():
    assert known_results("photos", list(CIFAR10)) == ()
    assert known_results("cifar10", sorted(CIFAR10)[1:]) == ()
    assert known_results("cifar100", CIFAR100[:-1]) == ()
    assert ranked(summary_of("photos", CIFAR10)) == []


@pytest.mark.parametrize("name", KNOWN_RESULTS)
def test_every_known_result_is_a_share_with_its_source_and_they_ascend(name):
    for one in KNOWN_RESULTS[name]:
        assert 0 < one.accuracy < 1
        assert one.method
        assert one.source
    for before, after in itertools.pairwise(KNOWN_RESULTS[name]):
        assert before.accuracy < after.accuracy


def test_the_recommended_model_stands_among_them_with_its_condition():
    rows = ranked(summary_of("cifar10", CIFAR10))
    assert len(rows) == len(KNOWN_RESULTS["cifar10"]) + 1
    assert [row["accuracy"] for row in rows] == sorted(row["accuracy"] for row in rows)
    (ours,) = [row for row in rows if row["ours"]]
    assert ours == {
        "accuracy": 0.9,
        "method": "mine (whitened-cnn)",
        "source": "this study",
        "condition": "our 10,000 test images; 89.00–91.00%: 95% over 3 seeds; learnt from 45,000 "
        "images",
        "ours": True,
    }


def test_seeds_that_are_all_alike_have_the_interval_over_images_of_one():
    found = summary_of("cifar10", CIFAR10, seed_interval=None)
    found["recommended"]["seeds"] = [0, 1]
    (ours,) = [row for row in ranked(found) if row["ours"]]
    assert "89.40–90.60%: 95% over images, lowest seed; learnt" in ours["condition"]


def test_what_was_refitted_learnt_from_the_validation_images_too():
    (ours,) = [row for row in ranked(summary_of("cifar10", CIFAR10, refit=True)) if row["ours"]]
    assert ours["condition"].endswith("learnt from 50,000 images")


def test_with_one_seed_the_interval_is_that_over_images():
    (ours,) = [row for row in ranked(summary_of("cifar10", CIFAR10, 0.9, None)) if row["ours"]]
    assert "89.40–90.60%: 95% over images, one seed" in ours["condition"]


@pytest.mark.parametrize(
    ("backbone", "told"),
    [
        ("vgg16", "; its backbone (vgg16) had learnt from other images before"),
        ("timm:resnet50", "; its backbone (timm:resnet50) had learnt from other images before"),
        ("tinyscope-runs/other/model/", "; its backbone (model) had learnt before"),
        ("", "learnt from 45,000 images"),
    ],
)
def test_a_transfer_is_not_said_to_have_learnt_from_these_images_alone(backbone, told):
    rows = ranked(summary_of("cifar10", CIFAR10, backbone=backbone))
    (ours,) = [row for row in rows if row["ours"]]
    assert ours["condition"].endswith(told)
