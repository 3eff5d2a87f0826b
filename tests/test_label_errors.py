import numpy as np
import pytest

from tinyscope.errors import DataError
from tinyscope.inspection.label_errors import LIKELY, label_errors


def world(
    count: int, classes: int, *, seed: int, sharpness: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities (N, K), and true labels drawn from them."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(classes, sharpness), count)
    probabilities = 0.995 * probabilities + 0.005 / classes
    drawn = (probabilities.cumsum(1) < random.random((count, 1))).sum(1)
    return probabilities, np.minimum(drawn, classes - 1)


def flipped(labels: np.ndarray, classes: int, *, share: float, seed: int) -> np.ndarray:
    """Labels of which a share became any other class."""
    random = np.random.default_rng(seed)
    chosen = random.random(len(labels)) < share
    other = (labels + random.integers(1, classes, len(labels))) % classes
    return np.where(chosen, other, labels)


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts (given, true) of Northcutt et al. 2021, section 3.1, the slow way."""
    classes = probabilities.shape[1]
    thresholds = [probabilities[labels == k, k].mean() for k in range(classes)]
    joint = np.zeros((classes, classes))
    for given, row in zip(labels, probabilities, strict=True):
        above = [k for k in range(classes) if row[k] >= thresholds[k]]
        if above:
            joint[given, max(above, key=lambda k: row[k])] += 1
    return joint


def average_precision(score: np.ndarray, wrong: np.ndarray) -> float:
    """The mean, over wrong labels, of the precision down to each."""
    found = wrong[np.argsort(-score, kind="stable")]
    return float((found.cumsum() / np.arange(1, len(found) + 1))[found].mean())


def slow_em(
    labels: np.ndarray, probabilities: np.ndarray, evenness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of each class with each label, matrix of mislabelling, posterior of every image."""
    count, classes = probabilities.shape
    matrix = np.full((classes, classes), 0.05 / (classes - 1))
    np.fill_diagonal(matrix, 0.95)
    for _ in range(200):
        posterior = np.empty((count, classes))
        for image in range(count):
            weights = [probabilities[image, t] * matrix[t, labels[image]] for t in range(classes)]
            posterior[image] = np.array(weights) / sum(weights)
        held = np.zeros((classes, classes))
        for image in range(count):
            held[:, labels[image]] += posterior[image]
        wrong = 1 - sum(held[k, k] for k in range(classes)) / count
        for t in range(classes):
            for k in range(classes):
                even = 1 - wrong if t == k else wrong / (classes - 1)  # wrong is above 0.005
                matrix[t, k] = held[t, k] / held[t].sum() * (1 - evenness) + even * evenness
    return held, matrix, posterior


def slow_evenness(held: np.ndarray, probabilities: np.ndarray) -> float:
    """How even mistakes are taken to be, by single cells."""
    classes, count = len(held), held.sum()
    cells = [(t, k) for t in range(classes) for k in range(classes) if t != k]
    mistakes = sum(held[cell] for cell in cells)
    distance = 0.0
    for t, k in cells:
        expected = held[t].sum() / count / (classes - 1)
        distance += (held[t, k] / mistakes - expected) ** 2 / expected
    distance -= (len(cells) - 1) / mistakes
    one_way = min(1.0, max(0.0, distance) / (classes - 2)) * mistakes / count
    unsure = 1 - sum(max(row) for row in probabilities.tolist()) / len(probabilities)
    return 0.15 * unsure**2 / (0.15 * unsure**2 + one_way)


def test_the_suspicion_is_what_a_slow_em_over_single_images_gives():
    probabilities, true = world(120, 4, seed=0)
    labels = flipped(true, 4, share=0.1, seed=1)
    held, _, _ = slow_em(labels, probabilities, 0.25)
    evenness = slow_evenness(held, probabilities)
    assert 0.1 < evenness < 0.9
    _, matrix, posterior = slow_em(labels, probabilities, evenness)
    found = label_errors(labels, probabilities)
    expected = 1 - posterior[np.arange(120), labels]
    assert found.suspicion == pytest.approx(expected, abs=2e-5)
    assert found.mislabelled == pytest.approx(matrix, abs=2e-5)
    assert found.share == pytest.approx(expected.mean(), abs=2e-5)


def test_an_image_that_looks_like_its_label_is_not_suspected_and_its_twin_with_another_label_is():
    labels = np.repeat([0, 1], 100)
    probabilities = np.repeat([[0.999, 0.001], [0.001, 0.999]], 100, axis=0)
    labels[0] = 1
    found = label_errors(labels, probabilities)
    assert found.wrong.nonzero()[0].tolist() == [0]
    assert found.suspicion[1:].max() < 0.01
    assert found.suggested[0] == 0


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3])
def test_the_share_of_wrong_labels_is_found_out_where_probabilities_are_right(share):
    probabilities, true = world(6000, 6, seed=2)
    labels = flipped(true, 6, share=share, seed=3)
    planted = (labels != true).mean()
    assert label_errors(labels, probabilities).share == pytest.approx(planted, abs=0.005)


def test_suspicions_are_calibrated():
    probabilities, true = world(20_000, 5, seed=4)
    labels = flipped(true, 5, share=0.1, seed=5)
    found = label_errors(labels, probabilities)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (found.suspicion >= low) & (found.suspicion < low + 0.2)
        really = (labels != true)[inside].mean()
        assert really == pytest.approx(found.suspicion[inside].mean(), abs=0.05), low


def test_hard_images_are_not_taken_for_wrong_labels_as_confident_learning_does():
    probabilities, true = world(4000, 5, seed=6, sharpness=0.4)
    found = label_errors(true, probabilities)
    joint = confident_joint(true, probabilities)
    assert found.wrong.mean() < 0.01
    assert 1 - np.trace(joint) / joint.sum() > 0.1


def test_wrong_labels_are_ranked_better_than_by_normalized_margin_and_as_by_self_confidence():
    probabilities, true = world(6000, 10, seed=7, sharpness=0.05)
    labels = flipped(true, 10, share=0.05, seed=8)
    wrong, rows = labels != true, np.arange(6000)
    own = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = -1
    ours = average_precision(label_errors(labels, probabilities).suspicion, wrong)
    assert ours > average_precision(others.max(1) - own, wrong) + 0.02
    assert ours > average_precision(-own, wrong) - 0.02


def test_labels_that_went_one_way_are_found_better_than_by_self_confidence():
    probabilities, true = world(6000, 10, seed=9)
    chosen = (np.random.default_rng(10).random(6000) < 0.4) & (true == 3)
    labels = np.where(chosen, 5, true)
    found = label_errors(labels, probabilities)
    off = found.mislabelled - np.diag(np.diag(found.mislabelled))
    assert np.unravel_index(off.argmax(), off.shape) == (3, 5)
    by_confidence = average_precision(-probabilities[np.arange(6000), labels], chosen)
    assert average_precision(found.suspicion, chosen) > by_confidence + 0.1


def test_mistakes_between_two_classes_are_told_from_mistakes_to_any():
    probabilities, true = world(6000, 10, seed=9, sharpness=0.05)
    pairs = np.where(np.random.default_rng(13).random(6000) < 0.05, true ^ 1, true)
    spread = flipped(true, 10, share=0.05, seed=14)
    off_pairs, off_spread = (
        (found - np.diag(np.diag(found))).max(1) / (1 - np.diag(found))
        for found in (label_errors(labels, probabilities).mislabelled for labels in (pairs, spread))
    )
    assert off_pairs.min() > 0.6  # all of a class's mistakes go to its partner: 1
    assert off_spread.max() < 0.2  # all nine others alike: 1 in 9


def test_few_mistakes_to_any_class_are_ranked_as_by_self_confidence_though_images_are_hard():
    probabilities, true = world(20_000, 10, seed=15, sharpness=0.02)
    labels = flipped(true, 10, share=0.003, seed=16)
    wrong = labels != true
    by_confidence = average_precision(-probabilities[np.arange(20_000), labels], wrong)
    ours = average_precision(label_errors(labels, probabilities).suspicion, wrong)
    assert ours == pytest.approx(by_confidence, abs=0.015)


def test_of_two_classes_one_that_is_taken_for_the_other_is_found():
    probabilities, true = world(4000, 2, seed=17, sharpness=0.05)
    labels = np.where((np.random.default_rng(18).random(4000) < 0.1) & (true == 1), 0, true)
    found = label_errors(labels, probabilities).mislabelled
    assert found[1, 0] == pytest.approx(0.1, abs=0.03)
    assert found[0, 1] < 0.03


def test_the_class_suggested_is_the_true_one_for_most_wrong_labels():
    probabilities, true = world(5000, 8, seed=11, sharpness=0.01)
    labels = flipped(true, 8, share=0.1, seed=12)
    found = label_errors(labels, probabilities)
    assert (found.suggested == true)[found.wrong & (labels != true)].mean() > 0.9
    assert (found.suggested != labels).all()


def test_the_labels_called_wrong_are_those_above_the_threshold():
    probabilities, true = world(2000, 4, seed=13)
    found = label_errors(flipped(true, 4, share=0.1, seed=14), probabilities)
    assert 0 < found.wrong.sum() < 400
    assert found.wrong.tolist() == (found.suspicion > LIKELY).tolist()


def test_the_order_of_images_and_of_classes_does_not_matter():
    probabilities, true = world(1000, 5, seed=15)
    labels = flipped(true, 5, share=0.1, seed=16)
    found = label_errors(labels, probabilities)
    random = np.random.default_rng(17)
    rows, names = random.permutation(1000), random.permutation(5)
    turned = label_errors(np.argsort(names)[labels[rows]], probabilities[rows][:, names])
    assert turned.suspicion == pytest.approx(found.suspicion[rows], abs=1e-6)
    assert names[turned.suggested].tolist() == found.suggested[rows].tolist()


def test_a_label_that_is_hardly_possible_is_called_wrong_though_all_others_are_right():
    labels = np.repeat([0, 1], 5000)
    probabilities = np.repeat([[0.999, 0.001], [0.001, 0.999]], 5000, axis=0)
    labels[0] = 1
    assert label_errors(labels, probabilities).wrong.nonzero()[0].tolist() == [0]


def test_a_matrix_that_is_known_is_not_found_out_again():
    matrix = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.2, 0.0, 0.8]])
    labels = np.array([0, 1, 1])
    probabilities = np.array([[0.5, 0.1, 0.4], [0.5, 0.5, 0.0], [0.2, 0.1, 0.7]])
    found = label_errors(labels, probabilities, mislabelled=matrix)
    assert found.mislabelled.tolist() == matrix.tolist()
    assert found.suspicion == pytest.approx([0.08 / 0.53, 0.05 / 0.55, 0.02 / 0.12])
    assert found.suggested.tolist() == [2, 0, 0]
    assert found.unjudged.tolist() == [], "with a matrix, three images are enough"
    found = label_errors(labels, probabilities, mislabelled=matrix, unjudged=np.array([1]))
    assert found.suspicion.tolist() == [pytest.approx(0.08 / 0.53), 0, 0]
    assert found.unjudged.tolist() == [1]


def test_images_of_a_class_with_fewer_than_ten_are_not_judged():
    probabilities, labels = world(500, 3, seed=18)
    labels[:] = np.where(labels == 2, 0, labels)
    labels[:9] = 2
    probabilities[:9] = [0.99, 0.005, 0.005]
    found = label_errors(labels, probabilities)
    assert found.unjudged.tolist() == [2]
    assert not found.suspicion[:9].any()
    assert not found.wrong[:9].any()
    labels[9] = 2
    assert label_errors(labels, probabilities).unjudged.tolist() == []


def test_probabilities_of_zero_do_no_harm():
    labels = np.array([0] * 20 + [1] * 20)
    probabilities = np.eye(3)[labels]
    probabilities[0] = [0, 1, 0]
    found = label_errors(labels, probabilities)
    assert np.isfinite(found.suspicion).all()
    assert np.isfinite(found.mislabelled).all()
    assert found.wrong.nonzero()[0].tolist() == [0]


@pytest.mark.parametrize(
    ("labels", "rows", "classes", "message"),
    [
        (3, 4, 2, "4 rows of 2 probabilities for 3 labels; expected one row for each image."),
        (0, 0, 2, "0 rows of 2 probabilities for 0 labels; expected at least one image."),
        (3, 3, 1, "3 rows of 1 probability for 3 labels; expected at least 2 classes."),
    ],
)
def test_what_does_not_fit_is_refused(labels, rows, classes, message):
    with pytest.raises(DataError) as refused:
        label_errors(np.zeros(labels, np.int64), np.full((rows, classes), 1 / classes))
    assert str(refused.value) == message
