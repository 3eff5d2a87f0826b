import re
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from study_world import make_run, make_splits, make_study

from tinyscope.plan.study_faults import grid_points
from tinyscope.report import figures
from tinyscope.report.confusion_figure import confusion
from tinyscope.report.drawing import short, shortened, svg
from tinyscope.report.summary import summarise

NAMES = ("<b>ant</b>", "$bee$ & co", "猫", "d" * 90)


@pytest.fixture(scope="module")
def variations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    study, splits = make_study(published={"base": 0.5}), make_splits(NAMES)
    runs = [
        make_run(folder, study, splits, name, seed, accuracy=0.8, seconds=10.0**place)
        for place, name in enumerate(study.recipes())
        for seed in study.seeds
    ]
    found = summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)
    return found["variations"]


class Texts(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts += [data.strip()] if data.strip() else []


def test_training_curves_draw_the_history_of_every_seed(variations):
    runs = variations[0]["runs"]
    axes = figures.training_curves(runs, "loss").axes[0]
    drawn = [list(line.get_ydata()) for line in axes.lines]
    for run in runs:
        assert [row["train_loss"] for row in run["history"]] in drawn
        assert [row["val_loss"] for row in run["history"]] in drawn
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training",
        "validation",
        "lowest validation loss",
    ]


def test_training_without_validation_has_one_curve(variations):
    history = [row | {"val_accuracy": None} for row in variations[0]["runs"][0]["history"]]
    run = variations[0]["runs"][0] | {"history": history, "best_epoch": None}
    axes = figures.training_curves([run], "accuracy").axes[0]
    assert len(axes.lines) == 1


def test_an_epoch_without_a_loss_is_a_gap(variations):
    history = [dict(row) for row in variations[0]["runs"][0]["history"]]
    history[-1]["train_loss"] = None
    run = variations[0]["runs"][0] | {"history": history, "best_epoch": None}
    lines = figures.training_curves([run], "loss").axes[0].lines
    assert any(np.isnan(line.get_ydata()[-1]) for line in lines)


PUBLISHED = [
    {"epoch": 1, "accuracy": 0.3, "loss": 1.9, "val_accuracy": 0.4, "val_loss": None},
    {"epoch": 3, "accuracy": 0.5, "loss": 1.2, "val_accuracy": None, "val_loss": None},
]


def test_published_curves_are_dashed_beside_the_measured_ones(variations):
    runs = variations[0]["runs"]
    axes = figures.training_curves(runs, "accuracy", PUBLISHED).axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    for name, column in (("training", "train_accuracy"), ("validation", "val_accuracy")):
        measured = drawn[f"{name}, measured"]
        assert list(measured.get_ydata()) == [row[column] for row in runs[0]["history"]]
        assert measured.get_linestyle() == "-"
        assert drawn[f"{name}, published"].get_linestyle() == "--"
    assert list(drawn["training, published"].get_xdata()) == [1, 3]
    assert list(drawn["training, published"].get_ydata()) == [0.3, 0.5]
    assert list(drawn["validation, published"].get_xdata()) == [1]
    legend = figures.training_curves(runs, "accuracy", PUBLISHED).legends[0]
    assert {text.get_text() for text in legend.get_texts()} == {
        *(f"{name}, {whose}" for name in ("training", "validation") for whose in WHOSE),
        "lowest validation loss",
    }


WHOSE = ("measured", "published")


def test_a_published_quantity_that_is_missing_throughout_is_not_drawn(variations):
    axes = figures.training_curves(variations[0]["runs"], "loss", PUBLISHED).axes[0]
    assert [line.get_label() for line in axes.lines if "published" in line.get_label()] == [
        "training, published"
    ]


def test_models_keep_their_colours_where_others_have_no_curve(variations):
    (line,) = figures.model_curves(variations, "epoch", [2]).axes[0].lines
    assert line.get_color() == figures.COLOURS[2]
    assert line.get_label() == "resnet"


def test_the_comparing_plot_counts_seconds_from_the_start(variations):
    axes = figures.model_curves(variations, "seconds").axes[0]
    for line, variation in zip(axes.lines, variations, strict=True):
        seconds = [row["seconds"] for row in variation["runs"][0]["history"]]
        assert list(line.get_xdata()) == pytest.approx(np.cumsum(seconds))
    assert axes.get_ylabel() == "validation accuracy"


def test_without_validation_the_comparing_plot_says_training(variations):
    without = [one | {"validation": None} for one in variations]
    assert figures.model_curves(without, "epoch").axes[0].get_ylabel() == "training accuracy"


def test_whiskers_are_the_intervals_of_the_table(variations):
    axes = figures.accuracies(variations).axes[0]
    drawn = [tuple(line.get_xdata()) for line in axes.lines]
    for variation in variations:
        assert tuple(variation["test"]["image_interval"]) in drawn
        assert (variation["test"]["lowest_seed_accuracy"],) in drawn
    assert (0.5,) in drawn  # published


def test_cost_is_drawn_where_the_table_has_it(variations):
    axes = figures.accuracy_against_cost(variations).axes[0]
    drawn = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines]
    assert drawn == [(one["train_seconds"], one["test"]["accuracy"]) for one in variations]
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["1 s", "5 s", "20 s", "1 min"]


def test_time_and_cost_of_a_model_that_goes_on_from_another_begin_where_that_ended(variations):
    base, smooth, resnet = variations
    later = [base, smooth | {"start_from": "base"}, resnet | {"start_from": "smooth"}]
    lines = figures.model_curves(later, "seconds").axes[0].lines
    first = [line.get_xdata()[0] for line in lines]
    own = [one["runs"][0]["history"][0]["seconds"] for one in later]
    assert first == pytest.approx([own[0], 1 + own[1], 11 + own[2]])
    assert [line.get_xdata()[0] for line in figures.accuracy_against_cost(later).axes[0].lines] == [
        1.0,
        11.0,
        111.0,
    ]
    epochs = figures.model_curves(later, "epoch").axes[0].lines
    assert {line.get_xdata()[0] for line in epochs} == {1}


def test_models_differ_in_marker_too_for_print(variations):
    axes = figures.model_curves(variations, "epoch").axes[0]
    assert len({line.get_marker() for line in axes.lines}) == 3


def test_svg_is_the_same_for_the_same_figure(variations):
    first, second = (
        svg(figures.model_curves(variations, "epoch"), label="Curves", name="a") for _ in range(2)
    )
    assert first == second


def drawn(variations):
    """Every figure of a study's page as markup."""
    made = [
        *(figures.training_curves(variations[0]["runs"], each) for each in ("loss", "accuracy")),
        *(figures.model_curves(variations, each) for each in ("epoch", "seconds")),
        figures.accuracies(variations),
        figures.accuracy_against_cost(variations),
        confusion(variations[0]["test"]["confusion"], NAMES),
    ]
    return [svg(figure, label="", name="f") for figure in made]


def test_the_users_own_settings_of_matplotlib_change_no_figure(variations):
    plain = drawn(variations)
    own = {
        "text.usetex": True,
        "font.family": "monospace",
        "font.size": 30,
        "axes.facecolor": "black",
        "axes.unicode_minus": False,
        "lines.linewidth": 9,
        "legend.frameon": True,
        "savefig.bbox": "tight",
        "savefig.facecolor": "red",
        "figure.dpi": 300,
        "svg.fonttype": "path",
    }
    with matplotlib.rc_context(own):
        assert drawn(variations) == plain
        assert matplotlib.rcParams["font.size"] == 30  # and they stay the user's


def test_svg_has_a_label_and_ids_of_its_own_and_points_nowhere_else(variations):
    figure = figures.model_curves(variations, "epoch")
    text = svg(figure, label='Which "class" <is> it', name="m0")
    tags = Texts(text).tags
    assert tags[0][0] == "svg"
    assert (tags[0][1]["role"], tags[0][1]["aria-label"]) == ("img", 'Which "class" <is> it')
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    assert all(one.startswith("m0-") for one in ids)
    pointed = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert pointed
    assert pointed <= ids
    assert "http" not in text
    assert "<metadata" not in text


def test_class_names_are_text_in_a_figure_and_never_markup_or_formulas(variations):
    figure = confusion(variations[0]["test"]["confusion"], NAMES)
    found = Texts(svg(figure, label="", name="x"))
    assert not [tag for tag, _ in found.tags if tag == "b"]
    assert {"<b>ant</b>", "$bee$ & co", "猫", "ddddddddd…dddd"} <= set(found.texts)


def test_names_are_shortened_in_the_middle_and_put_on_one_line():
    assert short("a\nb", 10) == "a b"
    assert short("golden retriever, wet", 12) == "golden…wet"
    assert len(short("x" * 500, 26)) == 26


def test_names_that_differ_when_cut_are_cut_as_they_are():
    names = ["base", "golden retriever, wet", "shift=2"]
    assert shortened(names, 12) == ["base", "golden…wet", "shift=2"]


def test_points_of_a_grid_that_are_too_long_lose_what_all_of_them_share():
    grid = {"epochs": [5], "learning_rate": [0.05, 0.1], "label_smoothing": [0.25]}
    assert shortened(["base", *grid_points(grid)], 26) == [
        "base",
        "learning_rate=0.05",
        "learning_rate=0.1",
    ]


def test_points_of_a_grid_that_are_short_enough_stay_whole():
    names = list(grid_points({"epochs": [5], "shift": [1, 2]}))
    assert shortened(names, 26) == names


def test_points_of_a_larger_grid_keep_every_value_and_lose_letters_of_their_keys():
    names = list(grid_points({"learning_rate": [0.05, 0.1, 0.2], "label_smoothing": [0.0, 0.1]}))
    cut = shortened(names, 26)
    assert cut[:2] == ["learni…=0.05,label_s…=0.0", "learni…=0.05,label_s…=0.1"]
    assert len(set(cut)) == len(names)
    assert max(map(len, cut)) <= 26
    three = {"optimizer": ["sgd", "adamw"], "learning_rate": [0.05, 0.1], "batch_size": [64, 128]}
    cut = shortened(list(grid_points(three)), 26)
    assert cut[-1] == "o…=adamw,lea…=0.1,bat…=128"
    assert len(set(cut)) == 8


def test_other_names_that_would_look_alike_are_numbered():
    names = [f"a very long name of the variation {kind} with warm restarts" for kind in "ab"]
    assert shortened(names, 26) == ["1. a very long nam…estarts", "2. a very long nam…estarts"]


def test_models_of_a_grid_have_different_names_in_every_figure(variations):
    points = grid_points({"learning_rate": [0.05, 0.1, 0.2], "label_smoothing": [0.1]})
    grid = [one | {"name": name} for one, name in zip(variations, points, strict=True)]
    expected = ["learning_rate=0.05", "learning_rate=0.1", "learning_rate=0.2"]
    for figure in (figures.model_curves(grid, "epoch"), figures.accuracy_against_cost(grid)):
        assert [line.get_label() for line in figure.axes[0].lines] == expected
    ticks = figures.accuracies(grid).axes[0].get_yticklabels()
    assert [text.get_text() for text in ticks] == expected
