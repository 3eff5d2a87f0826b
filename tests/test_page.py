import json
import re
from dataclasses import replace

import pytest
from page_reader import Page, faults_of_a_page
from page_world import HOSTILE, small_summary, summary_of
from study_world import ENVIRONMENT, make_run, make_splits, make_study

from tinyscope.errors import StorageError
from tinyscope.report import page
from tinyscope.report.summary import summarise
from tinyscope.wording import between, duration, percent


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
def test_trainings_that_are_all_alike_have_no_spread_and_are_not_called_one(tmp_path):
    found = summary_of(tmp_path, ("ant", "bee"), variations={}, seeds=(0, 1))
    found["recommended"]["seed_interval"] = found["variations"][0]["test"]["seed_interval"] = None
    words = " ".join(Page(page.render(found)).text.split())
    assert "of the same accuracy: how far trainings spread is not known" in words
    assert "all seeds alike" in words
    assert "one seed" not in words


@pytest.mark.usefixtures("undrawn")
def test_intervals_are_said_to_be_where_the_accuracy_on_all_images_and_seeds_lies(tmp_path):
    words = " ".join(Page(page.render(small_summary(tmp_path))).text.split())
    assert (
        "95% over images (Wilson): where the accuracy of one trained model on all images of this "
        "kind lies. 95% over seeds (Student): where the mean over all seeds lies, on these test "
        "images. The figure of a single further draw of images, or of a single further training, "
        "falls outside more often than in one case of twenty."
    ) in words


@pytest.mark.usefixtures("undrawn")
def test_the_time_to_train_is_told_with_what_trained_it_and_what_came_before(tmp_path):
    study = make_study(variations={"longer": {"start_from": "base"}}, seeds=(0,))
    splits = make_splits(("ant", "bee"))
    base, longer = (
        make_run(tmp_path, study, splits, name, 0, accuracy=accuracy)
        for name, accuracy in (("base", 0.5), ("longer", 0.9))
    )
    graphics = {"device": "cuda", "device_name": "Example GPU"}
    longer = replace(longer, environment=ENVIRONMENT | graphics)
    found = summarise(study, [base, longer], splits, recipes_changed={}, test_came_with_data=True)
    words = " ".join(Page(page.render(found)).text.split())
    assert "4.0 sExample GPU; with base, from which it goes on" in words
    assert "Hardware: Example CPU, 2 cores" in words
    assert "Hardware: Example GPU, 2 cores" in words


@pytest.mark.usefixtures("undrawn")
def test_costs_of_a_model_that_goes_on_from_others_count_theirs_in(tmp_path):
    study = make_study(
        variations={"longer": {"start_from": "base"}, "longest": {"start_from": "longer"}},
        seeds=(0,),
    )
    splits = make_splits(("ant", "bee"))
    runs = [
        make_run(tmp_path, study, splits, name, 0, accuracy=0.8, seconds=seconds)
        for name, seconds in (("base", 30.0), ("longer", 2.0), ("longest", 1.0))
    ]
    found = summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)
    html = page.render(found)
    cells = Page(html[html.index('aria-label="Cost of the models"') :].split("</table>")[0]).cells
    assert cells[cells.index("base") + 1 : cells.index("base") + 4] == [
        "30.0 s",
        "45.0 s",
        "1 TFLOP",
    ]
    last = cells.index("longestwith longer, base, from which it goes on")
    assert cells[last + 1 : last + 4] == ["33.0 s", "49.5 s", "3 TFLOP"]
    words = " ".join(Page(html).text.split())
    assert "of that one's training are counted in" in words
    assert "with what came before, it took 3 TFLOP and 33.0 s." in words
    table = Page(html[html.index('<table id="model-table"') :].split("</table>")[0])
    assert "33.0 swith longer, base" in table.cells


@pytest.mark.usefixtures("undrawn")
def test_validation_images_that_came_with_the_data_are_not_said_to_be_cut(tmp_path):
    study, splits = make_study(variations={}, seeds=(0,)), make_splits(("ant", "bee"))
    run = make_run(tmp_path, study, splits, "base", 0, accuracy=0.5)
    for came in (True, False):
        found = summarise(
            study,
            [run],
            splits,
            recipes_changed={},
            validation_came_with_data=came,
            test_came_with_data=True,
        )
        words = " ".join(Page(page.render(found)).text.split())
        assert ("the validation images came with the data." in words) is came
        assert ("were set apart for validation" in words) is not came


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
    return small_summary(tmp_path / "runs")


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
