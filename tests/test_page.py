import itertools
import json
import re
from dataclasses import replace

import pytest
from inspection_world import make_inspection
from page_reader import Page, faults_of_a_page
from study_world import make_run, make_splits, make_study

from tinyscope.data.dataset import LeftOut
from tinyscope.data.review import NOT_REVIEWED, ReviewCounts
from tinyscope.errors import StorageError
from tinyscope.plan.study_files import load_study
from tinyscope.report import data_page, page
from tinyscope.report.summary import summarise
from tinyscope.report.templating import between, duration, percent

HOSTILE = ("<b>ant</b>", '"><script>alert(1)</script>', "{{ 7 * 7 }}", "x" * 300, "'bee' & co")


def summary_of(
    folder,
    names=HOSTILE,
    *,
    validation=True,
    leaks=None,
    came=True,
    reviewed=NOT_REVIEWED,
    **changes,
):
    """`leaks`: test images with copies, as an inspection found them; None for no inspection."""
    study = make_study(**({} if validation else {"validation": 0}), **changes)
    splits = make_splits(
        names,
        per_class=(4, 4, 8),
        validation=validation,
        left_out=(LeftOut("<i>7</i>.png", "truncated"),),
    )
    runs = [
        make_run(folder, study, splits, name, seed, accuracy=0.5 + 0.2 * place, parameters=1234)
        for place, name in enumerate(study.recipes())
        for seed in study.seeds
    ]
    changed = {"smooth": {"label_smoothing": 0.2}}
    return summarise(
        study,
        runs,
        splits,
        recipes_changed=changed,
        test_came_with_data=came,
        reviewed=reviewed,
        inspection=None
        if leaks is None
        else make_inspection(
            splits,
            leaks=leaks,
            items=5,
            map_points=9,
            found=("TS005", "TS008") if leaks else ("TS005",),
        ),
    )


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    return summary_of(
        tmp_path_factory.mktemp("runs"),
        published={"base": 0.4321},
        published_source="A report, 2021",
    )


@pytest.fixture(scope="module")
def html(summary):
    return page.render(summary)


@pytest.fixture(scope="module")
def parsed(html):
    return Page(html)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without figures, which take most of the time."""
    for module in (page, data_page):
        monkeypatch.setattr(module, "markup", lambda figure, label, name: "")


def test_the_page_is_well_built_and_asks_nothing_of_the_outside(html, parsed):
    assert faults_of_a_page(html) == []
    assert parsed.all("img")
    assert len(parsed.all("svg")) == 4 + 3 * 3  # four of all models, three of each


def test_hostile_class_names_are_shown_and_never_obeyed(html, parsed):
    assert "<b>ant" not in html
    assert not parsed.all("script")
    assert not parsed.all("i")
    for name in (*HOSTILE[:3], HOSTILE[4], "<i>7</i>.png"):
        assert name in parsed.text
    assert "x" * 300 in parsed.text


def test_every_number_of_the_model_table_is_in_the_summary(html, summary):
    table = Page(html[html.index('<table id="model-table"') :].split("</table>")[0])
    shown = " ".join(table.cells)
    for one in summary["variations"]:
        test = one["test"]
        for number in (
            f"{one['parameters']:,}",
            duration(one["train_seconds"]),
            percent(one["validation"]["accuracy"], 2),
            percent(test["accuracy"], 2),
            between(test["seed_interval"], 2),
            percent(test["lowest_seed_accuracy"], 2),
            between(test["image_interval"], 2),
        ):
            assert number in shown
            shown = shown.replace(number, " ", 1)
    assert "43.21%" in shown
    headings = "Validation accuracymean over seeds", "mean; 95%", "lowest seed; 95%"
    rest = shown.replace("43.21%", "").replace("resnet-20", "")
    for heading in headings:
        rest = rest.replace(heading, "")
    assert not re.findall(r"\d", rest)


def test_the_page_is_the_same_from_the_summary_that_was_stored(html, summary):
    assert page.render(json.loads(json.dumps(summary))) == html


def test_the_answer_comes_first_with_its_condition(parsed, summary):
    answer = parsed.text[: parsed.text.index("The data, and what was left out")]
    words = " ".join(answer.split())
    assert f"Use {summary['recommended']['variation']} (" in words
    assert "of 40 images that it had never seen" in words
    assert "What it must not be used for" in words
    assert summary["recommended"]["reason"] in words


def test_a_page_says_what_was_left_out_and_every_opening_of_the_test_split(parsed):
    words = " ".join(parsed.text.split())
    assert "80 of 81 images of shades were used" in words
    assert words.count("40 images, final evaluation") == 9
    assert "A report, 2021" in words


def test_the_cost_of_each_model_is_told_in_seconds_and_in_arithmetic(parsed):
    words = " ".join(parsed.text.split())
    assert words.count("Its training took 1.23 TFLOP.") == 3
    # A row of the table of costs: seconds on the wall, of the processor, arithmetic, epochs.
    start = parsed.cells.index("Arithmetic") + 4
    assert parsed.cells[start + 1 : start + 5] == ["2.0 s", "3.0 s", "1.23 TFLOP", "4"]
    assert "two for each multiplication with its addition" in words


@pytest.mark.usefixtures("undrawn")
def test_a_model_that_looks_several_times_is_told_beside_what_one_look_is_worth(html, tmp_path):
    assert "looked at once" not in html
    names = ("ant", "bee")
    several = {"several": {"horizontal_flip": True, "test_views": "mirrored"}}
    study = make_study(variations=several, seeds=(0, 1))
    splits = make_splits(names, per_class=(4, 4, 8))
    runs = [
        make_run(tmp_path, study, splits, name, seed, accuracy=0.9)
        for name in ("base", "several")
        for seed in (0, 1)
    ]
    found = summarise(study, runs, splits, recipes_changed=several, test_came_with_data=True)
    shown = Page(page.render(found))
    place = shown.cells.index("Accuracy when an image is looked at once")
    assert shown.cells[place + 1 : place + 3] == ["89.50%", "89.50%"]
    assert shown.cells.count("Accuracy when an image is looked at once") == 1  # not of "base"
    words = " ".join(shown.text.split())
    assert words.count("looks at each image several times (mirrored) and averages its answers") == 1


@pytest.mark.usefixtures("undrawn")
def test_without_validation_nothing_is_recommended(tmp_path):
    html = page.render(summary_of(tmp_path, ("ant", "bee"), validation=False, seeds=(4,)))
    words = " ".join(Page(html).text.split())
    assert "Nothing was chosen; the study’s first model is base" in words
    assert "recommended" not in words.lower()
    assert "Validation" not in words.replace("Validation images", "")


@pytest.mark.usefixtures("undrawn")
def test_a_hundred_classes_are_ranked_and_the_rest_is_folded_away(tmp_path):
    study = make_study(variations={}, seeds=(0,))
    splits = make_splits(tuple(f"class {k}" for k in range(100)), per_class=(1, 1, 2))
    run = make_run(tmp_path, study, splits, "base", 0, accuracy=0.5)
    found = summarise(study, [run], splits, recipes_changed={}, test_came_with_data=True)
    html = page.render(found)
    words = " ".join(Page(html).text.split())
    assert "The twelve classes with the lowest F1, of 100" in words
    assert "All 100 classes" in words
    assert "Right class among the first five" in words
    assert "The other models" not in words


@pytest.fixture
def small(tmp_path):
    return summary_of(tmp_path / "runs", ("ant", "bee"), variations={}, seeds=(0,))


@pytest.mark.usefixtures("undrawn")
def test_a_report_is_written_whole(tmp_path, small):
    path = tmp_path / "new" / "report.html"
    page.write_report(small, path)
    assert path.read_text(encoding="utf-8") == page.render(small)
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_cannot_be_written_says_where(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        page.write_report(small, tmp_path / "file" / "report.html")
    assert str(tmp_path / "file" / "report.html") in str(caught.value)


ONE = {"smooth": {"label_smoothing": 0.2}}


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    """A study whose images were inspected: 3 of 16 test images were found among the others."""
    return summary_of(
        tmp_path_factory.mktemp("runs"), ("ant", "bee"), leaks=3, variations=ONE, seeds=(0, 1)
    )


def words_of(summary):
    return " ".join(Page(page.render(summary)).text.split())


def test_a_report_shows_what_the_checks_of_the_data_found(looked_at):
    html = page.render(looked_at)
    shown = Page(html)
    assert faults_of_a_page(html) == []
    assert shown.cells.count("Copies on both sides of a splitTS008") == 1
    start = shown.cells.index("Copies on both sides of a splitTS008")
    assert shown.cells[start + 1 : start + 3] == ["falsifies results", "3"]
    words = " ".join(shown.text.split())
    assert "1 finding would falsify results, 1 is worth mending." in words
    assert "mean = [0." in words  # normalization constants, folded away
    assert page.render(json.loads(json.dumps(looked_at))) == html


@pytest.mark.usefixtures("undrawn")
def test_a_report_tells_accuracy_with_and_without_leaked_test_images(looked_at):
    base = looked_at["variations"][0]["test"]
    leaks = base["leaks"]
    assert leaks["images"] == 3
    words = words_of(looked_at)
    chosen = next(
        one
        for one in looked_at["variations"]
        if one["name"] == looked_at["recommended"]["variation"]
    )["test"]
    assert (
        "3 of 16 test images have copies among the training images, those set apart for "
        "validation included. On them "
        f"{looked_at['recommended']['variation']} is right in "
        f"{percent(chosen['leaks']['accuracy'])}, on the other test images in "
        f"{percent(chosen['leaks']['accuracy_without'], 2)}, on all in "
        f"{percent(chosen['accuracy'], 2)}."
    ) in words
    assert "Without leaked images" in words
    html = page.render(looked_at)
    table = Page(html[html.index('<table id="model-table"') :].split("</table>")[0])
    for one in looked_at["variations"]:
        without = percent(one["test"]["leaks"]["accuracy_without"], 2)
        assert f"{without}13 images" in table.cells
    (limit,) = [one for one in looked_at["limits"] if "have copies" in one]
    assert limit.startswith(
        "3 of 16 test images have copies among the training images, so the test accuracy can be "
        f"too high. Without them it is {percent(leaks['accuracy_without'], 2)} for “base” (with "
        f"them {percent(base['accuracy'], 2)}), "
    )


@pytest.mark.usefixtures("undrawn")
def test_a_report_without_leaks_has_no_column_for_them(tmp_path, parsed):
    none_found = summary_of(tmp_path, ("ant", "bee"), leaks=0, variations={}, seeds=(0,))
    words = words_of(none_found)
    assert "No copy of a training image was found among the test images." in words
    assert "Without leaked images" not in words
    assert any(one.startswith("Among the test images no copy") for one in none_found["limits"])
    nobody_looked = " ".join(parsed.text.split())
    assert "copies of training images are among the test images was not looked for" in nobody_looked
    assert "Without leaked images" not in nobody_looked


def test_where_the_test_split_was_cut_here_finding_no_leak_is_no_limit(tmp_path):
    found = summary_of(tmp_path, ("ant", "bee"), leaks=0, came=False, variations={}, seeds=(0,))
    assert not any("cop" in sentence for sentence in found["limits"])


@pytest.mark.usefixtures("undrawn")
def test_a_test_split_that_leaked_as_a_whole_says_nothing(tmp_path):
    found = summary_of(tmp_path, ("ant", "bee"), leaks=8, variations={}, seeds=(0,))
    for one in found["variations"]:
        one["test"]["leaks"] = {"images": 16, "accuracy": 0.9, "accuracy_without": None}
    words = words_of(found)
    assert "16 of 16 test images have copies" in words
    assert "on the other test images" not in words


@pytest.mark.usefixtures("undrawn")
def test_a_report_says_what_a_review_file_changed(tmp_path, parsed):
    reviewed = ReviewCounts("<i>mine</i>.csv", 12, 3)
    words = words_of(
        summary_of(tmp_path, ("ant", "bee"), reviewed=reviewed, variations={}, seeds=(0,))
    )
    assert (
        "A review file (<i>mine</i>.csv) took out 12 images and gave 3 another class before "
        "anything was learnt."
    ) in words
    assert "review file" not in parsed.text


CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SECTIONS = ("published", "known", "findings", "next")


def section_of(html, name):
    """The text of one section, with single spaces; empty where the page has none."""
    _, found, rest = html.partition(f'<section id="{name}"')
    return " ".join(Page(found + rest.split("</section>")[0]).text.split()) if found else ""


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
        seeds=(0, 1),
        published={
            "simple": {"parameters": 1000, "differs": ["Three seeds.", "No <i>dropout</i>."]},
            "longer": {
                "test_accuracy": 0.35,
                "epochs": 40,
                "minutes": 2,
                "differs": ["Three seeds."],
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
        f"Test accuracytest split, 200 images, 2 seeds35%{percent(test['accuracy'], 2)}"
        f"{between(test['seed_interval'], 2)}95% over seeds"
    ) in told
    assert "the measured one is above" in told
    assert "Parameters1,0001,000the same" in told
    assert "Epochs404−36" in told
    assert "Training timethis machine, 2 seeds2 min 0 s40.0 s3 times as fast" in told
    assert "Source: A <i>workshop</i>." in told


def test_where_the_method_differs_is_told_once_for_all_and_else_by_name(page_beside):
    told = section_of(page_beside, "published")
    assert told.count("Three seeds.") == 1
    assert "Three seeds. No <i>dropout</i>. (simple)" in told


def test_the_best_published_network_is_compared_with_a_recipe_that_is_no_larger(
    page_beside, beside
):
    told = section_of(page_beside, "published")
    accuracy = beside["variations"][2]["test"]["accuracy"]
    assert "What a better recipe reaches in less time The highest" in told
    assert "that of longer: 35%" in told
    assert f"It is {100 * accuracy - 35:.2f} points above the published figure" in told
    # 60 seconds of the first training, 40 of that which goes on from it, 20 of ours.
    assert "5 times as fast in training on the same machine" in told
    assert "1 min 40 swith simple, from which it goes on" in told


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
    assert "and so without a curve: vgg16-random-forest." in words
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


LATER = ("findings", "suggestions", "improvements")

FINDING = {
    "title": "Known <i>by heart</i>",
    "severity": "warning",
    "why": "…",
    "remedy": "Augment.",
    "reason": "",
}
FINDINGS = [
    {**FINDING, "code": "TS101", "outcome": "clear", "items": []},
    {
        **FINDING,
        "code": "TS102",
        "outcome": "not applicable",
        "reason": "because there is no history",
        "items": [],
    },
    {
        **FINDING,
        "code": "TS103",
        "outcome": "found",
        "items": [{"variation": f"<b>{n}</b>", "evidence": f"Evidence {n}."} for n in range(6)],
    },
]


SUGGESTION = {
    "rank": 1,
    "code": "TS102",
    "title": "Twice the <b>epochs",
    "why": "Loss still falls.",
    "variation": "base",
    "changes": {"epochs": 40, "plateau_patience": None, "widths": [24, 96]},
    "expected_gain": 0.02,
    "cost": 2.0,
}
STEP = {
    "variation": "improved-1",
    "from": "base",
    "suggestion": "Smooth the labels",
    "changes": {"label_smoothing": 0.1},
    "val_gain": 0.0123,
    "interval": [0.004, 0.0206],
    "verdict": "better",
    "test_gain": -0.001,
}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with findings, suggestions and improvements."""
    summary = summary_of(tmp_path_factory.mktemp("runs"), ("a", "b"), variations={}, seeds=(0,))
    later = {
        "findings": FINDINGS,
        "suggestions": [SUGGESTION, SUGGESTION | {"rank": 2, "title": "Another", "cost": None}],
        "improvements": [STEP, STEP | {"variation": "improved-2", "test_gain": None}],
    }
    return page.render(summary | later)


def test_findings_come_first_and_what_is_clear_is_folded_away(full):
    assert faults_of_a_page(full) == []
    assert "<i>by" not in full
    assert "<b><b>" not in full
    told = section_of(full, "findings")
    assert told.index("TS103") < told.index("2 checks that found nothing or do not apply")
    assert told.index("do not apply") < told.index("TS101") < told.index("TS102")
    assert "<b>0</b>: Evidence 0." in told
    assert "2 more<b>4</b>: Evidence 4." in told
    assert "not applicable because there is no history" in told
    assert "worth mending" in told


def test_suggestions_are_ranked_with_their_recipe_keys_and_the_command(full):
    assert "<b>epochs" not in full
    told = section_of(full, "next")
    assert "tinyscope improve FOLDER" in told
    assert "1. Twice the <b>epochsTS102" in told
    assert 'epochs = 40, plateau_patience = "none", widths = [24, 96]' in told
    assert told.index("2 times") < told.index("2. Another") < told.index("not known")


def test_what_each_step_brought_is_told_with_its_interval(full):
    told = section_of(full, "next")
    assert (
        "improved-1from baseSmooth the labelslabel_smoothing = 0.1+1.23+0.40 to +2.06better−0.10"
    ) in told
    assert "+0.40 to +2.06better–" in told  # no test figure of the second


@pytest.mark.usefixtures("undrawn")
def test_without_suggestions_and_with_nothing_found_the_page_says_only_that(small):
    later = {"findings": FINDINGS[:2], "suggestions": [], "improvements": [STEP]}
    html = page.render(small | later)
    assert "No check found anything." in section_of(html, "findings")
    assert "What each step brought" in section_of(html, "next")
    assert "tinyscope improve" not in html
