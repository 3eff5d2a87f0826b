"""A study with a review file: on data that came with test images, and on data that did not."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_study import STUDY

from tinyscope.data import splitting
from tinyscope.data.dataset import Splits
from tinyscope.data.review import apply_review, write_review
from tinyscope.sweep.listener import Listener
from tinyscope.sweep.local import run_study

REVIEWED = 80
ONE_RUN = replace(STUDY, seeds=(0,), variations={})


@pytest.fixture
def review(world, tmp_path):
    """Excludes the even ones of the first training images, and calls the odd ones "dots"."""
    items = [
        {
            "split": "train",
            "row": row,
            "file": "",
            "class": "",
            "detail": "",
            "action": "relabel" if row % 2 else "exclude",
            "new_class": "dots" if row % 2 else "",
        }
        for row in range(REVIEWED)
    ]
    write_review(tmp_path / "review.csv", [{"code": "TS015", "items": items}], world)
    return str(tmp_path / "review.csv")


class KnowsImages(Exception):
    """The images are there; a test of them needs no training."""


def images_of(study, data, folder):
    """The images, complete, that a study of such data would run on."""
    seen = []

    class Watching(Listener):
        def data_loaded(self, data):
            seen.append(data)
            raise KnowsImages

    with pytest.raises(KnowsImages):
        run_study(study, data, out=folder, listener=Watching())
    return seen[0]


def digests(part):
    return [image.tobytes() for image in part.images]


def test_a_review_leaves_the_test_images_that_are_cut_as_they_are_without_it(
    world, review, tmp_path
):
    uncut = Splits("world", world.train)
    without = images_of(ONE_RUN, uncut, tmp_path / "s")
    after = images_of(replace(ONE_RUN, review=review), uncut, tmp_path / "s")
    assert after.test.fingerprint == without.test.fingerprint
    reviewed = set(digests(world.train)[:REVIEWED])
    assert reviewed & set(digests(after.test)), "the review names some of them"
    learnt = digests(after.train) + digests(after.validation)
    assert not set(learnt) & set(digests(after.test))
    assert not set(learnt) & set(digests(world.train)[:REVIEWED:2]), "the others are excluded"


def test_test_images_are_cut_alike_whether_validation_images_came_or_join_the_training_images(
    world, review, tmp_path
):
    untested = Splits("world", world.train, world.validation)
    joined = replace(ONE_RUN, validation=0.0)
    without = images_of(joined, untested, tmp_path / "s")
    after = images_of(replace(joined, review=review), untested, tmp_path / "s")
    assert set(digests(without.test)) & set(digests(world.validation))
    assert after.test.fingerprint == without.test.fingerprint
    assert after.validation is None
    gone = len(without.train) - len(after.train)
    assert gone == len(set(digests(world.train)[:REVIEWED:2]) - set(digests(without.test)))


def test_data_with_test_images_is_reviewed_before_validation_images_are_cut(
    world, review, tmp_path
):
    tested = Splits("world", world.train, None, world.test)
    expected = splitting.complete(apply_review(tested, review)[0])
    found = images_of(replace(ONE_RUN, review=review), tested, tmp_path / "s")
    assert found.fingerprint == expected.fingerprint


def test_a_summary_counts_the_reviewed_images_that_became_test_images(world, review, tmp_path):
    uncut = Splits("world", world.train)
    study = replace(ONE_RUN, review=review)
    summary = run_study(study, uncut, out=tmp_path / "s").summary
    tested = set(digests(splitting.complete(uncut).test))
    of_test = np.array([each in tested for each in digests(world.train)[:REVIEWED]])
    assert of_test.sum() > 0
    assert summary["data"]["review"] == {
        "file": review,
        "excluded": int((~of_test[::2]).sum()),
        "relabelled": int((~of_test[1::2]).sum()),
        "gone": 0,
        "of_test": int(of_test.sum()),
    }
    assert not any("came with the data" in sentence for sentence in summary["limits"])
