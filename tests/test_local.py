import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_study import STUDY, Recorder
from torch import nn

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError, StorageError
from tinyscope.models.views import ManyViews
from tinyscope.plan.study import Study
from tinyscope.shipping.classifier import load_classifier
from tinyscope.sweep import local, one_run
from tinyscope.sweep.local import run_study
from tinyscope.sweep.outcome import read_study
from tinyscope.training import trainer


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "tiny"
    return run_study(STUDY, world, out=folder)


def test_every_variation_runs_with_every_seed(finished):
    variations = finished.summary["variations"]
    assert [each["name"] for each in variations] == ["base", "fast"]
    assert [[run["seed"] for run in each["runs"]] for each in variations] == [[0, 1], [0, 1]]


def test_a_finished_study_holds_its_file_summary_report_and_model(finished):
    names = {entry.name for entry in finished.folder.iterdir()} - {".lock"}
    assert names == {"study.toml", "summary.json", "report.html", "runs", "model"}
    assert json.loads((finished.folder / "summary.json").read_text()) == finished.summary


def test_finished_runs_keep_no_checkpoint(finished):
    assert not list(finished.folder.rglob("checkpoint*"))


def test_asked_again_a_study_trains_nothing(finished, world):
    recorder = Recorder()
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("result.json")}
    again = run_study(STUDY, world, out=finished.folder, listener=recorder)
    assert recorder.trained == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.summary["variations"] == finished.summary["variations"]


def test_the_test_split_is_opened_once_a_run_and_only_after_training(finished):
    for run in finished.folder.glob("runs/*"):
        result = json.loads((run / "result.json").read_text())
        assert len(result["test_openings"]) == 1
        assert result["test_openings"][0]["images"] == 64
        opened = (run / "predictions-test.npz").stat().st_mtime_ns
        assert opened >= (run / "history.csv").stat().st_mtime_ns


def test_the_recommendation_rests_on_validation_and_ships_the_lowest_seed(finished):
    chosen = finished.summary["recommended"]
    best = max(finished.summary["variations"], key=lambda each: each["validation"]["accuracy"])
    assert chosen["variation"] == best["name"]
    assert finished.recommended.run.seed == 0


def test_the_shipped_model_answers_as_the_recommended_run_did(finished, world):
    shipped = load_classifier(finished.folder)
    stored = finished.recommended.run.predictions("test")
    shares = shipped.probabilities(world.test.images)
    shifted = np.exp(stored.logits - stored.logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shares, shifted / shifted.sum(axis=1, keepdims=True), atol=1e-5)


def test_a_study_that_was_interrupted_goes_on_without_the_finished_runs(world, tmp_path):
    class Interrupting(Recorder):
        def epoch(self, run, row):
            super().epoch(run, row)
            if len(self.rows) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(STUDY, world, out=tmp_path / "s", listener=Interrupting())
    [stopped] = [
        run for run in (tmp_path / "s" / "runs").iterdir() if not (run / "result.json").exists()
    ]
    assert len((stopped / "history.csv").read_text().splitlines()) == 2  # a heading, an epoch
    recorder = Recorder()
    resumed = run_study(STUDY, world, out=tmp_path / "s", listener=recorder)
    assert len(recorder.trained) == 3
    whole = run_study(STUDY, world, out=tmp_path / "whole")
    for ours, theirs in zip(
        resumed.summary["variations"], whole.summary["variations"], strict=True
    ):
        assert ours["test"] == theirs["test"]


def test_a_changed_recipe_gets_runs_of_its_own(finished, world):
    recorder = Recorder()
    changed = STUDY.with_overrides({"epochs": 1})
    run_study(changed, world, out=finished.folder, listener=recorder)
    assert len(recorder.trained) == 4
    assert len(list(finished.folder.glob("runs/*"))) == 8
    run_study(STUDY, world, out=finished.folder)


def test_a_study_cut_to_a_budget_is_cut_the_same_way_when_asked_again(world, tmp_path, monkeypatch):
    long = STUDY.with_overrides({"epochs": 40})
    epoch_seconds = iter([1.0, 2.5])

    def timings(beginnings):
        return dict.fromkeys(beginnings, local.Timing(next(epoch_seconds)))

    monkeypatch.setattr(local, "time_recipes", timings)
    first = run_study(long, world, out=tmp_path / "s", budget=10)
    assert [each["recipe"]["epochs"] for each in first.summary["variations"]] == [4, 4]
    recorder = Recorder()
    again = run_study(long, world, out=tmp_path / "s", budget=10, listener=recorder)
    assert recorder.trained == []
    assert again.summary["study"]["cut_to_budget"] == (
        "1 of 2 seeds; epochs: base 4 of 40, fast 4 of 40"
    )


def test_a_folder_that_cannot_be_made_is_named_in_one_line(world, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as told:
        run_study(STUDY, world, out=tmp_path / "file" / "s")
    assert str(told.value) == (
        f"{tmp_path / 'file' / 's'} cannot be a study's folder: Not a directory. Choose another "
        "with --out."
    )


def test_a_budget_that_is_too_short_leaves_no_folder_behind(world, tmp_path):
    with pytest.raises(InputError, match="is too short for this study"):
        run_study(STUDY.with_overrides({"epochs": 900}), world, out=tmp_path / "s", budget=1e-9)
    assert not (tmp_path / "s").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError):
        run_study(STUDY.with_overrides({"epochs": 900}), world, out=tmp_path / "mine", budget=1e-9)
    assert (tmp_path / "mine").exists()


def test_without_validation_images_nothing_is_chosen_and_the_first_variation_is_given(
    world, tmp_path
):
    study = replace(STUDY, validation=0.0)
    made = run_study(study, Splits("world", world.train, None, world.test), out=tmp_path / "s")
    assert made.summary["recommended"]["variation"] == "base"
    assert made.summary["recommended"]["val_accuracy"] is None


def test_a_summary_of_a_later_version_is_refused(finished, tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(finished.summary | {"format": 99}))
    with pytest.raises(StorageError, match="was written by a later version of Tinyscope"):
        read_study(tmp_path)


def test_the_json_of_a_study_has_the_keys_that_scripts_rely_on(finished):
    printed = finished.as_dict()
    assert set(printed) == {
        "study",
        "data",
        "out",
        "report",
        "summary",
        "recommended",
        "variations",
    }
    assert set(printed["recommended"]) >= {
        "variation",
        "model",
        "test_accuracy",
        "val_accuracy",
        "image_interval",
        "seed_interval",
        "seeds",
    }
    for variation in printed["variations"]:
        assert set(variation) >= {
            "name",
            "test_accuracy",
            "val_accuracy",
            "image_interval",
            "seed_interval",
            "parameters",
            "train_seconds",
            "runs",
        }
    assert printed["out"].startswith("/")


def test_a_page_that_fails_costs_no_model(finished, world, tmp_path, monkeypatch):
    folder = tmp_path / "s"
    shutil.copytree(finished.folder, folder)
    shutil.rmtree(folder / "model")

    def failing(*_):
        raise StorageError("the disk is full")

    monkeypatch.setattr(local, "write_report", failing)
    with pytest.raises(StorageError, match="the disk is full"):
        run_study(STUDY, world, out=folder)
    images = world.test.images
    answered = load_classifier(folder).probabilities(images)
    assert np.array_equal(answered, load_classifier(finished.folder).probabilities(images))


def test_a_second_process_is_kept_out_of_a_study_that_is_being_worked_on(world, tmp_path):
    with (
        local._alone(tmp_path / "s"),
        pytest.raises(StorageError) as told,
    ):
        run_study(STUDY, world, out=tmp_path / "s", budget=1000)
    assert not (tmp_path / "s" / "plan.json").exists()
    assert str(told.value) == (
        f"Another process is working on {tmp_path / 's'}. Wait for it, or choose another folder "
        "with --out."
    )
    assert not (tmp_path / "s" / "runs").exists()


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "model.json", "history.csv", "predictions-test.npz"]
)
def test_a_finished_run_that_lacks_a_file_is_named_with_the_remedy(finished, world, tmp_path, name):
    folder = tmp_path / "s"
    shutil.copytree(finished.folder, folder)
    run = folder / "runs" / finished.summary["variations"][0]["runs"][0]["name"]
    (run / name).unlink()
    with pytest.raises(StorageError) as told:
        run_study(STUDY, world, out=folder)
    assert str(told.value) == (
        f"{run} is finished but lacks {name}. Remove it to train this run again."
    )


def test_damaged_predictions_are_named_with_the_remedy(finished, world, tmp_path):
    folder = tmp_path / "s"
    shutil.copytree(finished.folder, folder)
    run = folder / "runs" / finished.summary["variations"][0]["runs"][0]["name"]
    (run / "predictions-test.npz").write_bytes(b"")
    with pytest.raises(StorageError, match=r"predictions-test\.npz is damaged\. Remove "):
        run_study(STUDY, world, out=folder)


def test_a_study_that_is_asked_otherwise_says_what_it_replaces(finished, world, tmp_path):
    folder = tmp_path / "s"
    shutil.copytree(finished.folder, folder)
    same, other = Recorder(), Recorder()
    run_study(STUDY, world, out=folder, listener=same)
    run_study(replace(STUDY, seeds=(0,)), world, out=folder, listener=other)
    assert (same.replaced, other.replaced) == (None, folder)


def test_a_study_whose_networks_diverge_is_reported_all_the_same(world, tmp_path):
    study = STUDY.with_overrides({"optimizer": "sgd", "batch_size": 256, "epochs": 1})
    study = replace(study, variations={"wild": {"learning_rate": 1e38}}, seeds=(0,))
    made = run_study(study, world, out=tmp_path / "s")
    stopped = [each["runs"][0]["stopped"] for each in made.summary["variations"]]
    assert stopped == ["all epochs", "diverged"]


FAST = Study(
    name="fast",
    seeds=(0,),
    overrides={
        "model": "whitened-cnn",
        "widths": [6, 8],
        "optimizer": "muon",
        "schedule": "linear",
        "horizontal_flip": True,
        "alternating_flip": True,
        "training_sizes": [0.5, 1],
        "epochs": 1,
        "batch_size": 64,
        "precision": "fp32",
    },
    variations={"many": {"test_views": "mirrored-and-moved"}},
)


@pytest.fixture(scope="module")
def fast(world, tmp_path_factory):
    return run_study(FAST, world, out=tmp_path_factory.mktemp("studies") / "fast")


def results(study) -> dict:
    """By variation: its only run's folder and what `result.json` says."""
    found = {}
    for variation in study.summary["variations"]:
        folder = study.folder / "runs" / variation["runs"][0]["name"]
        found[variation["name"]] = folder, json.loads((folder / "result.json").read_text())
    return found


def stored(folder, split) -> np.ndarray:
    with np.load(folder / f"predictions-{split}.npz") as file:
        return file["logits"]


def one_view(folder, images) -> np.ndarray:
    """The logits of a single look, from the shipped network alone."""
    network = load_classifier(folder).network
    inner = network.network if isinstance(network, ManyViews) else network
    with torch.inference_mode():
        return inner(torch.from_numpy(images)).numpy()


def by_hand(folder, images) -> np.ndarray:
    """The logits of six looks: the image, and cut out of its reflected border at two corners."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    height, width = images.shape[1:3]
    looks = {(1, 1): 1 / 4, (0, 0): 1 / 8, (2, 2): 1 / 8}
    total = 0
    for (top, left), weight in looks.items():
        cut = padded[:, top : top + height, left : left + width]
        for side in (cut, cut[:, :, ::-1]):
            total = total + weight * one_view(folder, np.ascontiguousarray(side))
    return total


@pytest.mark.parametrize("split", ["validation", "test"])
def test_stored_predictions_are_those_of_the_recipes_views(fast, world, split):
    images = getattr(world, split).images
    folder, _ = results(fast)["many"]
    found = stored(folder, split)
    np.testing.assert_allclose(found, by_hand(folder, images), rtol=1e-4, atol=1e-5)
    assert not np.allclose(found, one_view(folder, images), rtol=1e-4, atol=1e-5)
    folder, _ = results(fast)["base"]
    found = stored(folder, split)
    np.testing.assert_allclose(found, one_view(folder, images), rtol=1e-4, atol=1e-5)


def test_a_result_says_the_accuracy_with_and_without_views(fast, world):
    for name, (folder, result) in results(fast).items():
        alone = {
            split: (one_view(folder, part.images).argmax(1) == part.labels).mean()
            for split, part in (("validation", world.validation), ("test", world.test))
        }
        assert result["one_view_accuracy"] == alone
        seen = (stored(folder, "validation").argmax(1) == world.validation.labels).mean()
        assert result["val_accuracy"] == seen
        if name == "base":
            assert result["val_accuracy"] == result["one_view_accuracy"]["validation"]


class Opposite(nn.Module):
    """Answers the contrary of a network."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return -self.network(pixels)


def test_views_that_change_every_answer_leave_the_accuracy_of_one_view_alone(
    world, tmp_path, monkeypatch
):
    def opposite(network, views):
        return network if views == "one" else Opposite(network)

    monkeypatch.setattr(one_run, "with_views", opposite)
    made = run_study(replace(FAST, base=False), world, out=tmp_path / "s")
    [(folder, result)] = results(made).values()
    for split, part in (("validation", world.validation), ("test", world.test)):
        logits = stored(folder, split)
        with_views, without = ((each.argmax(1) == part.labels).mean() for each in (logits, -logits))
        assert with_views != without
        assert result["one_view_accuracy"][split] == without
        if split == "validation":
            assert result["val_accuracy"] == with_views


def test_two_variations_that_differ_in_views_alone_have_the_same_weights(fast):
    base, many = (folder / "weights.safetensors" for folder, _ in results(fast).values())
    assert base.read_bytes() == many.read_bytes()


def test_the_shipped_model_looks_as_often_as_its_recipe_says(fast, world):
    for name, (folder, _) in results(fast).items():
        shipped = load_classifier(folder)
        assert isinstance(shipped.network, ManyViews) == (name == "many")
        logits = stored(folder, "test").astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        np.testing.assert_allclose(shipped.probabilities(world.test.images), shares, atol=1e-5)


def test_the_test_split_is_opened_once_however_often_an_image_is_looked_at(fast):
    for _, result in results(fast).values():
        assert [opening["images"] for opening in result["test_openings"]] == [64]


def test_without_validation_images_the_accuracy_of_one_view_is_that_of_the_test_images(
    world, tmp_path
):
    study = replace(FAST, validation=0.0, base=False)
    made = run_study(study, Splits("world", world.train, None, world.test), out=tmp_path / "s")
    [(folder, result)] = results(made).values()
    accuracy = (one_view(folder, world.test.images).argmax(1) == world.test.labels).mean()
    assert result["one_view_accuracy"] == {"test": accuracy}
    assert result["val_accuracy"] is None


def test_a_study_of_the_fast_recipe_goes_on_after_an_interruption_with_the_same_bits(
    world, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    longer = replace(FAST.with_overrides({"epochs": 3}), variations={})

    class Interrupting(Recorder):
        def epoch(self, run, row):
            super().epoch(run, row)
            if len(self.rows) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(longer, world, out=tmp_path / "s", listener=Interrupting())
    recorder = Recorder()
    resumed = run_study(longer, world, out=tmp_path / "s", listener=recorder)
    assert [epoch for _, epoch in recorder.rows] == [2, 3]
    whole = run_study(longer, world, out=tmp_path / "whole")
    ours, theirs = (study.folder / "model" / "weights.safetensors" for study in (resumed, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_published_tables_that_name_no_class_of_the_data_are_told_before_any_training(
    world, tmp_path
):
    (tmp_path / "tables").mkdir()
    text = "variation,class,precision,recall,f1\nbase,truk,0.5,0.5,0.5\n"
    (tmp_path / "tables" / "per-class.csv").write_text(text)
    study = replace(STUDY, published_tables=str(tmp_path / "tables"))
    with pytest.raises(InputError, match=r'per-class\.csv:2: class "truk" is no class of the data'):
        run_study(study, world, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
