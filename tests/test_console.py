import io
import time
from dataclasses import replace

import pytest
from rich.console import Console
from test_local import STUDY

from tinyscope import console
from tinyscope.console import LiveProgress, PlainProgress, duration, figures
from tinyscope.data.review import ReviewCounts
from tinyscope.data.splitting import complete
from tinyscope.plan.study import Study
from tinyscope.sweep.local import run_study
from tinyscope.sweep.planned import plan_runs

ROW = {
    "epoch": 3,
    "train_loss": 0.5,
    "train_accuracy": 0.812,
    "val_loss": 0.61234,
    "val_accuracy": 0.79,
    "seconds": 12.34,
    "images_per_second": 3647.2,
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (725, "12 min"), (11_100, "3 h 5 min")],
)
def test_durations_are_told_in_the_unit_that_people_would_use(seconds, text):
    assert duration(seconds) == text


def test_an_epoch_is_a_line_of_figures():
    assert figures(ROW) == (
        "loss 0.5000  accuracy 81.2%  val_loss 0.6123  val_accuracy 79.0%  12.3 s  3,647 images/s"
    )
    unwatched = ROW | {"val_loss": None, "val_accuracy": None}
    assert figures(unwatched) == "loss 0.5000  accuracy 81.2%  12.3 s  3,647 images/s"


def test_a_suggestion_that_is_passed_over_is_a_line_with_the_reason(capsys):
    PlainProgress().passed_over("Twice the epochs", "They are too many.")
    told = "passed over, “Twice the epochs”: They are too many.\n"
    assert capsys.readouterr().err == told


def test_what_a_review_has_changed_is_a_line(capsys):
    PlainProgress().reviewed(ReviewCounts("review.csv", 1, 12))
    PlainProgress().reviewed(ReviewCounts("r.csv", 2, 0, ("a/1.png", "b/2.png"), 3))
    assert capsys.readouterr().err.splitlines() == [
        "review.csv: 1 image taken out, 12 given another class",
        "r.csv: 2 images taken out, 0 given another class; 3 more are test images, which stay as "
        "they are; gone, so that their rows count as done: a/1.png and 1 more",
    ]


def test_reading_is_announced_only_when_it_takes_long(monkeypatch, capsys):
    monkeypatch.setattr(console, "_SILENT_SECONDS", 0.05)
    with PlainProgress().loading("photos/"):
        pass
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
    with PlainProgress().loading("photos/"):
        time.sleep(0.2)
    assert capsys.readouterr().err == (
        "reading photos/; images are decoded once and kept for the next time\n"
    )


def test_variations_that_hardly_train_at_all_are_named_beforehand(world, capsys, tmp_path):
    images = len(complete(world, validation=STUDY.validation, seed=0).train)
    for steps, told in ((149, True), (150, False)):
        study = replace(STUDY, overrides={"epochs": steps, "batch_size": images})
        planned = plan_runs(study, complete(world, validation=0.1, seed=0), tmp_path)
        PlainProgress().planned(planned, 1.0, "")
        line = (
            "only 149 steps for {}, 149 steps for {}: a training has hardly begun after so few; "
            "more epochs or smaller batches help, as in --set epochs=60 --set batch_size=32\n"
        ).format(*planned.recipes)
        assert capsys.readouterr().err.endswith(line) is told


def test_fits_whose_time_is_not_known_are_named_beforehand(world, capsys, tmp_path):
    variations = {"forest": {"classifier": "random-forest"}, "tuned": {"recipe": "fine-tuning"}}
    study = Study(name="s", recipe="transfer", base=False, seeds=(0, 1), variations=variations)
    planned = plan_runs(study, complete(world), tmp_path)
    PlainProgress().planned(planned, 60.0, "")
    assert capsys.readouterr().err.splitlines()[0] == (
        "s: 2 variations x 2 seeds = 4 runs; about 60 s on this machine, the fits of forest not "
        "counted"
    )


def test_the_live_display_leaves_the_same_lines_and_a_bar_that_goes_away(
    world, monkeypatch, tmp_path
):
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(console, "Console", lambda stderr: terminal)
    with LiveProgress() as live:
        run_study(STUDY, world, out=tmp_path / "s", listener=live)
    text = written.getvalue()
    assert "run 1 of 4: base, seed 0 (layer-stack)" in text
    assert text.count("  epoch 2/2  loss ") == 4
    assert "%" in text
