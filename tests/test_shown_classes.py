"""Of how many classes pages show images: of all, or of a hundred that are spread evenly."""

import numpy as np
import pytest
from inspection_world import make_inspection
from page_reader import Page, faults_of_a_page
from study_world import make_run, make_splits, make_study

from tinyscope.data.exploration import class_means
from tinyscope.inspection.shown import samples
from tinyscope.report import data_page, page
from tinyscope.report.pictures import SHOWN_CLASSES, Album, data_uri
from tinyscope.report.summary import summarise

pytestmark = pytest.mark.usefixtures("undrawn")


def many(classes):
    names = tuple(f"class {k}" for k in range(classes))
    return make_splits(names, per_class=(2, 1, 1), size=4)


def sampled(splits):
    album = Album()
    return samples(splits, class_means(splits.train), album), album.pictures


@pytest.mark.parametrize(("classes", "of"), [(3, 3), (100, 100), (101, 100), (250, 100)])
def test_a_page_shows_images_of_at_most_a_hundred_classes_spread_evenly(classes, of):
    assert SHOWN_CLASSES == 100
    found, pictures = sampled(many(classes))
    for key in ("by_class", "means"):
        names = [row["class"] for row in found[key]]
        assert len(names) == len(set(names)) == of
        assert (names[0], names[-1]) == ("class 0", f"class {classes - 1}")
    for row in found["by_class"]:
        assert len(row["pictures"]) == 2
    assert {row["picture"] for row in found["means"]} <= set(pictures)
    assert sum(key.startswith("mean/") for key in pictures) == of


def test_a_mean_image_is_that_of_its_class():
    splits = many(250)
    found, pictures = sampled(splits)
    last = splits.train.images[splits.train.labels == 249].mean(0).astype(np.uint8)
    assert pictures[found["means"][-1]["picture"]] == data_uri(last)


def test_a_page_of_data_says_of_how_many_classes_images_are_shown():
    splits = many(250)
    found, pictures = sampled(splits)
    seen = make_inspection(splits, items=2, map_points=4)
    seen |= {"samples": found, "pictures": {**seen["pictures"], **pictures}}
    html = data_page.render(seen)
    assert faults_of_a_page(html) == []
    words = " ".join(Page(html).text.split())
    assert "The first training images of 12 of the 250 classes, not picked by hand." in words
    assert "88 more classes, spread evenly over all 250" in words
    assert "Mean images of 100 of the 250 classes, spread evenly" in words
    assert "of each class" not in words


def test_a_study_keeps_no_samples_of_the_data_that_its_page_does_not_show(tmp_path):
    """Also of an inspection that an earlier version kept, with images of all classes."""
    splits, study = many(250), make_study(variations={}, seeds=(0,))
    run = make_run(tmp_path, study, splits, "base", 0, accuracy=0.5)
    seen = make_inspection(splits, found=(), items=2, map_points=4)
    assert len(seen["samples"]["means"]) == len(seen["samples"]["by_class"]) == 250
    found = summarise(
        study, [run], splits, recipes_changed={}, test_came_with_data=True, inspection=seen
    )["inspection"]
    assert found["samples"]["by_class"] == []
    assert len(found["samples"]["means"]) == 100
    assert sum(key.startswith("mean/") for key in found["pictures"]) == 100
    assert len(found["pictures"]) < 250
    assert len(seen["samples"]["by_class"]) == 250  # what was given is as it was


def test_a_page_of_a_study_says_of_how_many_classes_mean_images_are_shown(tmp_path):
    splits, study = many(120), make_study(variations={}, seeds=(0,))
    run = make_run(tmp_path, study, splits, "base", 0, accuracy=0.5)
    summary = summarise(
        study,
        [run],
        splits,
        recipes_changed={},
        test_came_with_data=True,
        inspection=make_inspection(splits, found=(), items=2, map_points=4),
    )
    words = " ".join(Page(page.render(summary)).text.split())
    assert "Mean images of 100 of the 120 classes, spread evenly" in words
