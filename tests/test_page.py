import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from study_world import make_run, make_splits, make_study

from tinyscope.data.dataset import LeftOut
from tinyscope.errors import StorageError
from tinyscope.report import page
from tinyscope.report.summary import summarise

VOID = {"meta", "img", "br", "link", "input", "hr", "path", "use", "rect", "image"}
HOSTILE = ("<b>ant</b>", '"><script>alert(1)</script>', "{{ 7 * 7 }}", "x" * 300, "'bee' & co")


def summary_of(folder, names=HOSTILE, *, validation=True, **changes):
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
    return summarise(study, runs, splits, recipes_changed=changed, test_came_with_data=True)


class Page(HTMLParser):
    """Tags in order, the text, and whether every element is closed in its turn."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.faults, self.cells = [], [], [], []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))

    def handle_data(self, data):
        self.text += data
        if self.open and {"td", "th"} & set(self.open):
            self.cells[-1] += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


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


def test_every_element_is_closed_in_its_turn(parsed):
    assert parsed.faults == []
    assert parsed.open == []


def test_the_page_asks_nothing_of_the_outside(html, parsed):
    for tag, attributes in parsed.tags:
        for key in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            value = attributes.get(key) or "#"
            assert value.startswith(("#", "data:image/png;base64,")), (tag, key, value)
    assert not re.search(r"https?://", html)
    assert "@import" not in html
    assert not [one for one in re.findall(r"url\((.)", html) if one != "#"]
    assert not parsed.all("script")
    assert not parsed.all("link")
    (policy,) = [one for one in parsed.all("meta") if "http-equiv" in one]
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_every_picture_and_figure_has_words_for_those_who_do_not_see_it(parsed):
    assert parsed.all("img")
    assert all(one.get("alt") for one in parsed.all("img"))
    assert len(parsed.all("svg")) == 4 + 3 * 3  # four of all models, three of each
    assert all(one["role"] == "img" and one["aria-label"] for one in parsed.all("svg"))
    boxes = [one for one in parsed.all("div") if one.get("class") == "box"]
    assert all(one["aria-label"] and one["tabindex"] == "0" for one in boxes)


def test_headings_come_in_order(parsed):
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_links_on_the_page_lead_somewhere(parsed):
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"][1:] for one in parsed.all("a")} <= set(ids)


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
            page.duration(one["train_seconds"]),
            page.percent(one["validation"]["accuracy"], 2),
            page.percent(test["accuracy"], 2),
            page.between(test["seed_interval"], 2),
            page.percent(test["lowest_seed_accuracy"], 2),
            page.between(test["image_interval"], 2),
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


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (284_300_000_000_000, "284 TFLOP"),
        (1.4e15, "1.4 PFLOP"),
        (27_123_000_000, "27.1 GFLOP"),
        (4_000_000, "0.004 GFLOP"),
        (0, "0 GFLOP"),
    ],
)
def test_flop_are_told_with_three_digits_in_the_unit_that_people_would_use(number, text):
    assert page.flop(number) == text


def test_the_cost_of_each_model_is_told_in_seconds_and_in_arithmetic(parsed):
    words = " ".join(parsed.text.split())
    assert words.count("Its training took 1.23 TFLOP.") == 3
    # A row of the table of costs: seconds on the wall, of the processor, arithmetic, epochs.
    start = parsed.cells.index("Arithmetic") + 4
    assert parsed.cells[start + 1 : start + 5] == ["2.0 s", "3.0 s", "1.23 TFLOP", "4"]
    assert "two for each multiplication with its addition" in words


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


def test_without_validation_nothing_is_recommended(tmp_path):
    html = page.render(summary_of(tmp_path, ("ant", "bee"), validation=False, seeds=(4,)))
    words = " ".join(Page(html).text.split())
    assert "Nothing was chosen; the study’s first model is base" in words
    assert "recommended" not in words.lower()
    assert "Validation" not in words.replace("Validation images", "")


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


def test_a_report_is_written_whole(tmp_path, small):
    path = tmp_path / "new" / "report.html"
    page.write_report(small, path)
    assert path.read_text(encoding="utf-8") == page.render(small)
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written_says_where(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        page.write_report(small, tmp_path / "file" / "report.html")
    assert str(tmp_path / "file" / "report.html") in str(caught.value)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (page.percent(0.91234), "91.2%"),
        (page.percent(None), "–"),
        (page.certainty(0.99999), ">\N{NO-BREAK SPACE}99.9%"),
        (page.certainty(0.9994), "99.9%"),
        (page.between([0.9061, 0.9182]), "90.6–91.8%"),
        (page.points(0.013), "+1.30"),
        (page.points(-0.013), "\N{MINUS SIGN}1.30"),
        (page.points(-0.00001), "0.00"),
        (page.duration(1.25), "1.2 s"),
        (page.duration(151), "2 min 31 s"),
        (page.duration(3 * 3600 + 62), "3 h 1 min"),
        (page.p_value(0.0001), "< 0.001"),
        (page.p_value(0.0312), "0.031"),
        (page.moment("2026-01-31T09:05:59+00:00"), "2026-01-31 09:05 UTC"),
        (page.choice_text(["conv 8", "dense"]), "conv 8 · dense"),
        (page.choice_text(True), "yes"),
    ],
)
def test_numbers_are_written_for_people(shown, expected):
    assert shown == expected
