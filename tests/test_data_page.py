import json
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_images
from inspection_world import make_inspection
from page_reader import Page, faults_of_a_page
from study_world import make_splits

from tinyscope.data.dataset import LeftOut, Splits
from tinyscope.errors import StorageError
from tinyscope.inspection.checks import CHECKS
from tinyscope.report import data_figures, data_page
from tinyscope.report.leaks import leaked_test_rows

HOSTILE = ("<b>ant</b>", '"><script>alert(1)</script>', "{{ 7 * 7 }}", "x" * 300, "'bee' & co")


@pytest.fixture(scope="module")
def splits():
    """120 training and 40 test images of four classes, as files with names that try to be tags."""
    train, test = make_images(120, seed=3), make_images(40, seed=4, split="test")
    files = tuple(f"train/<u>{row}</u>/{'long ' * 30}{row}.png" for row in range(len(train)))
    left_out = tuple(LeftOut(f"<i>{n}</i>.png", "truncated") for n in range(30))
    return Splits("world", replace(train, files=files, left_out=left_out), None, test)


@pytest.fixture(scope="module")
def summary(splits):
    return make_inspection(splits, found=tuple(set(CHECKS) - {"TS002", "TS003"}))


@pytest.fixture(scope="module")
def html(summary):
    return data_page.render(summary)


@pytest.fixture(scope="module")
def parsed(html):
    return Page(html)


@pytest.fixture(scope="module")
def words(parsed):
    return " ".join(parsed.text.split())


def words_of(summary):
    return " ".join(Page(data_page.render(summary)).text.split())


@pytest.mark.parametrize("trained", [True, False])
def test_the_page_is_well_built_and_asks_nothing_of_the_outside(splits, html, trained):
    shown = html if trained else data_page.render(make_inspection(splits, trained=False))
    assert faults_of_a_page(shown) == []
    assert len(Page(shown).all("svg")) == 4 + trained


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("<script>1</script>", "there is a script"),
        ('<img src="data:image/png;base64,AA">', "a picture has no words"),
        ('<img alt="a" src="//example">', "img asks for //example"),
        ("<style>b{background:url(a.png)}</style>", "a style asks for a.png)}</style></html>"),
        ("<h3>early</h3>", "h3 follows h1"),
        ("<p><b></p></b>", "p is closed in the wrong place"),
        ('<a href="#nowhere">a</a>', "#nowhere leads nowhere"),
    ],
)
def test_the_reader_of_pages_sees_faults(fault, told):
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    plain = f"<html>{policy}<h1>a</h1></html>"
    assert faults_of_a_page(plain) == []
    assert told in faults_of_a_page(plain.replace("</html>", f"{fault}</html>"))


def test_the_page_is_the_same_from_the_summary_that_was_stored(html, summary):
    assert data_page.render(json.loads(json.dumps(summary))) == html


def test_hostile_names_are_shown_and_never_obeyed():
    made = make_inspection(make_splits(HOSTILE, per_class=(8, 1, 8)))
    html = data_page.render(made)
    shown = Page(html)
    assert faults_of_a_page(html) == []
    assert "<b>ant" not in html
    assert "<i>" not in html.split('<div class="field')[0]
    for name in (*HOSTILE[:3], HOSTILE[4]):
        assert name in shown.text


def test_long_names_of_files_are_cut_in_the_middle_and_escaped(parsed, html):
    assert not parsed.all("u")
    rows = [cell for cell in parsed.cells if cell.startswith("train/<u>0</u>/long")]
    assert rows
    assert all(cell.endswith("0.png") and len(cell) <= 60 for cell in rows)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ((), "160 images in 4 classes. No check found anything."),
        (("TS007",), "160 images in 4 classes. 1 finding would falsify results."),
        (
            ("TS007", "TS008", "TS001", "TS003", "TS005"),
            "160 images in 4 classes. 2 findings would falsify results, 3 are worth mending.",
        ),
        (
            ("TS005", "TS002", "TS006"),
            "160 images in 4 classes. Nothing was found that would falsify results; 1 finding is "
            "worth mending, 2 are worth a look.",
        ),
    ],
)
def test_the_answer_counts_findings_by_what_they_do(splits, found, answer):
    whole = Splits("world", replace(splits.train, left_out=()), None, splits.test)
    assert data_page.answer(make_inspection(whole, found=found, map_points=4)) == answer


def test_images_that_cannot_be_used_are_part_of_the_answer(words):
    assert words.index("160 images in 4 classes; 30 more cannot be used.") < words.index(
        "What was found"
    )
    assert "30 files that cannot be used, the first 20 of them" in words
    assert "<i>19</i>.png" in words
    assert "<i>20</i>.png" not in words


def test_findings_are_ranked_with_their_severity_in_words(parsed, summary):
    start = parsed.cells.index("What to do") + 1
    rows = [parsed.cells[start + 4 * n : start + 4 * n + 4] for n in range(len(CHECKS) - 3)]
    said = [row[1] for row in rows]
    order = ["falsifies results", "worth mending", "worth a look"]
    assert said == sorted(said, key=order.index)
    by_code = {one["code"]: one for one in summary["findings"]}
    for title, severity, count, remedy in rows:
        one = by_code[title[-5:]]
        assert title == one["title"] + one["code"]
        assert severity == data_page.SEVERITIES[one["severity"]]
        assert count == str(len(one["items"]))
        assert remedy == one["remedy"]
    assert len({row[0] for row in rows}) == len(CHECKS) - 3


def test_checks_that_found_nothing_or_do_not_apply_are_named_with_the_reason(words):
    named = "TS002 odd files: misnamed, animated, or in no class folder; "
    assert f"Nothing was found by 2 checks: {named}" in words
    assert (
        "1 check does not apply: TS016 shortcuts: a property gives the label away, because" in words
    )


def test_a_finding_shows_its_first_twenty_items_and_says_where_all_are(words, summary):
    leaks = next(one for one in summary["findings"] if one["code"] == "TS005")
    assert len(leaks["items"]) == 30
    assert "The first 20 of 30 items, and more pictures" in words
    assert "All 30 stand in data.json too" in words
    assert f"{leaks['why']} {leaks['summary']} What to do: {leaks['remedy']}" in words


def test_copies_stand_side_by_side(html, summary, splits):
    start = html.index('id="TS008"')
    first = html[html.index("<li", start) : html.index("</li>", start)]
    pictures = [summary["pictures"][key] for key in ("train/0", "test/0")]
    assert re.findall(r'src="([^"]+)"', first) == pictures
    assert "test[0]" in first  # the other's name, for whoever hovers


def test_leaked_test_images_are_named_once_each(summary):
    leaks = next(one for one in summary["findings"] if one["code"] == "TS008")
    rows = leaked_test_rows(summary["findings"])
    assert len(rows) == 3
    assert leaked_test_rows([leaks | {"items": leaks["items"] * 2}]) == rows
    assert leaked_test_rows([leaks | {"status": "clear", "items": []}]) == []
    assert leaked_test_rows([leaks | {"status": "not applicable", "items": []}]) is None
    assert leaked_test_rows([]) is None


def test_normalization_constants_can_be_copied(html, splits):
    pixels = splits.train.images / 255
    numbers = [
        ", ".join(f"{x:.4f}" for x in of) for of in (pixels.mean((0, 1, 2)), pixels.std((0, 1, 2)))
    ]
    assert f"<pre>mean      = [{numbers[0]}]\ndeviation = [{numbers[1]}]</pre>" in html


def test_counts_and_shares_of_every_class_are_in_the_table(parsed, splits):
    start = parsed.cells.index("share") + 3
    assert parsed.cells[start : start + 5] == ["bars", "30", "25.0%", "10", "25.0%"]


def test_without_training_the_page_says_what_is_missing_and_how_to_get_it(splits):
    words = words_of(make_inspection(splits, trained=False, as_files=False))
    assert "The checks that train a model were not made" in words
    assert words.count("tinyscope data without --no-training") == 4
    assert "2 checks do not apply" not in words  # three: TS015, TS016 and TS017
    assert "the images are stored as arrays and not as image files" in words
    assert "on disk" not in words


def test_a_class_without_images_is_named(splits):
    made = make_inspection(splits, map_points=4)
    gap = [{"split": "train", "class": "dots"}]
    made["exploration"]["missing"]["empty_classes"] = gap
    made["exploration"]["balance"] |= {"ratio": None, "p_value": None, "statistic": None}
    made["exploration"]["split_shares"] = None
    words = words_of(made)
    assert "“dots” has no train image." in words
    assert "chi-squared" not in words
    assert "–a class without an image" in words


def test_every_image_of_the_map_has_its_place_its_part_of_the_sheet_and_its_name(parsed, summary):
    points = parsed.all("i")
    assert len(points) == 50
    for n, (drawn, point) in enumerate(zip(points, summary["map"]["points"], strict=True)):
        assert drawn["class"] == f"k{point['class']} s{n // 40}"
        place = re.fullmatch(r"--x:([\d.]+);--y:([\d.]+);--n:(\d+)", drawn["style"])
        x, y, column = map(float, place.groups())
        assert (x, y) == pytest.approx((point["x"], point["y"]), abs=1e-4)
        assert column == n % 40
        name = summary["class_names"][point["class"]]
        assert drawn["title"] == f"{name} · {point['split']}[{point['row']}]"


def test_the_maps_sheet_is_cut_into_its_rows(html, summary, splits):
    import base64
    import io

    from PIL import Image

    uris = re.findall(r"\.s\d+ \{ background-image: url\(([^)]+)\)", html)
    assert len(uris) == 2
    for n, uri in enumerate(uris):
        strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        for place, point in enumerate(summary["map"]["points"][40 * n : 40 * n + 40]):
            tile = strip[:, 16 * place : 16 * place + 16]
            assert (tile == splits.train.images[point["row"]]).all()
    assert summary["map"]["sheet"] not in html


def test_up_to_twelve_classes_have_rings_and_all_can_be_shown_alone(html, parsed):
    assert html.count("--ring: #") == 4
    assert ".map:has(#only3:checked) i:not(.k3) { visibility: hidden; }" in html
    assert len(parsed.all("input")) == 5


def test_a_hundred_classes_and_ten_thousand_items_stay_readable_and_light():
    names = tuple(f"class {k}" for k in range(100))
    made = make_inspection(
        make_splits(names, per_class=(8, 1, 8)), items=700, found=("TS005", "TS015"), families=True
    )
    for one in made["findings"]:
        one["items"] = one["items"] * 15
    html = data_page.render(made)
    words = " ".join(Page(html).text.split())
    assert faults_of_a_page(html) == []
    assert "The first 20 of 10,500 items" in words
    assert "The ten hardest" in words
    assert "Images of all 100 classes" in words
    assert "The other 88 classes" in words
    assert "Of 80 errors, 62.5% stay within a family" in words
    assert "--ring: #" not in html
    assert len(html) < 1_500_000


def test_augmentations_are_told_with_what_they_cost_and_how_it_looks(parsed, html):
    start = parsed.cells.index("vertical fliprecipe: vertical_flip")
    assert parsed.cells[start + 1 : start + 4] == [
        "invalid",
        "65.0%without 86.2%",
        "+21.25+20.85 to +21.65",
    ]
    assert "Vertical flip: invalid" in parsed.text
    assert html.count("The same after the vertical flip") == 4


def test_the_hardest_images_stand_with_the_answer_and_its_probability(words):
    hardest = words[words.index("The hardest images") : words.index("The easiest images")]
    assert len(re.findall(r"is [a-z]+answer edge 99\.2%", hardest)) == 12


def test_one_row_of_odd_values_makes_a_table(summary):
    one = next(one for one in summary["findings"] if one["code"] == "TS005")
    table = [{"value": "<b>", "share_of_all": 0.5, "n": 12345, "yes": True, "none": None}] * 21
    shown = Page(data_page.render(summary | {"findings": [one | {"table": table}]}))
    start = shown.cells.index("Share of all")
    assert shown.cells[start - 1 : start + 9] == [
        *("Value", "Share of all", "N", "Yes", "None"),
        *("<b>", "0.5", "12,345", "yes", "–"),
    ]
    assert "The first 20 of 21 rows" in " ".join(shown.text.split())


def test_a_histogram_is_drawn_as_it_was_counted_with_its_quantiles(summary):
    brightness = summary["exploration"]["brightness"]
    axes = data_figures.spread(brightness, "brightness").axes[0]
    (stairs,) = axes.patches
    assert stairs.get_data().values.tolist() == brightness["histogram"]["counts"]
    assert [line.get_xdata()[0] for line in axes.lines] == [
        brightness["quantiles"][key] for key in ("0.01", "0.5", "0.99")
    ]


def test_of_many_classes_the_ends_of_the_range_are_drawn():
    rows = [
        {"class": f"${k}$", "brightness": k / 50, "brightness_deviation": 0.1} for k in range(50)
    ]
    axes = data_figures.class_spread(rows, "brightness").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [f"${k}$" for k in (*range(10), *range(40, 50))]
    assert list(axes.get_yticks()) == [*range(10), *range(11, 21)]
    whiskers = [tuple(line.get_xdata()) for line in axes.lines[::2]]
    assert whiskers[0] == pytest.approx((-0.1, 0.1))


def test_what_augmentations_cost_is_drawn_in_points_with_a_marker_for_each_verdict(summary):
    axes = data_figures.drops(summary["augmentations"]).axes[0]
    lines = axes.lines
    assert [line.get_xdata()[0] for line in lines[1:-1:2]] == pytest.approx([0.12, 5.75, 21.25])
    assert len({line.get_marker() for line in lines[1:-1:2]}) == 3


def test_an_augmentation_that_too_few_images_were_there_for_is_shown_as_unclear(splits):
    made = make_inspection(splits, map_points=4)
    made["augmentations"][1]["verdict"] = "unclear"
    shown = data_page.render(made)
    assert '<span class="mark note">unclear</span>' in shown


def test_a_page_is_written_whole(tmp_path, summary, html):
    path = tmp_path / "new" / "data.html"
    data_page.write_data_page(summary, path)
    assert path.read_text(encoding="utf-8") == html
    assert [one.name for one in path.parent.iterdir()] == ["data.html"]


def test_a_page_that_cannot_be_written_says_where(tmp_path, summary):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        data_page.write_data_page(summary, tmp_path / "file" / "data.html")
    assert str(tmp_path / "file" / "data.html") in str(caught.value)
