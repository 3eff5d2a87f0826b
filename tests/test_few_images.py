import few_images
import few_images_table
import numpy as np
import pytest


@pytest.mark.parametrize("each", [1, 20])
def test_a_draw_has_as_many_images_of_every_class(world, each):
    made = few_images.drawn(world, each, draw=0)
    assert made.train.counts() == [each] * 4
    assert made.validation is None
    assert made.test is world.test
    pairs = zip(world.train.images, world.train.labels, strict=True)
    stored = {image.tobytes(): label for image, label in pairs}
    assert all(
        stored[image.tobytes()] == label
        for image, label in zip(made.train.images, made.train.labels, strict=True)
    )


def test_a_draw_is_always_the_same_and_another_one_is_another(world):
    prints = [few_images.drawn(world, 5, draw=draw).fingerprint for draw in (0, 0, 1, 2)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def row(each, draw, **figures):
    return {
        "each": each,
        "draw": draw,
        "variations": {
            name: {"val_accuracy": val, "test_accuracy": test, "train_seconds": 4.0}
            for name, (val, test) in figures.items()
        },
    }


def test_validation_chooses_among_transfers_whatever_the_test_images_say():
    plain, mirrored, moved, tuned = few_images.VARIATIONS
    figures = {
        plain: (0.6, 0.9),
        mirrored: (0.7, 0.5),
        moved: (0.6, 0.6),
        tuned: (0.5, 0.8),
        "from scratch": (0.9, 0.4),
    }
    assert few_images_table.chosen(row(20, 0, **figures)) == mirrored
    other = {**figures, plain: (0.8, 0.7)}
    rows = [row(20, 0, **figures), row(20, 1, **other)]
    text = few_images_table.table({"rows": rows})
    # Chosen: 0.5 and 0.7; then the means of each variation.
    assert text.splitlines()[2] == "| 20 | 2 | 60.0% | 80.0% | 50.0% | 60.0% | 80.0% | 40.0% | 4 |"


def test_images_are_drawn_without_looking_at_their_order(world):
    rows = np.flatnonzero(world.train.labels == 0)
    first = {world.train.images[row].tobytes() for row in rows[:5]}
    made = few_images.drawn(world, 5, draw=0)
    assert {image.tobytes() for image in made.train.images[made.train.labels == 0]} != first
