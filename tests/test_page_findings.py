"""Findings, suggestions and the steps of `improve` on the page."""

import pytest
from page_reader import faults_of_a_page
from page_world import section_of, small_summary, summary_of

from tinyscope.report import page

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
    "p_value": 0.004,
    "adjusted_p_value": 0.012,
    "verdict": "better",
    "test_gain": -0.001,
}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with findings, suggestions and improvements."""
    summary = summary_of(tmp_path_factory.mktemp("runs"), ("a", "b"), variations={}, seeds=(0,))
    later = {
        "comparisons": summary["comparisons"] | {"pairs": 3},
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
    assert "never at what its models answer to the test images" in told
    assert "TS112 compares them with what a recipe that comes along reached on CIFAR-10’s" in told


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
    assert "p adjusted (Holm) over all 3 pairs of models" in told
    assert "interval of the difference is of each pair alone" in told


@pytest.fixture
def small(tmp_path):
    return small_summary(tmp_path / "runs")


@pytest.mark.usefixtures("undrawn")
def test_without_suggestions_and_with_nothing_found_the_page_says_only_that(small):
    later = {"findings": FINDINGS[:2], "suggestions": [], "improvements": [STEP]}
    html = page.render(small | later)
    assert "No check found anything." in section_of(html, "findings")
    assert "What each step brought" in section_of(html, "next")
    assert "tinyscope improve" not in html
