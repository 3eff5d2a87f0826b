"""Summaries of made-up studies for the tests of the report page, and the words of a page."""

from inspection_world import make_inspection
from page_reader import Page
from study_world import make_run, make_splits, make_study

from tinyscope.data.dataset import LeftOut
from tinyscope.data.review import NOT_REVIEWED
from tinyscope.report import page
from tinyscope.report.summary import summarise

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


def small_summary(folder):
    """That of a study of two classes with one run."""
    return summary_of(folder, ("ant", "bee"), variations={}, seeds=(0,))


def words_of(summary):
    return " ".join(Page(page.render(summary)).text.split())


def section_of(html, name):
    """The text of one section, with single spaces; empty where the page has none."""
    _, found, rest = html.partition(f'<section id="{name}"')
    return " ".join(Page(found + rest.split("</section>")[0]).text.split()) if found else ""
