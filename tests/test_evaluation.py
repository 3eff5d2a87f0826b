import numpy as np
import pytest
from study_world import make_logits

from tinyscope.errors import DataError
from tinyscope.evaluation.evaluation import Evaluation

NAMES = ("ant", "<b>bee</b>", "cat")


def of(probabilities: list[list[float]], labels: list[int]) -> Evaluation:
    return Evaluation("test", np.log(np.array(probabilities)), np.array(labels), NAMES)


@pytest.fixture
def six() -> Evaluation:
    return of(
        [
            [0.7, 0.2, 0.1],  # 0: ant, right
            [0.1, 0.8, 0.1],  # 1: ant, called bee with 80%
            [0.3, 0.6, 0.1],  # 2: ant, called bee with 60%
            [0.1, 0.5, 0.4],  # 3: bee, right
            [0.9, 0.05, 0.05],  # 4: bee, called ant with 90%
            [0.3, 0.3, 0.4],  # 5: cat, right
        ],
        [0, 0, 0, 1, 1, 2],
    )


def test_overall_figures_by_hand(six):
    figures = six.overall()
    assert figures["accuracy"] == pytest.approx(3 / 6)
    assert figures["balanced_accuracy"] == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)
    assert figures["top_5_accuracy"] is None
    assert figures["loss"] == pytest.approx(-np.log([0.7, 0.1, 0.3, 0.5, 0.05, 0.4]).mean())


def test_top_five_is_given_above_ten_classes_only():
    for classes, given in ((10, False), (11, True)):
        names = tuple(f"class {k}" for k in range(classes))
        labels = np.arange(classes)
        logits = make_logits(labels, classes, accuracy=0.5, seed=1)
        figures = Evaluation("test", logits, labels, names).overall()
        assert (figures["top_5_accuracy"] is not None) is given


def test_rows_of_classes_by_hand(six):
    ant = six.per_class()[0]
    assert (ant["class"], ant["number"], ant["support"], ant["called"]) == ("ant", 1, 3, 2)
    assert (ant["recall"], ant["precision"]) == (pytest.approx(1 / 3), 0.5)
    low, high = ant["recall_interval"]
    assert low < 1 / 3 < high


def test_a_class_without_images_has_no_interval():
    evaluation = of([[0.7, 0.2, 0.1]], [0])
    cat = evaluation.per_class()[2]
    assert (cat["recall"], cat["recall_interval"], cat["support"]) == (0.0, None, 0)


def test_pairs_come_by_frequency_with_the_most_confident_mistake_first(six):
    pairs = six.confused_pairs()
    assert pairs == [
        {"true": "ant", "predicted": "<b>bee</b>", "count": 2, "share": 2 / 3, "rows": [1, 2]},
        {"true": "<b>bee</b>", "predicted": "ant", "count": 1, "share": 1 / 2, "rows": [4]},
    ]
    assert six.confused_pairs(limit=1) == pairs[:1]


def test_galleries_are_ordered_by_certainty(six):
    assert [shot["row"] for shot in six.gallery("confident wrong")] == [4, 1, 2]
    assert [shot["row"] for shot in six.gallery("confident right")] == [0, 3, 5]
    uncertain = six.gallery("uncertain", limit=2)
    assert [shot["row"] for shot in uncertain] == [5, 3]
    assert uncertain[1] == {
        "row": 3,
        "true": "<b>bee</b>",
        "predicted": "<b>bee</b>",
        "probability": pytest.approx(0.5),
        "second": "cat",
        "second_probability": pytest.approx(0.4),
    }


def test_one_class_does_not_fill_a_gallery_while_others_have_pictures():
    labels = np.array([0] * 20 + [1, 1, 1, 2, 2, 2])
    certainty = np.linspace(9, 1, 26)  # class 0 holds the twenty most certain mistakes
    logits = np.zeros((26, 3))
    logits[np.arange(26), (labels + 1) % 3] = certainty
    gallery = Evaluation("test", logits, labels, NAMES).gallery("confident wrong", limit=6)
    assert [shot["row"] for shot in gallery] == [0, 1, 20, 21, 23, 24]


def test_a_gallery_is_filled_up_where_other_classes_have_too_few():
    labels = np.array([0] * 9 + [1])
    logits = np.zeros((10, 3))
    logits[np.arange(10), 2] = np.arange(10, 0, -1)
    gallery = Evaluation("test", logits, labels, NAMES).gallery("confident wrong", limit=6)
    assert [shot["row"] for shot in gallery] == [0, 1, 2, 3, 4, 9]


def test_the_notebook_table_escapes_class_names(six):
    table = six._repr_html_()
    assert "<b>" not in table
    assert "&lt;b&gt;bee&lt;/b&gt;" in table
    assert "6 images" in table


def test_logits_that_do_not_fit_are_refused():
    with pytest.raises(DataError) as caught:
        Evaluation("test", np.zeros((2, 4)), np.zeros(2, int), NAMES)
    assert str(caught.value) == (
        "test: logits of shape (2, 4) for 2 labels and 3 classes; expected (N, K) with at least "
        "one image."
    )
