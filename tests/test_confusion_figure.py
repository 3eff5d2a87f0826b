import numpy as np

from tinyscope.report.confusion_figure import confusion

NAMES = ("ant", "bee", "cat")
MATRIX = [[8, 2, 0], [0, 30, 1], [0, 0, 0]]


def test_a_confusion_matrix_bears_every_count_up_to_twenty_classes():
    for halved in (False, True):
        texts = confusion(MATRIX, NAMES, halved=halved).axes[0].texts
        assert sorted(text.get_text() for text in texts) == ["1", "2", "30", "8"]


def test_a_confusion_matrix_of_many_classes_has_shades_only():
    matrix = np.eye(100, dtype=int).tolist()
    axes = confusion(matrix, [f"class {k}" for k in range(100)]).axes[0]
    assert not axes.texts
    (image,) = axes.images
    assert (image.get_array()[..., 3] == np.eye(100)).all()


def test_a_matrix_beside_another_one_has_half_of_the_room_and_smaller_letters():
    matrix, names = np.eye(10, dtype=int).tolist(), [f"class {k}" for k in range(10)]
    whole, half = (confusion(matrix, names, halved=halved) for halved in (False, True))
    assert half.get_figwidth() < 0.7 * whole.get_figwidth()
    assert half.axes[0].texts[0].get_fontsize() == 0.8 * whole.axes[0].texts[0].get_fontsize()


def test_a_cell_is_as_deep_as_its_share_of_the_row_and_no_row_of_nothing_fails():
    patches = confusion(MATRIX, NAMES).axes[0].patches
    depths = {patch.get_xy(): patch.get_alpha() for patch in patches}
    assert depths[(1 - 0.47, -0.47)] == round(0.2**0.5, 2)
    assert len(depths) == 4
