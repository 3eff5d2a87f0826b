import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_study
from scipy.stats import binomtest
from tiny_study import Recorder

from tinyscope.data.dataset import Splits
from tinyscope.errors import DataError, InputError, StorageError
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import load_study, parse
from tinyscope.runs.run import read_run
from tinyscope.sweep import improve as module
from tinyscope.sweep import local
from tinyscope.sweep.improve import improve
from tinyscope.sweep.local import run_study
from tinyscope.sweep.outcome import read_study

STUDY = tiny_study.STUDY.with_overrides({"epochs": 1})
CHEAP = ("TS102", "TS106", "TS110")


@pytest.fixture(autouse=True, scope="module")
def _cheap():
    """Only suggestions that train as fast as the study itself, and pages that only name names."""
    whole = module.suggestions

    def cheap_ones(summary, findings, **price):
        return [one for one in whole(summary, findings, **price) if one["code"] in CHEAP]

    def page(summary, path):
        path.write_text(" ".join(one["variation"] for one in summary["improvements"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "suggestions", cheap_ones)
        patch.setattr(module, "write_report", page)
        patch.setattr(local, "write_report", page)
        yield


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    return run_study(STUDY, world, out=tmp_path_factory.mktemp("studies") / "tiny")


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture(scope="module")
def improved(finished, world, tmp_path_factory):
    """Two steps of a copy of the finished study, and what was trained for them."""
    place = tmp_path_factory.mktemp("improved") / "tiny"
    shutil.copytree(finished.folder, place)
    recorder = Recorder()
    return improve(place, data=world, listener=recorder), recorder


def variations(result):
    return {one["name"]: one for one in result.summary["variations"]}


def test_every_step_is_a_variation_and_only_what_is_missing_is_trained(improved, finished):
    result, recorder = improved
    assert list(variations(result)) == ["base", "fast", "improved-1", "improved-2"]
    assert recorder.trained == [
        ("improved-1", 0),
        ("improved-1", 1),
        ("improved-2", 0),
        ("improved-2", 1),
    ]
    assert not recorder.replaced
    for name in ("base", "fast"):
        assert variations(result)[name]["runs"] == variations(finished)[name]["runs"]


def test_a_step_has_the_whole_recipe_of_its_start_with_the_suggestions_changes(improved):
    result, _ = improved
    for step in result.summary["improvements"]:
        assert step["changes"]
        start, new = (variations(result)[step[key]]["recipe"] for key in ("from", "variation"))
        assert {**start, **step["changes"]} == new


def test_a_step_starts_from_what_validation_recommends_after_the_one_before(improved, finished):
    first, second = improved[0].summary["improvements"]
    assert first["from"] == finished.summary["recommended"]["variation"]
    before = [variations(improved[0])[name] for name in ("base", "fast", "improved-1")]
    best = max(before, key=lambda one: one["validation"]["accuracy"])
    assert second["from"] == best["name"]


def test_what_a_step_has_brought_is_a_paired_test_on_the_validation_images(improved, world):
    result, _ = improved
    step = result.summary["improvements"][0]
    right = {}
    for key in ("variation", "from"):
        run = variations(result)[step[key]]["runs"][0]
        assert run["seed"] == 0
        answers = read_run(result.folder / "runs" / run["name"]).predictions("validation")
        right[key] = answers.logits.argmax(1) == world.validation.labels
    assert step["val_gain"] == pytest.approx(right["variation"].mean() - right["from"].mean())
    low, high = step["interval"]
    assert low < step["val_gain"] < high
    only = [
        int((right[a] & ~right[b]).sum()) for a, b in (("variation", "from"), ("from", "variation"))
    ]
    expected = binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0
    assert step["p_value"] == pytest.approx(expected)
    new, old = (variations(result)[step[key]] for key in ("variation", "from"))
    assert step["mean_val_gain"] == new["validation"]["accuracy"] - old["validation"]["accuracy"]
    assert step["test_gain"] == (new["runs"][0]["test_accuracy"] - old["runs"][0]["test_accuracy"])


def test_a_step_has_one_verdict_with_the_comparison_of_the_same_models(improved):
    result, _ = improved
    steps = {
        frozenset((one["variation"], one["from"])): one for one in result.summary["improvements"]
    }
    rows = result.summary["comparisons"]
    known = [row for row in rows["validation"] + rows["one_key"]]
    shared = [
        (steps[pair], row)
        for row in known
        if (pair := frozenset((row["first"], row["second"]))) in steps
    ]
    assert shared
    for step, row in shared:
        assert step["p_value"] == row["p_value"]
        assert step["adjusted_p_value"] == row["adjusted_p_value"]
        same = row["first"] == step["variation"]
        turned = {"better": "worse", "worse": "better"}.get(row["verdict"], row["verdict"])
        assert step["verdict"] == (row["verdict"] if same else turned)


def test_a_verdict_on_a_step_is_adjusted_over_all_pairs_of_the_study(improved, monkeypatch):
    """One of six pairs of models: of ten images that differ, nine to one tell nothing."""
    result, _ = improved
    step, images = result.summary["improvements"][0], 200
    new, old = np.zeros(images, bool), np.zeros(images, bool)
    new[:9] = True
    old[9] = True

    def right(_, run):
        name = run.rpartition("-seed")[0]
        return new if name == step["variation"] else old if name == step["from"] else new | old

    monkeypatch.setattr(module, "_right", right)
    judged = module._judged(result, [step])[0]
    assert judged["p_value"] < 0.05 < judged["adjusted_p_value"]
    assert judged["verdict"] == "cannot be told apart"


def test_a_summary_that_was_edited_is_not_improved(folder, world):
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    del summary["variations"][0]["runs"]
    path.write_text(json.dumps(summary))
    with pytest.raises(StorageError, match="does not hold what this version reads"):
        improve(folder, data=world)
    del summary["study"]["validation"]
    summary["variations"][0]["runs"] = []
    path.write_text(json.dumps(summary))
    with pytest.raises(StorageError, match="KeyError: 'validation'"):
        improve(folder, data=world)


def test_the_folder_holds_what_is_returned(improved):
    result, _ = improved
    assert json.loads((result.folder / "summary.json").read_text()) == result.summary
    assert (result.folder / "report.html").read_text() == "improved-1 improved-2"


def test_the_study_file_repeats_the_steps_and_they_are_still_known_then(improved, world, tmp_path):
    shutil.copytree(improved[0].folder, tmp_path / "s")
    text = (tmp_path / "s" / "study.toml").read_text()
    study = parse(text, name="tiny", file="study.toml")
    recorder = Recorder()
    run_study(study, world, out=tmp_path / "s", listener=recorder)
    assert recorder.trained == []
    again = improve(tmp_path / "s", steps=1, data=world)
    assert [step["variation"] for step in again.summary["improvements"]] == [
        f"improved-{number}" for number in (1, 2, 3)
    ]


def test_asked_again_it_goes_on_from_there_and_repeats_nothing(improved, world, tmp_path):
    shutil.copytree(improved[0].folder, tmp_path / "s")
    again = improve(tmp_path / "s", steps=1, data=world)
    steps = again.summary["improvements"]
    assert [step["variation"] for step in steps] == ["improved-1", "improved-2", "improved-3"]
    assert steps[:2] == improved[0].summary["improvements"]
    recipes = [json.dumps(one["recipe"]) for one in again.summary["variations"]]
    assert len(set(recipes)) == 5


def test_an_interrupted_step_goes_on_as_if_it_had_not_been(improved, folder, world):
    class Interrupting(Recorder):
        def epoch(self, run, row):
            if len(self.trained) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        improve(folder, data=world, listener=Interrupting())
    recorder = Recorder()
    result = improve(folder, steps=1, data=world, listener=recorder)
    assert recorder.trained == [("improved-2", 0), ("improved-2", 1)]
    assert result.summary["improvements"] == improved[0].summary["improvements"]


def test_what_a_budget_has_cut_stays_cut(world, tmp_path, monkeypatch):
    def timings(beginnings):
        return dict.fromkeys(beginnings, local.Timing(1.0))

    long = replace(STUDY.with_overrides({"epochs": 40}), grid={"batch_size": [16, 64]})
    with monkeypatch.context() as patch:
        patch.setattr(local, "time_recipes", timings)
        cut = run_study(long, world, out=tmp_path / "s", budget=10)
    recorder = Recorder()
    result = improve(tmp_path / "s", steps=1, data=world, listener=recorder)
    names = list(variations(cut))
    assert recorder.trained == [("improved-1", 0)]
    assert list(variations(result)) == [*names, "improved-1"]
    for name in names:
        assert variations(result)[name]["recipe"] == variations(cut)[name]["recipe"]
    assert result.summary["study"]["cut_to_budget"] == cut.summary["study"]["cut_to_budget"] != ""


def test_a_step_from_a_variation_that_is_left_out_is_no_longer_told(folder, world):
    improve(folder, steps=1, data=world)
    made = read_study(folder)
    study = parse(made.summary["study"]["toml"], name=made.summary["study"]["name"], file="s.toml")
    (step,) = made.summary["improvements"]
    rest = tuple(name for name in study.recipes() if name != step["from"])
    run_study(replace(study, only=rest), world, out=folder)
    again = improve(folder, steps=1, data=world)
    assert step["variation"] not in [one["variation"] for one in again.summary["improvements"]]
    assert len(again.summary["improvements"]) == 1


def test_other_images_are_refused_before_anything_is_trained(folder, world):
    images = world.train.images.copy()
    images[0, 0, 0, 0] ^= 1
    other = Splits("world", replace(world.train, images=images), world.validation, world.test)
    before = (folder / "study.toml").read_text()
    recorder = Recorder()
    with pytest.raises(DataError) as told:
        improve(folder, data=other, listener=recorder)
    assert str(told.value) == (
        "The images of world are not those that the study was run on: they have changed since, or "
        "are cut otherwise. Run the study anew before it is improved."
    )
    assert recorder.trained == []
    assert (folder / "study.toml").read_text() == before


@pytest.fixture
def on_a_path(world, tmp_path, monkeypatch):
    """A study of images that lie beside it, run in their folder."""
    place = tmp_path / "project"
    (place / "images").mkdir(parents=True)
    monkeypatch.chdir(place)
    pairs = {"train": world.train, "val": world.validation, "test": world.test}
    arrays = {f"x_{name}": part.images for name, part in pairs.items()}
    labels = {f"y_{name}": part.labels for name, part in pairs.items()}
    np.savez("images/mine.npz", **arrays, **labels)
    study = replace(STUDY, data="images/mine.npz", seeds=(0,))
    return run_study(study, out=place / "runs" / "tiny").folder


def test_the_images_of_a_study_are_found_from_any_folder(on_a_path, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = improve(on_a_path, steps=1)
    assert len(made.summary["improvements"]) == 1
    # Its file now says where they are from there; and again from a third folder.
    assert 'data = "../project/images/mine.npz"' in (on_a_path / "study.toml").read_text()
    monkeypatch.chdir(tmp_path)
    made = improve(on_a_path, steps=1)
    assert len(made.summary["improvements"]) == 2
    assert 'data = "./project/images/mine.npz"' in (on_a_path / "study.toml").read_text()


def test_the_images_that_a_study_was_run_on_come_before_others_of_that_path(
    on_a_path, tmp_path, monkeypatch
):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.npz").write_bytes(b"others")
    monkeypatch.chdir(tmp_path)
    assert improve(on_a_path, steps=1).summary["improvements"]


def test_a_study_may_be_moved_with_its_images(on_a_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").rename(tmp_path / "moved")
    made = improve(tmp_path / "moved" / "runs" / "tiny", steps=1)
    assert made.summary["improvements"]
    assert str(tmp_path) not in made.summary["study"]["toml"] + made.summary["study"]["run_in"]


def test_images_that_are_gone_are_asked_for_and_may_be_given_by_path(
    on_a_path, tmp_path, monkeypatch
):
    (tmp_path / "project" / "images").rename(tmp_path / "archive")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as told:
        improve(on_a_path)
    assert str(told.value) == (
        f'The study in {on_a_path} was run on "images/mine.npz", which is neither the name of a '
        f"data set nor found from {tmp_path}. Give its images: --data PATH, or data=... in Python, "
        "a path or loaded images."
    )
    assert improve(on_a_path, steps=1, data="archive/mine.npz").summary["improvements"]


def test_a_path_is_never_taken_for_the_data_set_of_that_name(folder, here):
    with pytest.raises(InputError, match=r'There is no "./digits" as seen from'):
        improve(folder, data=Path("digits"))


def test_a_study_of_loaded_images_asks_for_them(folder):
    summary = json.loads((folder / "summary.json").read_text())
    summary["study"]["toml"] = replace(STUDY, data="mine").as_toml()
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError) as told:
        improve(folder)
    assert "data=... in Python, a path or loaded images." in str(told.value)


def test_a_study_without_validation_images_is_refused(folder):
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    summary["study"]["validation"] = 0
    path.write_text(json.dumps(summary))
    with pytest.raises(InputError) as told:
        improve(folder)
    assert str(told.value) == (
        f"The study in {folder} keeps no validation images, so nothing could say whether a step "
        "helps. Run it with --set validation=0.1 first."
    )


def test_where_nothing_is_left_to_suggest_that_is_said(folder, monkeypatch):
    monkeypatch.setattr(module, "suggestions", lambda summary, findings, **price: [])
    with pytest.raises(InputError) as told:
        improve(folder)
    assert str(told.value) == f"Nothing is left to suggest for the study in {folder}."


UNFIT = [
    ("a network for larger images", {"model": "brittan-v3", "layers": []}),
    ("no epochs", {"epochs": 0}),
]


def with_unfit(monkeypatch, *, others=True):
    """Puts suggestions first that no training of the study takes."""
    whole = module.suggestions

    def more(summary, findings, **price):
        found = whole(summary, findings, **price)
        unfit = [{**found[0], "title": title, "changes": changes} for title, changes in UNFIT]
        return unfit + (found if others else [])

    monkeypatch.setattr(module, "suggestions", more)


class Hearing(Recorder):
    """Keeps what was passed over, too."""

    def __init__(self):
        super().__init__()
        self.passed = []

    def passed_over(self, suggestion, reason):
        self.passed.append((suggestion, reason))


def test_what_the_data_do_not_take_is_passed_over_and_the_next_suggestion_is_tried(
    folder, world, improved, monkeypatch
):
    with_unfit(monkeypatch)
    hearing = Hearing()
    result = improve(folder, data=world, listener=hearing)
    assert result.summary["improvements"] == improved[0].summary["improvements"]
    assert json.loads((folder / "improvements.json").read_text()) == json.loads(
        (improved[0].folder / "improvements.json").read_text()
    )
    assert [title for title, _ in hearing.passed] == [title for title, _ in UNFIT] * 2
    assert hearing.passed[0][1].startswith("Model brittan-v3 takes images of 32 pixels a side")


def test_where_nothing_of_what_is_left_can_be_trained_that_is_said_and_nothing_is_changed(
    folder, world, monkeypatch
):
    with_unfit(monkeypatch, others=False)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as told:
        improve(folder, data=world)
    assert str(told.value).startswith(
        f"Nothing of what is left to suggest for the study in {folder} can be trained. epochs "
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_is_wrong_with_the_data_is_told_as_it_is_and_no_suggestion_is_blamed(folder):
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    summary["study"]["toml"] = summary["study"]["toml"].replace("digits", "no-such-data")
    path.write_text(json.dumps(summary))
    hearing = Hearing()
    with pytest.raises(InputError, match="no-such-data"):
        improve(folder, listener=hearing)
    assert hearing.passed == []


def test_a_folder_without_a_finished_study_is_refused(tmp_path):
    with pytest.raises(StorageError) as told:
        improve(tmp_path)
    assert str(told.value).startswith(f"There is no finished study in {tmp_path}: expected a ")


def added(study, old, changes, *, cut=None):
    """The study with a variation "improved-1" that changes the variation `old`."""
    recipes = {name: each.as_dict() for name, each in study.recipes().items()}
    summary = {
        "variations": [
            {"name": name, "recipe": {**each, **(cut or {}), "precision": "fp32"}}
            for name, each in recipes.items()
        ]
    }
    suggestion = {"variation": old, "changes": changes}
    return module._with_variation(study, summary, "improved-1", suggestion)


def test_a_variation_is_added_as_a_person_would_write_it():
    study = Study(
        name="s",
        variations={"fast": {"recipe": "quick", "epochs": 3}},
        grid={"shift": [1, 2]},
    )
    new = added(study, "fast", {"epochs": 6})
    assert new.variations["improved-1"] == {"recipe": "quick", "epochs": 6}
    assert (new.base, new.grid) == (True, {"shift": [1, 2]})
    assert new.recipes()["improved-1"] == study.recipes()["fast"].changed({"epochs": 6})
    new = added(study, "shift=2", {"plateau_patience": None, "epochs": 6})
    assert new.recipes()["improved-1"].shift == 2


def test_where_overrides_are_in_the_way_every_recipe_is_spelled_out_and_stays_what_it_was():
    study = Study(
        name="s",
        variations={"fast": {"recipe": "quick"}},
        grid={"shift": [1, 2]},
        overrides={"epochs": 3},
        published={"base": 0.5},
    )
    new = added(study, "base", {"epochs": 6})
    assert new.recipes() == {
        **study.recipes(),
        "improved-1": study.recipes()["base"].changed({"epochs": 6}),
    }
    assert list(new.variations) == ["base", "fast", "shift=1", "shift=2", "improved-1"]
    assert parse(new.as_toml(), name="s", file="s.toml") == new


def test_what_gets_another_head_no_longer_goes_on_from_the_old_network():
    study = Study(
        name="s",
        recipe="fine-tuning",
        variations={"late": {"start_from": "base", "learning_rate": 0.01}},
    )
    changed = added(study, "late", {"head": ["dense 8 relu"]})
    assert changed.starts() == {"late": "base"}
    assert changed.recipes()["improved-1"].head == ("dense 8 relu",)


def test_a_part_of_a_study_stays_one_and_runs_the_new_variation_too():
    study = Study(
        name="s", variations={"fast": {"epochs": 3}, "slow": {"epochs": 9}}, only=["fast"]
    )
    new = added(study, "fast", {"epochs": 6})
    assert list(new.recipes()) == ["fast", "improved-1"]
    assert new.left_out() == ("base", "slow")
    spelled_out = added(replace(study, overrides={"shift": 1}), "fast", {"shift": 2})
    assert list(spelled_out.recipes()) == ["fast", "improved-1"]


def test_a_part_of_a_study_with_published_tables_can_be_improved():
    study = replace(load_study("published-d"), only=("ours",))
    new = added(study, "ours", {"epochs": 20}, cut={"epochs": 2})
    assert list(new.recipes()) == ["ours", "improved-1"]
    assert new.published_figures() == {}


def test_a_variation_that_goes_on_from_another_keeps_its_start_unless_the_network_changes():
    study = Study(name="s", variations={"late": {"start_from": "base", "learning_rate": 0.01}})
    assert added(study, "late", {"epochs": 40}).starts() == {"late": "base", "improved-1": "base"}
    changed = added(study, "late", {"model": "compact-cnn-wide"})
    assert changed.starts() == {"late": "base"}
    assert changed.recipes()["improved-1"].learning_rate == 0.01
    cut = added(study, "late", {"epochs": 40}, cut={"epochs": 2})
    assert cut.starts() == {"late": "base", "improved-1": "base"}
    assert [each.epochs for each in cut.recipes().values()] == [2, 2, 40]
