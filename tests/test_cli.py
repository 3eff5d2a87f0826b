import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.cli import commands

COMMAND = Path(sys.executable).with_name("tinyscope")
NO_STUDY = (
    "There is no finished study in nowhere: expected a summary.json, which a study writes once all "
    'its runs are finished. "tinyscope list runs FOLDER" shows what is there.'
)
QUICK = ("--set", "epochs=1", "--seeds", "1")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A finished demo of one epoch, run by the installed command."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [COMMAND, "demo", *QUICK, "--out", str(folder / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / "out", done


def test_the_demo_ends_with_the_recommendation_its_interval_and_the_reports_path(demo):
    folder, done = demo
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"Recommended: [\w-]+ \(layer-stack\)", lines[0])
    assert re.fullmatch(
        r"Test accuracy: \d+\.\d% of \d+ images \(95% interval \d+\.\d–\d+\.\d%\)",
        lines[1],
    )
    assert lines[2:] == [f"Report: {folder / 'report.html'}"]
    assert (folder / "report.html").stat().st_size > 50_000


def test_the_demo_says_beforehand_what_it_will_do_and_how_long_it_takes(demo):
    told = [line for line in demo[1].stderr.splitlines() if not line.startswith("looking at")]
    assert re.fullmatch(
        r"digits: [\d,]+ train, \d+ validation, \d+ test images of 8x8, 10 classes", told[-9]
    )
    assert re.fullmatch(
        r"demo: 3 variations x 1 seed = 3 runs; about \d+ s on this machine", told[-8]
    )


def test_progress_is_one_plain_line_an_epoch_where_there_is_no_terminal(demo):
    epochs = [line for line in demo[1].stderr.splitlines() if line.startswith("  epoch")]
    assert len(epochs) == 3
    for line in epochs:
        assert re.fullmatch(
            r"  epoch 1/1  loss [\d.]+  accuracy [\d.]+%  val_loss [\d.]+  val_accuracy [\d.]+%  "
            r"[\d.]+ s  [\d,]+ images/s",
            line,
        )


def test_json_is_the_only_thing_on_standard_output(demo, tinyscope):
    answer = tinyscope("run", "demo", *QUICK, "--out", demo[0], "--json")
    printed = json.loads(answer.out)
    assert answer.status == 0
    assert printed["report"] == str(demo[0] / "report.html")
    assert "3 finished before are kept" in answer.err


def test_a_part_of_a_study_keeps_its_finished_runs_and_its_report_says_what_is_left_out(
    demo, tinyscope, here
):
    whole = json.loads((demo[0] / "summary.json").read_text())
    names = [each["name"] for each in whole["variations"]]
    shutil.copytree(demo[0], here / "part")
    arguments = ("run", "demo", *QUICK, "--out", "part")
    answer = tinyscope(*arguments, "--only", names[1], "--json")
    assert "1 variation x 1 seed = 1 run (1 finished before are kept)" in answer.err
    summary = json.loads((here / "part" / "summary.json").read_text())
    assert [each["name"] for each in summary["variations"]] == [names[1]]
    page = " ".join((here / "part" / "report.html").read_text().split())
    assert f"these were not asked for: {names[0]}, {names[2]}." in page
    assert "these were not asked for" not in (demo[0] / "report.html").read_text()
    assert "3 finished before are kept" in tinyscope(*arguments, "--json").err


def test_a_report_can_be_written_anew_elsewhere(demo, tinyscope, here):
    answer = tinyscope("report", demo[0], "-o", "copy.html")
    assert answer.out == f"Report: {here / 'copy.html'}\n"
    assert (here / "copy.html").read_text() == (demo[0] / "report.html").read_text()


def test_list_checks_shows_those_of_data_and_of_studies(tinyscope):
    lines = tinyscope("list", "checks").out.splitlines()
    assert lines[0].startswith("TS001  warning")
    assert any(re.fullmatch(r"TS101  warning  Training images known by heart.*", x) for x in lines)


def test_improve_ends_as_run_does_and_says_what_each_step_has_brought(demo, tinyscope, monkeypatch):
    from tinyscope.sweep import improve

    step = {
        "variation": "improved-1",
        "from": "base",
        "suggestion": "Twice the epochs",
        "val_gain": 0.0312,
        "interval": [0.01, 0.05],
        "verdict": "better",
        "adjusted_p_value": 0.0123,
        "test_gain": -0.004,
    }
    asked = []

    def improved(folder, *, steps, data, listener):
        from tinyscope.sweep.outcome import read_study

        asked.append((folder, steps, data))
        study = read_study(folder)
        study.summary["improvements"] = [step]
        return study

    monkeypatch.setattr(improve, "improve", improved)
    lines = tinyscope("improve", demo[0], "--steps", "3").out.splitlines()
    assert asked == [(demo[0], 3, None)]
    assert lines[0] == (
        "improved-1, from base: Twice the epochs. Validation +3.1 points (+1.0 to +5.0), better "
        "(p = 0.012, adjusted over all pairs of variations); "
        "test -0.4"
    )
    assert lines[1:] == demo[1].stdout.splitlines()
    printed = json.loads(tinyscope("improve", demo[0], "--data", "moved", "--json").out)
    assert asked[1] == (demo[0], 2, "moved")
    assert printed["improvements"] == [step]
    assert {"study", "recommended", "variations", "report"} < set(printed)


def test_list_shows_runs_with_their_validation_accuracy(demo, tinyscope):
    lines = tinyscope("list", "runs", demo[0]).out.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert re.fullmatch(r".*-seed0-[0-9a-f]{8}: val_accuracy [\d.]+%, \d+ s of training", line)


@pytest.mark.parametrize("kind", ["studies", "recipes", "models", "datasets"])
def test_list_names_everything_with_a_sentence(tinyscope, kind):
    answer = tinyscope("list", kind)
    assert answer.status == 0
    expected = {
        "studies": [
            "demo",
            "published-a",
            "published-b",
            "plain-vs-quick",
            "quickstart",
            "transfer",
        ],
        "recipes": ["plain", "compact", "learning_rate"],
        "models": ["resnet-20", "kossowska-1", "layer-stack"],
        "datasets": ["digits", "cifar10", "cifar100"],
    }[kind]
    for name in expected:
        assert re.search(rf"^{name} +\S", answer.out, re.MULTILINE)


def test_doctor_names_versions_device_precision_and_what_is_missing(tinyscope):
    out = tinyscope("doctor").out
    for name in ("tinyscope", "python", "torch", "processor", "device", "precision", "cache"):
        assert re.search(rf"^{name} +\S", out, re.MULTILINE)
    assert "missing" in out or "torch uses" in out


LONG = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["run", "quikstart"],
            'Unknown study "quikstart". Did you mean "quickstart"? Run "tinyscope list studies" to '
            "see all 15.",
        ),
        (
            ["run", "demo", "--data", "cifar1"],
            'Unknown data set "cifar1". Did you mean "cifar10"? Run "tinyscope list datasets" to '
            "see all 3.",
        ),
        (
            ["run", "demo", "--set", "epoch=3"],
            'Unknown recipe key "epoch". Did you mean "epochs"? Run "tinyscope list recipes" to '
            "see all 58.",
        ),
        (
            ["run", "demo", "--set", "model=resnet-2"],
            'Unknown model "resnet-2". Did you mean "resnet-20"? Run "tinyscope list models" to '
            "see all 16.",
        ),
        (
            ["run", "demo", "--set", "model=layer-stack", "--set", 'layers=["dense 9"]'],
            'layers: layer 1 ("dense 9"): "flatten" or "globalpool" has to come before it.',
        ),
        (
            ["run", "demo", "--set", "epochs"],
            '--set "epochs" is not KEY=VALUE, such as --set epochs=5.',
        ),
        (["run", "demo", "--set", "seeds=2"], "--set does not reach seeds: --seeds does."),
        (
            ["demo", "--set", "data=cifar10"],
            '--set does not reach data: "tinyscope run STUDY --data D" does.',
        ),
        (
            ["improv", "s"],
            'Unknown command "improv". Did you mean "improve"? Run "tinyscope --help" to see all '
            f"{len(commands.commands)}.",
        ),
        (["run", "demo", "--seeds", "x"], '--seeds "x" is neither a count (3) nor a list (0,5,7).'),
        (
            ["run", "demo", "--budget", "soon"],
            '--budget "soon" is not a time such as 90s, 10m or 2h.',
        ),
        (
            ["run", "demo", "--budget", "-3m"],
            '--budget "-3m" is not a time such as 90s, 10m or 2h.',
        ),
        (["report", "nowhere"], NO_STUDY),
        (
            ["list", "runs", "nowhere"],
            'There is no folder nowhere. Give one: "tinyscope list runs FOLDER"; "tinyscope run '
            'STUDY" makes one.',
        ),
        (["improve", "nowhere"], NO_STUDY),
        (
            ["predict", "model", "a.png", "--kaggle-columns", "a,b"],
            "--kaggle-columns names the headings of a file that only --kaggle writes.",
        ),
        (
            ["predict", "model", "a.png", "--kaggle", "k.csv", "--kaggle-columns", "a"],
            '--kaggle-columns "a" is not two names, such as id,label.',
        ),
        (["list", "models", "x"], '"tinyscope list models" takes no folder.'),
        (["run", "demo", "--budget", ""], "Invalid value for '--budget': it is empty"),
        (["run", "demo", "--data", ""], "Invalid value for '--data': it is empty"),
        (["run", "demo", "--out", ""], "Invalid value for '--out': it is empty"),
        (["data", ""], "Invalid value for 'DATA': it is empty"),
        (
            ["predict", "model", "a.png", "--csv", "-"],
            "Invalid value for '--csv': - is no stream here; expected a path, or ./- for one "
            "called so",
        ),
        (["predict", "model", ""], "Invalid value for 'IMAGES...': it is empty"),
        (
            ["predict", "model", "a.png", "--top", "0"],
            "Invalid value for '--top': 0 is not in the range x>=1.",
        ),
        (
            ["predict", "model", "a.parquet", "--parquet", "./a.parquet"],
            "a.parquet is given as images; what is written would replace them.",
        ),
    ],
)
def test_bad_input_is_one_line_on_standard_error_and_exit_status_2(
    tinyscope, here, arguments, line
):
    answer = tinyscope(*arguments)
    assert (answer.status, answer.out, answer.err) == (2, "", f"Error: {line}\n")
    assert list(here.iterdir()) == []


def test_an_unknown_command_and_an_unknown_option_are_one_line_with_status_2(tinyscope):
    for arguments in (["runn"], ["run", "demo", "--sed", "3"], ["list", "model"], ["predict"]):
        answer = tinyscope(*arguments)
        assert answer.status == 2
        assert answer.err.startswith("Error: ")
        assert answer.err.count("\n") == 1


def test_a_study_file_gets_all_its_faults_in_one_line_with_their_places(tinyscope, here):
    Path("my.toml").write_text(
        'data = "digits"\nrecipe = "plane"\n[variations.a]\nepochs = 0\nmodel = "resnet"\n'
    )
    answer = tinyscope("run", "my.toml")
    assert answer.status == 2
    assert answer.err == (
        'Error: my.toml:2: Unknown recipe "plane". Did you mean "plain"? Run "tinyscope list '
        'recipes" to see all 14. my.toml:4: epochs = 0 is out of range: at least 1. my.toml:5: '
        'variation "a": Unknown model "resnet". Did you mean "resnet-20"? Run "tinyscope list '
        'models" to see all 16.\n'
    )


def photos(folder, classes, *, count=4):
    random = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def test_data_that_cannot_be_used_is_one_line_and_exit_status_3(tinyscope, here):
    (here / "empty").mkdir()
    photos(here / "lonely", ["cat"])
    for folder in ("empty", "lonely"):
        answer = tinyscope("run", "demo", "--data", folder)
        assert answer.status == 3
        assert answer.err.startswith("Error: ")
        assert answer.err.count("\n") == 1
    assert not (here / "tinyscope-runs").exists()


def test_images_too_small_for_a_model_are_named_before_anything_is_written(tinyscope, here):
    Path("large.toml").write_text('data = "digits"\n[variations.v3]\nmodel = "brittan-v3"\n')
    answer = tinyscope("run", "large.toml")
    assert (answer.status, answer.err.splitlines()[-1]) == (
        2,
        'Error: variation "v3": Model brittan-v3 takes images of 32 pixels a side or more; these '
        "are 8x8. A larger size can be set: --set size=32.",
    )
    assert not (here / "tinyscope-runs").exists()


def test_a_folder_of_ones_own_photos_goes_from_training_to_prediction(tinyscope, here):
    random = np.random.default_rng(0)
    for name, colour in (("sky", (60, 120, 230)), ("grass", (60, 180, 60))):
        (here / "photos" / name).mkdir(parents=True)
        for number in range(30):
            noise = random.integers(-40, 40, (60, 80, 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(here / "photos" / name / f"{number}.jpg")
    (here / "photos" / "sky" / "broken.jpg").write_bytes(b"no")
    Path("mine.toml").write_text(
        'question = "Sky or grass?"\ndata = "photos"\nseeds = 1\nrecipe = "keras-adam"\n'
        "[variations.other]\nlearning_rate = 0.002\n"
    )
    answer = tinyscope("run", "mine.toml", "--set", "epochs=3", "--set", "model=brittan-1")
    assert answer.status == 0, answer.err
    assert "60 of 61 images used; the first left out is sky/broken.jpg: not an image." in answer.err
    answer = tinyscope("predict", "tinyscope-runs/mine", "photos/grass/3.jpg", "--top", "1")
    assert answer.out.startswith("photos/grass/3.jpg: grass ")


def test_variations_that_set_makes_equal_are_refused(tinyscope, here):
    answer = tinyscope("run", "demo", "--set", "model=brittan-1", "--set", "layers=[]")
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == (
        'Error: The variations "dense" and "small-cnn" come to the same recipe: between them there '
        "is nothing to compare. Change one of them, or what --set sets for all."
    )
    assert list(here.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_keeps_the_checkpoint_exits_with_130_and_the_same_command_goes_on(tmp_path):
    arguments = [COMMAND, "demo", "--seeds", "1", "--set", "epochs=2000", "--out", tmp_path / "s"]
    # Tests that a shell has started in the background ignore Ctrl-C, and so would what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("checkpoint.safetensors")) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == (
        "Error: Interrupted. What is finished is kept; the same command goes on from there."
    )
    assert list(tmp_path.rglob("checkpoint.safetensors"))
    assert not list(tmp_path.rglob("*.part"))


def test_help_starts_without_torch_numpy_or_matplotlib():
    code = (
        "import sys; sys.argv = ['tinyscope', '--help']\n"
        "from tinyscope.cli import commands\n"
        "commands(standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'rich', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for verb in ("run", "demo", "list", "report", "improve", "predict", "doctor"):
        assert re.search(rf"^  {verb} +\S", done.stdout, re.MULTILINE)


def test_numbers_may_be_written_without_a_leading_zero(tinyscope, here):
    answer = tinyscope("run", "demo", "--set", "label_smoothing=1.5")
    assert answer.err == "Error: label_smoothing = 1.5 is out of range: at least 0, at most 0.99.\n"
    answer = tinyscope("run", "demo", "--set", "learning_rate=-.1")
    assert answer.err == "Error: learning_rate = -0.1 is out of range: at least 0.\n"


def test_without_a_command_the_help_is_shown_as_it_is(tinyscope):
    answer = tinyscope()
    assert answer.status == 2
    assert re.search(r"^  predict +\S", answer.err, re.MULTILINE)


def test_a_device_that_does_not_exist_is_told_and_doctor_still_answers(
    tinyscope, here, monkeypatch
):
    monkeypatch.setenv("TINYSCOPE_DEVICE", "gpu")
    line = 'TINYSCOPE_DEVICE is "gpu"; expected one of cpu, cuda, mps.'
    assert tinyscope("run", "demo").err == f"Error: {line}\n"
    answer = tinyscope("doctor")
    assert (answer.status, line in answer.out) == (0, True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no UTF-8")
def test_file_names_that_are_no_utf8_go_through_to_the_report(tinyscope, here):
    photos(here / "photos", ["a", "b"], count=12)
    Path(os.fsdecode(b"photos/a/br\xe9ken.png")).write_bytes(b"no")
    Path("odd.toml").write_text('data = "photos"\nseeds = 1\n[variations.x]\nmodel = "brittan-1"\n')
    answer = tinyscope("run", "odd.toml", "--set", "epochs=1")
    assert answer.status == 0, answer.err
    assert r"a/br\xe9ken.png: not an image" in answer.err
    Path(os.fsdecode(b"photos/d\xf6g")).mkdir()
    (here / "photos" / "a" / "0.png").rename(Path(os.fsdecode(b"photos/d\xf6g/0.png")))
    answer = tinyscope("run", "odd.toml", "--set", "epochs=1")
    assert answer.status == 3
    assert "is not UTF-8; rename its folder" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", LONG],
        ["run", f"{LONG}.toml"],
        ["run", "demo", "--out", LONG],
        ["run", "demo", "--data", LONG],
        ["data", LONG],
        ["list", "runs", LONG],
        ["predict", LONG, "a.png"],
    ],
)
def test_a_name_that_no_disk_takes_is_one_line(tinyscope, here, arguments):
    answer = tinyscope(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("Error: ")
    assert len(answer.err.splitlines()) == 1


def test_a_run_that_cannot_be_read_is_listed_among_the_others(tinyscope, here):
    for name in ("foreign", "old"):
        (here / "r" / name).mkdir(parents=True)
    (here / "r" / "foreign" / "run.json").write_text("{}")
    run = {"variation": "base", "seed": 0, "identity": "0", "parameters": 1, "recipe": {}}
    run |= {"data": {}, "environment": {}}
    (here / "r" / "old" / "run.json").write_text(json.dumps(run))
    (here / "r" / "old" / "result.json").write_text("{}")
    answer = tinyscope("list", "runs", "r")
    assert answer.status == 0
    first, second = answer.out.splitlines()
    assert first.startswith("r/foreign: r/foreign/run.json is not a run's")
    assert second == "r/old: its result has no validation accuracy; another version wrote it"
