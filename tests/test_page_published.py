"""Published figures and known results beside the measured ones."""

import itertools
from dataclasses import replace

import pytest
from page_reader import Page, faults_of_a_page
from page_world import section_of, small_summary
from study_world import make_run, make_splits, make_study

from tinyscope.plan.study_files import load_study
from tinyscope.report import page
from tinyscope.report.beside_published import differences
from tinyscope.report.summary import summarise
from tinyscope.wording import between, percent

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LATER = ("findings", "suggestions", "improvements")
SECTIONS = ("published", "known", "findings", "next")


def cifar_study(folder, study, *, accuracies, parameters=(1000, 1000, 1000)):
    """The summary of a study on made-up data with CIFAR-10's name and classes."""
    splits = replace(make_splits(CLASSES, per_class=(6, 6, 20)), name="cifar10")
    runs = [
        make_run(
            folder,
            study,
            splits,
            name,
            seed,
            accuracy=accuracy,
            parameters=parameters[place],
            epochs=1 if study.recipes()[name].classifier != "dense" else 4,
            seconds=20.0 * (3 - place),
        )
        for place, (name, accuracy) in enumerate(zip(study.recipes(), accuracies, strict=True))
        for seed in study.seeds
    ]
    return summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A study with published figures of every kind, one variation of which goes on from another."""
    tables = tmp_path_factory.mktemp("tables")
    (tables / "histories.csv").write_text(
        "variation,epoch,accuracy,loss,val_accuracy,val_loss\nsimple,2,0.2365,2.1158,,1.4845\n"
    )
    (tables / "per-class.csv").write_text(
        "variation,class,precision,recall,f1\nlonger,airplane,0.68,0.72,\n"
    )
    (tables / "confusion.csv").write_text(
        "variation,true,predicted,count\nlonger,cat,cat,548\nlonger,cat,deer,62\n"
    )
    study = make_study(
        base=False,
        variations={
            "simple": {"epochs": 4},
            "longer": {"start_from": "simple"},
            "ours": {"model": "resnet-20"},
        },
        seeds=(0, 1, 2),
        published={
            "simple": {"parameters": 1000, "differs": ["Validation is cut.", "No <i>dropout</i>."]},
            "longer": {
                "test_accuracy": 0.35,
                "epochs": 40,
                "minutes": 2,
                "differs": ["Validation is cut."],
            },
        },
        published_source="A <i>workshop</i>",
        published_tables=str(tables),
    )
    return cifar_study(tmp_path_factory.mktemp("runs"), study, accuracies=(0.5, 0.7, 0.9))


@pytest.fixture(scope="module")
def page_beside(beside):
    return page.render(beside)


def test_every_published_figure_has_a_row_beside_the_measured_one(page_beside, beside):
    assert faults_of_a_page(page_beside) == []
    told = section_of(page_beside, "published")
    test = beside["variations"][1]["test"]
    assert test["seed_interval"][0] > 0.35
    assert (
        f"Test accuracytest split, 200 images, 3 seeds35%{percent(test['accuracy'], 2)}"
        f"{between(test['seed_interval'], 2)}95% over seeds"
    ) in told
    assert "the measured one is above" in told
    assert "Parameters1,0001,000the same" in told
    assert "Epochs404−36" in told
    assert (
        "Training timethis machine, 3 seeds; with simple, from which it goes on2 min 0 s1 min 40 s"
        "1.2 times as fast"
    ) in told
    assert "Source: A <i>workshop</i>." in told


def test_where_the_method_differs_is_told_once_for_all_and_else_by_name(page_beside):
    told = section_of(page_beside, "published")
    assert told.count("Validation is cut.") == 1
    means = "Figures here are means over 3 seeds."
    assert f"Validation is cut. {means} No <i>dropout</i>. (simple)" in told


def test_one_seed_is_not_called_a_mean(beside):
    single = [{**one, "runs": one["runs"][:1]} for one in beside["variations"]]
    assert "means over 3 seeds" in str(differences(beside["variations"]))
    assert "seed" not in str(differences(single))


def test_the_best_published_network_is_compared_with_a_recipe_that_is_no_larger(
    page_beside, beside
):
    told = section_of(page_beside, "published")
    accuracy = beside["variations"][2]["test"]["accuracy"]
    assert "What a better recipe reaches in less time The highest" in told
    assert "that of longer: 35%" in told
    assert (
        f"In test accuracy it is {100 * accuracy - 35:.2f} points above the published figure"
        in told
    )
    # 60 seconds of the first training, 40 of that which goes on from it, 20 of ours.
    assert "5 times as fast in training on the same machine" in told
    assert "1 min 40 swith simple, from which it goes on" in told


@pytest.mark.usefixtures("undrawn")
def test_a_recipe_that_intervals_do_not_tell_from_the_published_network_is_called_level(tmp_path):
    study = make_study(
        base=False,
        variations={"theirs": {}, "ours": {"model": "resnet-20"}},
        seeds=(0,),
        published={"theirs": {"test_accuracy": 0.79}},
    )
    found = cifar_study(tmp_path, study, accuracies=(0.78, 0.8))
    for one, accuracy in zip(found["variations"], (0.785, 0.79), strict=True):
        one["test"] |= {"accuracy": accuracy, "image_interval": [accuracy - 0.05, accuracy + 0.05]}
    told = section_of(page.render(found), "published")
    assert (
        "In test accuracy it is level (0.00 points) with the published figure and level (+0.50 "
        "points) with what that network reaches here"
    ) in told
    assert "A recipe of this study beside the best published network" in told
    assert "better recipe" not in told


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("moved", ["simple", "longer", "ours"])
def test_seconds_of_different_machines_are_not_compared(beside, moved):
    """ "longer" is the best published one, which goes on from "simple"."""
    (here,) = beside["environments"]
    one = next(each for each in beside["variations"] if each["name"] == moved)
    there = {"machine": here["machine"] | {"cpu": "Other CPU"}, "runs": [one["runs"][0]["name"]]}
    left = [name for name in here["runs"] if name not in there["runs"]]
    moved = beside | {"environments": [{**here, "runs": left}, there]}
    told = section_of(page.render(moved), "published")
    assert "the two were trained on different machines, so that their seconds do not" in told
    assert "on the same machine" not in told
    assert "in less time" not in told


@pytest.mark.usefixtures("undrawn")
def test_a_recipe_that_is_no_better_is_not_called_so(beside):
    worse = [dict(one) for one in beside["variations"]]
    worse[2]["train_seconds"] = 1000.0
    told = section_of(page.render(beside | {"variations": worse}), "published")
    assert "better recipe" not in told
    assert "A recipe of this study beside the best published network" in told
    assert "10 times as long in training" in told


def test_a_published_confusion_matrix_stands_beside_the_measured_one(page_beside):
    labels = [one["aria-label"] for one in Page(page_beside).all("svg")]
    assert [one.split(":")[0] for one in labels if "confusion matrix of longer" in one] == [
        "Measured confusion matrix of longer",
        "Published confusion matrix of longer",
    ]
    assert not any("Published confusion matrix of simple" in one for one in labels)
    cells = Page(page_beside[page_beside.index("The largest mistakes of the two") :]).cells
    place = next(n for n, two in enumerate(itertools.pairwise(cells)) if two == ("cat", "deer"))
    assert cells[place + 2] == "6210.2%"  # 62 of 610


def test_published_curves_have_a_table_with_both(page_beside, beside):
    shown = Page(page_beside)
    assert shown.text.count("The numbers of these curves") == 1
    second = beside["variations"][0]["runs"][0]["history"][1]
    place = shown.cells.index("2.1158")
    assert shown.cells[place - 1 : place + 8] == [
        "2",
        "2.1158",
        f"{second['train_loss']:.4f}",
        "1.4845",
        f"{second['val_loss']:.4f}",
        "23.65%",
        percent(second["train_accuracy"], 2),
        "–",
        percent(second["val_accuracy"], 2),
    ]
    assert "dashed lines: as published; dots: validation" in shown.text


def test_a_variation_that_goes_on_from_another_says_so(page_beside):
    words = " ".join(Page(page_beside).text.split())
    assert words.count("Its first epoch follows the last one of simple.") == 1
    assert words.count("It went on from the weights that simple ended with") == 1
    assert "goes on from simple" in words


def test_published_figures_by_class_stand_in_the_class_table(page_beside, beside):
    row = beside["variations"][1]["test"]["per_class"][0]
    cells = Page(page_beside).cells
    assert cells.count(f"{percent(row['recall'])}published 72%") == 1
    assert cells.count(f"{percent(row['precision'])}published 68%") == 1
    assert cells.count(f"{percent(row['f1'])}published –") == 1
    assert sum("published 72%" in cell for cell in cells) == 1


def test_a_model_that_was_fitted_at_once_has_no_curve_and_a_sentence(tmp_path):
    study = replace(load_study("published-d-transfer"), seeds=(0,))
    found = cifar_study(tmp_path, study, accuracies=(0.8, 0.6))
    html = page.render(found)
    assert faults_of_a_page(html) == []
    words = " ".join(Page(html).text.split())
    assert "There is no curve: random-forest was fitted at once" in words
    assert "and so without a curve: “vgg16-random-forest”." in words
    labels = [one["aria-label"] for one in Page(html).all("svg")]
    assert sum("vgg16-random-forest" in one and "Curves" in one for one in labels) == 0
    assert sum("Curves" in one for one in labels) == 4
    assert "reaches in less time" not in words  # nothing that was trained before is a measure


def test_known_results_are_shown_for_cifar_with_the_recommended_model_among_them(page_beside):
    told = section_of(page_beside, "known")
    assert "Figures of others were mostly chosen on the test images themselves" in told
    assert "ours (resnet-20)this study" in told
    assert "our 200 test images; " in told
    order = [told.index(one) for one in ("40.73%", "ours (resnet-20)", "99.7%")]
    assert order == sorted(order)


@pytest.fixture
def small(tmp_path):
    return small_summary(tmp_path / "runs")


@pytest.mark.usefixtures("undrawn")
def test_a_page_has_only_those_sections_that_it_has_something_to_say_in(small, page_beside):
    assert [name for name in SECTIONS if section_of(page_beside, name)] == list(SECTIONS)
    html = page.render(small)
    assert section_of(html, "published") == section_of(html, "known") == ""
    older = {key: value for key, value in small.items() if key not in LATER}
    older["variations"] = [
        {key: value for key, value in one.items() if key not in ("published", "start_from")}
        for one in small["variations"]
    ]
    html = page.render(older)
    assert faults_of_a_page(html) == []
    assert [name for name in SECTIONS if section_of(html, name)] == []
