import json
import sys
from pathlib import Path

import pytest
import record
import time_to_accuracy
import time_to_accuracy_table

from tinyscope.errors import StorageError
from tinyscope.plan import recipe_book
from tinyscope.plan.recipe import Recipe
from tinyscope.training import machine


def tiny() -> Recipe:
    return Recipe(
        model="whitened-cnn",
        widths=(8, 8),
        optimizer="muon",
        learning_rate=0.1,
        epochs=2,
        batch_size=256,
        horizontal_flip=True,
        test_views="mirrored",
        precision="fp32",
    )


@pytest.fixture(scope="module")
def _tiny_recipes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipe_book.RECIPES, "tiny", tiny)
        patch.setitem(
            recipe_book.RECIPES, "tiny-once", lambda: tiny().changed({"test_views": "one"})
        )
        yield


@pytest.fixture(scope="module")
def measured(_tiny_recipes, tmp_path_factory):
    """Where a whole call has put its trainings and results, and how to ask for one of its recipes.

    That call again trains nothing and writes no results.
    """
    place = tmp_path_factory.mktemp("benchmark")
    rest = ["--seeds", "2", "--data", "digits", "--work", str(place / "work")]
    time_to_accuracy.main(["tiny", "tiny-once", *rest, "--out", str(place / "out")])
    return place, ["tiny", *rest]


def run_of(seed, **changes):
    return {
        "seed": seed,
        "trained": f"2026-11-21T12:0{seed}:30+00:00",
        "stopped": "all epochs",
        "train_seconds": 40.0 + 10 * seed,
        "train_cpu_seconds": 80.0 + 10 * seed,
        "train_flop": 10**13,
        "test_accuracy": 0.85 + 0.01 * seed,
        "one_view_accuracy": 0.84 + 0.01 * seed,
        "test_openings": 1,
        **changes,
    }


YARDSTICK = {
    "network": "kossowska-3",
    "epochs": 15,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "batch": 32,
    "started": "2026-11-21T12:10:00+00:00",
    "finished": "2026-11-21T12:30:00+00:00",
    "train_seconds": 1500.0,
    "train_cpu_seconds": 2700.0,
    "train_flop": 6 * 10**13,
    "test_accuracy": 0.7204,
    "parameters": 4_210_090,
    "policy": "float32",
    "jit_compile": False,
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0", "python": "3.11.9"},
}


def content_of(*, runs=(0, 1, 2), yardstick=YARDSTICK, views=6, **changes):
    return {
        "benchmark": "time-to-accuracy",
        "data": {"name": "cifar10", "fingerprint": "ab", "train": 50_000, "test": 10_000},
        "machine": {
            "cpu": "Example CPU",
            "cores": 2,
            "threads": 2,
            "device": "cpu",
            "tinyscope": "0.1.0",
            "torch": "2.13.0",
            "python": "3.11.9",
        },
        "recipes": [
            {
                "recipe": "sprint",
                "model": "whitened-cnn",
                "parameters": 123_456,
                "views": views,
                "precision": "bf16",
                "runs": [run_of(seed, **changes) for seed in runs],
            }
        ],
        "yardstick": yardstick,
    }


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_a_row_gives_means_ranges_intervals_and_ratios_on_one_machine():
    text = time_to_accuracy_table.table(content_of())
    sprint, keras = rows_of(text)
    # Accuracies 85, 86, 87%: deviation 1 point, so 86 +- 4.303 x 1 / sqrt(3) = 86 +- 2.48.
    assert sprint == {
        "training": "sprint",
        "parameters": "123,456",
        "PFLOP": "0.01",
        "wall s": "50.0 (40.0 to 60.0)",
        "CPU s": "90.0 (80.0 to 100)",
        "GFLOP/s": "200",  # 3 x 10^13 in 150 s
        "test, its views": "86.00% (83.52% to 88.48%); 6 views",
        "test, one view": "85.00% (82.52% to 87.48%)",
        "times sooner, wall": "30.0",
        "times sooner, CPU": "30.0",
    }
    assert keras == {
        "training": "Keras yardstick",
        "parameters": "4,210,090",
        "PFLOP": "0.06",
        "wall s": "1,500",
        "CPU s": "2,700",
        "GFLOP/s": "40",
        "test, its views": "–",
        "test, one view": "72.04%",
        "times sooner, wall": "1",
        "times sooner, CPU": "1",
    }
    for told in (
        "all 50,000 training images, without validation; 10,000 test images, opened once a run.",
        "Recipes: 3 seeds; means, in brackets the lowest and the highest seconds",
        "Machine: Example CPU, 2 cores, 2 threads, bf16 on cpu; tinyscope 0.1.0, torch 2.13.0",
        "The runs ended 2026-11-21 12:00 to 2026-11-21 12:02 UTC.",
        "15 epochs of batches of 32, SGD with rate 0.01 and momentum 0.9, float32, without XLA",
        "trained once, 2026-11-21 12:10 to 2026-11-21 12:30 UTC on the same machine; Keras 3.15.1",
    ):
        assert told in text


def test_without_keras_its_figures_are_not_measured():
    text = time_to_accuracy_table.table(content_of(yardstick=None))
    [sprint] = rows_of(text)
    assert "times sooner, wall" not in sprint
    assert text.endswith("Keras yardstick: not measured.\n")


def test_a_gpu_is_named():
    content = content_of(yardstick=None)
    content["machine"] |= {"device": "cuda", "device_name": "Example GPU"}
    text = time_to_accuracy_table.table(content)
    assert "2 threads, bf16 on cuda (Example GPU); tinyscope 0.1.0" in text


def test_one_seed_has_no_interval_and_the_notes_say_so():
    text = time_to_accuracy_table.table(content_of(runs=(0,), views=1))
    sprint, _ = rows_of(text)
    assert (sprint["test, its views"], sprint["test, one view"]) == ("–", "84.00%")
    assert sprint["wall s"] == "40.0"
    assert "Recipes: one seed, so that the spread from training to training is not known." in text


def test_what_went_wrong_in_a_run_is_told():
    table = time_to_accuracy_table.table
    assert "opened up to 2 times a run." in table(content_of(test_openings=2))
    diverged = content_of(stopped="diverged", train_seconds=0.0, train_flop=0)
    assert "3 of 3 runs ended before their last epoch." in table(diverged)
    assert rows_of(table(diverged))[0]["GFLOP/s"] == "–"


def test_a_results_folder_holds_the_runs_own_records_and_no_path_of_the_machine(measured):
    place, _ = measured
    out = place / "out"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    runs = {path.parent.relative_to(out).as_posix() for path in out.rglob("run.json")}
    assert len(runs) == 4
    assert files == {"README.md", "figures.json", "tiny/study.toml", "tiny-once/study.toml"} | {
        f"{run}/{name}"
        for run in runs
        for name in ("run.json", "result.json", "history.csv", "test-openings.json")
    }
    for name in files:
        text = (out / name).read_text(encoding="utf-8")
        assert str(place) not in text
        assert str(Path(__file__).parents[1]) not in text
        assert sys.prefix not in text


def test_the_figures_are_those_of_the_runs(measured):
    place, _ = measured
    content = json.loads((place / "out" / "figures.json").read_text())
    assert content["data"] == {
        "name": "digits",
        "fingerprint": content["data"]["fingerprint"],
        "train": 1528,
        "test": 269,
    }
    assert content["yardstick"] is None
    several, once = content["recipes"]
    assert (several["views"], once["views"]) == (2, 1)
    for each in content["recipes"]:
        assert [run["seed"] for run in each["runs"]] == [0, 1]
        for run in each["runs"]:
            folder = place / "work" / "digits" / each["recipe"] / "runs" / run["name"]
            result = json.loads((folder / "result.json").read_text())
            for key in ("train_seconds", "train_cpu_seconds", "train_flop"):
                assert run[key] == result[key] > 0
            assert run["one_view_accuracy"] == result["one_view_accuracy"]["test"]
            assert run["test_openings"] == 1
            assert json.loads((folder / "run.json").read_text())["data"]["images"]["train"] == 1528
    for run in once["runs"]:
        assert run["test_accuracy"] == run["one_view_accuracy"]


def test_the_readme_holds_the_command_and_the_table_and_keeps_its_prose(measured):
    place, _ = measured
    out = place / "out"
    page = (out / "README.md").read_text(encoding="utf-8")
    assert page.startswith(
        "# out\n\n`python benchmarks/time_to_accuracy.py tiny tiny-once --seeds 2 --data digits`\n"
    )
    content = json.loads((out / "figures.json").read_text())
    assert time_to_accuracy_table.table(content) in page
    (out / "README.md").write_text(page.replace("# out", "# Mine"), encoding="utf-8")
    record.write_table(out)
    assert (out / "README.md").read_text(encoding="utf-8") == page.replace("# out", "# Mine")


def test_asked_again_it_trains_nothing_and_opens_no_test_split(measured, capsys):
    place, call = measured
    before = {path: path.read_bytes() for path in (place / "work").rglob("test-openings.json")}
    before |= {path: path.read_bytes() for path in (place / "work").rglob("result.json")}
    assert len(before) == 8
    time_to_accuracy.main(call)
    assert {path: path.read_bytes() for path in before} == before
    printed = capsys.readouterr()
    assert "to train" not in printed.err
    assert [row["training"] for row in rows_of(printed.out)] == ["tiny"]


@pytest.mark.parametrize("changes", [{"cpu": "Another CPU"}, {"usable_cores": 1000}])
def test_runs_of_another_machine_are_not_compared_with_this_one(measured, monkeypatch, changes):
    _, call = measured
    here = machine.environment(machine.device())
    monkeypatch.setattr(machine, "environment", lambda on: here | changes)
    with pytest.raises(SystemExit, match="was trained on another machine"):
        time_to_accuracy.main(call)


def test_runs_of_before_usable_cores_were_told_are_still_of_this_machine():
    here = machine.environment(machine.device())
    before = {key: value for key, value in here.items() if key != "usable_cores"}
    assert time_to_accuracy.same_machine(before, here)


def test_a_yardstick_is_reused_only_where_one_is_of_the_same_images_and_machine(measured, capsys):
    place, call = measured
    again = [*call, "--reuse-yardstick"]
    with pytest.raises(StorageError, match=r"yardstick\.json cannot be read: No such file"):
        time_to_accuracy.main(again)
    content = json.loads((place / "out" / "figures.json").read_text())
    kept = YARDSTICK | {
        "fingerprint": content["data"]["fingerprint"],
        "machine": {key: content["machine"][key] for key in time_to_accuracy.SAME_MACHINE},
    }
    path = place / "work" / "digits" / "yardstick.json"
    path.write_text(json.dumps(kept))
    time_to_accuracy.main(again)
    ours, keras = rows_of(capsys.readouterr().out)
    assert keras["wall s"] == "1,500"
    assert float(ours["times sooner, wall"].replace(",", "")) > 1
    path.write_text(json.dumps(kept | {"fingerprint": "other"}))
    with pytest.raises(SystemExit, match="is of other images or of another machine"):
        time_to_accuracy.main(again)
    path.unlink()


def program(path, body):
    """An executable that answers in the place of a Python with Keras."""
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a script that can be executed")
def test_keras_gets_the_images_of_the_runs_and_its_answer_is_kept(measured, tmp_path, monkeypatch):
    place, call = measured
    answer = {key: value for key, value in YARDSTICK.items() if key != "train_flop"}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    body = (
        "import json, os, sys\n"
        "import numpy as np\n"
        "job = json.load(sys.stdin)\n"
        "assert sys.argv[1].endswith('keras_yardstick.py')\n"
        "assert 'OMP_NUM_THREADS' not in os.environ\n"
        "assert job['layers'][0] == 'conv 32 3x3 same relu' and job['classes'] == 10\n"
        "assert (job['epochs'], job['batch']) == (15, 32)\n"
        "assert (job['learning_rate'], job['momentum']) == (0.01, 0.9)\n"
        "stored = np.load(job['data'])\n"
        "assert stored['train_images'].shape == (1528, 8, 8, 1)\n"
        "assert stored['test_labels'].shape == (269,)\n"
        f"print(json.dumps({answer!r}))\n"
    )
    work = place / "work" / "digits"
    time_to_accuracy.main([*call, "--keras", program(tmp_path / "python", body)])
    kept = json.loads((work / "yardstick.json").read_text())
    assert kept["train_seconds"] == 1500.0
    # By hand: 8 x 8 x 32 values over 9, over 288 (pooled to 4 x 4); 512 over 512; 10 over 512. The
    # first layer has no gradient of its input.
    first, later = 64 * 32 * 9, 64 * 32 * 288 + 512 * 512 + 10 * 512
    assert kept["train_flop"] == 15 * 1528 * 2 * (2 * first + 3 * later)
    assert {path.name for path in work.iterdir()} == {"tiny", "tiny-once", "yardstick.json"}
    (work / "yardstick.json").unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a script that can be executed")
def test_a_keras_that_fails_is_told(measured, tmp_path):
    _, call = measured
    with pytest.raises(SystemExit, match=r"keras_yardstick\.py ended with status 3; see above\."):
        time_to_accuracy.main(
            [*call, "--keras", program(tmp_path / "python", "raise SystemExit(3)")]
        )


def test_nonsense_is_refused_before_anything_is_read(capsys):
    for arguments, told in (
        (["tiny", "tiny"], "one seed at least, and every recipe once"),
        (["tiny", "--seeds", "0"], "one seed at least, and every recipe once"),
        (["no-such-recipe"], "invalid choice: 'no-such-recipe'"),
        (["tiny", "--keras", "./no-python"], "--keras ./no-python: there is no such program"),
    ):
        with pytest.raises(SystemExit) as ended:
            time_to_accuracy.main(arguments)
        assert ended.value.code == 2
        assert told in capsys.readouterr().err
