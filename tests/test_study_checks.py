import json
from pathlib import Path

from study_world import make_run, make_splits, make_study
from summary_world import (
    OVERFIT,
    make_summary,
    variation,
)

from tinyscope.diagnosis.study_checks import STUDY_CHECKS, study_findings
from tinyscope.inspection.checks import CHECKS
from tinyscope.report.summary import summarise


def test_codes_follow_those_of_the_data_and_every_outcome_has_one_form():
    codes = [*CHECKS, *STUDY_CHECKS]
    assert len(set(codes)) == len(codes)
    found = study_findings(make_summary(variation(history=OVERFIT), variation("b")))
    assert [one["code"] for one in found] == list(STUDY_CHECKS)
    for one in found:
        assert set(one) == {
            *("code", "title", "severity", "why", "remedy", "outcome", "reason", "items"),
        }
        assert (one["outcome"] == "found") == bool(one["items"])
        assert (one["outcome"] == "not applicable") == one["reason"].startswith("because ")
        for item in one["items"]:
            assert {"variation", "evidence"} < set(item)
            assert item["evidence"].endswith(".")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_check_has_a_section_in_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "checks.md").read_text(encoding="utf-8")
    for code, check in STUDY_CHECKS.items():
        title, _, text = page.split(f"## {code} ")[1].partition("\n")
        assert title == check.title
        assert text.startswith(check.severity.capitalize())


def test_a_summary_holds_the_findings_and_the_pairs_that_differ_in_one_key(tmp_path):
    study = make_study(seeds=(0,))
    splits = make_splits(("ant", "bee", "cat", "dog"), per_class=(12, 40, 50))
    runs = [
        make_run(tmp_path, study, splits, name, 0, accuracy=accuracy)
        for name, accuracy in (("base", 0.6), ("smooth", 0.9), ("resnet", 0.95))
    ]
    summary = summarise(study, runs, splits, recipes_changed={}, test_came_with_data=True)
    assert summary["findings"] == study_findings(summary)
    rows = summary["comparisons"]["one_key"]
    assert [(row["first"], row["second"], row["key"]) for row in rows] == [
        ("base", "smooth", "label_smoothing"),
        ("base", "resnet", "model"),
    ]
    assert rows[0]["verdict"] == "worse"
    assert rows[0]["images"] == 160
    assert summary["improvements"] == []


def test_a_summary_from_before_a_key_existed_is_judged_all_the_same():
    summary = make_summary(variation(history=OVERFIT))
    expected = study_findings(summary)
    del summary["variations"][0]["recipe"]["test_views"]
    assert study_findings(summary) == expected
