"""Works through a study's missing runs on this machine, one after another, and reports."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyscope.data import splitting
from tinyscope.data.batches import Batches
from tinyscope.data.catalogue import load
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.review import NOT_REVIEWED, ReviewCounts, apply_review
from tinyscope.errors import StorageError
from tinyscope.evaluation.metrics import accuracy
from tinyscope.evaluation.predict import as_array, predict_logits
from tinyscope.files import locked, read_json, replacing, write_json, write_text
from tinyscope.inspection.inspection import Inspection, inspect
from tinyscope.models.views import with_views
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.report.page import write_report
from tinyscope.report.summary import summarise
from tinyscope.runs.run import Predictions, Run
from tinyscope.runs.store import DEFAULT_ROOT, check_folder
from tinyscope.shipping.classifier import save_model
from tinyscope.sweep.estimates import Timing, fit_to_budget, time_recipes
from tinyscope.sweep.outcome import StudyResult
from tinyscope.sweep.planned import Planned, plan_runs
from tinyscope.training import machine
from tinyscope.training.trainer import Row, Trained, train


class Listener:
    """Is told how a study goes on; each method may be overridden, none has to be."""

    def loading(self, data: str) -> AbstractContextManager[None]:
        """Entered while the data set is being read; a large folder takes minutes at first."""
        return nullcontext()

    def data_loaded(self, data: Splits) -> None:
        """The data set is there, its splits cut."""

    def inspecting(self) -> AbstractContextManager[None]:
        """Entered while the images are looked at; takes a minute for 60,000 at first."""
        return nullcontext()

    def inspected(self, inspection: Inspection) -> None:
        """The images have been looked at."""

    def planned(self, planned: Planned, seconds: float, cut: str) -> None:
        """What will run, about how long it will take, and what a budget has cut."""

    def replaces(self, folder: Path) -> None:
        """The folder holds a study that was asked otherwise; its report will be replaced."""

    def run_starts(self, run: Run, number: int, of: int) -> None:
        """A run begins or goes on."""

    def step(self, done: int, steps: int) -> None:
        """A training step of an epoch is done."""

    def epoch(self, run: Run, row: Row) -> None:
        """An epoch is done."""

    def run_ends(self, run: Run) -> None:
        """A run has its result."""


def run_study(
    study: Study,
    data: Splits | None = None,
    *,
    out: Path | None = None,
    budget: float | None = None,
    listener: Listener | None = None,
) -> StudyResult:
    """Runs what is missing of a study, then writes its summary, report and recommended model.

    Asked again, it keeps finished runs and goes on with an interrupted one from its checkpoint.

    Args:
        study: what to run.
        data: instead of the study's own data set; a validation or test split that it lacks is cut.
        out: the study's folder; by default `tinyscope-runs/<study name>`.
        budget: seconds that the trainings may about take; the study is cut to fit.
        listener: is told what happens.

    Raises:
        InputError: a model does not fit the images, or the budget is too short.
        DataError: the data cannot be used.
        StorageError: the folder cannot be used.
    """
    hears = listener or Listener()
    machine.device()  # one that is not there is told before anything is downloaded
    folder = (out or DEFAULT_ROOT / study.name).resolve()
    check_folder(folder)
    with hears.loading(study.data):
        loaded = load(study.data, size=study.size) if data is None else data
        reviewed = NOT_REVIEWED
        if study.review:
            loaded, reviewed = apply_review(loaded, study.review)
        complete = splitting.complete(loaded, validation=study.validation, seed=study.split_seed)
    hears.data_loaded(complete)
    with hears.inspecting():
        inspection = inspect(loaded, origin=study.data if data is None else None, training=False)
    hears.inspected(inspection)

    planned = plan_runs(study, complete, folder)
    unfinished = {run.variation for run in planned.missing}
    timings = time_recipes(
        complete,
        {
            name: recipe
            for name, recipe in planned.recipes.items()
            if budget is not None or name in unfinished
        },
    )
    cut = ""
    if budget is not None:
        planned, cut = _fitted(planned, timings, budget)
    seconds = sum(timings[run.variation].seconds(run.recipe) for run in planned.missing)
    hears.planned(planned, seconds, cut)

    with _alone(folder):
        replaced = (folder / "study.toml").exists() and (
            (folder / "study.toml").read_text(encoding="utf-8") != study.as_toml()
        )
        if replaced:
            hears.replaces(folder)
        write_text(folder / "study.toml", study.as_toml())
        missing = planned.missing
        for number, run in enumerate(missing, start=1):
            hears.run_starts(run, number, len(missing))
            _carry_out(run, complete, hears)
            hears.run_ends(run)
        return _report(
            planned,
            cut=cut,
            test_came_with_data=loaded.test is not None,
            reviewed=reviewed,
            inspection=inspection,
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second process out of a study that one is working on; one that dies lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        if not locked(file):
            raise StorageError(
                f"Another process is working on {folder}. Wait for it, or choose another folder "
                "with --out."
            )
        yield


def _fitted(planned: Planned, timings: Mapping[str, Timing], budget: float) -> tuple[Planned, str]:
    """The plan cut to the budget; as it was cut before where the same is asked again.

    Timings vary from call to call: without this memory, an interrupted study would be cut anew,
    and its runs would no longer be the same ones.
    """
    study, folder = planned.study, planned.folder
    asked = {"study": study.as_toml(), "data": planned.data.fingerprint, "budget_seconds": budget}
    path = folder / "plan.json"
    if path.exists():
        stored = read_json(path)
        if stored["asked"] == asked:
            kept = replace(study, seeds=tuple(stored["seeds"]))
            recipes = {name: Recipe().changed(values) for name, values in stored["recipes"].items()}
            return plan_runs(kept, planned.data, folder, recipes), stored["cut"]
    fitted = fit_to_budget(study, planned.recipes, timings, budget)
    write_json(
        path,
        {
            "asked": asked,
            "seeds": list(fitted.study.seeds),
            "recipes": {name: recipe.as_dict() for name, recipe in fitted.recipes.items()},
            "cut": fitted.told,
        },
    )
    return plan_runs(fitted.study, planned.data, folder, fitted.recipes), fitted.told


def _carry_out(run: Run, data: Splits, hears: Listener) -> None:
    """Trains one run, then lets it answer for the validation and, once, for the test images."""
    run.write_start()
    checkpoint = run.folder / "checkpoint.safetensors"

    def epoch(row: Row) -> None:
        run.add_epoch(row)
        hears.epoch(run, row)

    trained = train(
        data,
        run.recipe,
        seed=run.seed,
        checkpoint=checkpoint,
        on_epoch=epoch,
        on_step=hears.step,
    )
    run.write_history(trained.history)
    val_accuracy, one_view = None, {}
    if data.validation is not None:
        answered, one_view["validation"] = _answers(run, trained, data.validation)
        run.write_predictions("validation", answered)
        val_accuracy = accuracy(answered.logits.argmax(1), answered.labels)
    assert data.test is not None  # splitting.complete cuts one where there is none
    openings = run.open_test_split(len(data.test), "evaluation of the finished run")
    answered, one_view["test"] = _answers(run, trained, data.test)
    run.write_predictions("test", answered)
    save_model(
        run.folder,
        trained.network,
        recipe=run.recipe,
        class_names=data.train.class_names,
        preprocessing=data.train.preprocessing,
        card={
            "run": run.name,
            "data": data.name,
            "seed": run.seed,
            "training_images": len(data.train),
            "val_accuracy": val_accuracy,
            "recipe": run.recipe.as_dict(),
        },
    )
    seconds = sum(row["seconds"] for row in trained.history)
    images = len(data.train) * len(trained.history)
    run.write_result(
        {
            "epochs_run": len(trained.history),
            "best_epoch": trained.best_epoch,
            "stopped": trained.stopped,
            "val_accuracy": val_accuracy,
            "one_view_accuracy": one_view,
            "train_seconds": round(seconds, 3),
            "train_cpu_seconds": round(sum(row["cpu_seconds"] for row in trained.history), 3),
            "train_flop": trained.flop,
            "images_per_second": round(images / seconds, 1) if seconds else 0.0,
            **openings,
        }
    )
    checkpoint.unlink(missing_ok=True)


def _answers(run: Run, trained: Trained, part: ImageDataset) -> tuple[Predictions, float]:
    """What the model answers, and how often its first view alone would be right."""
    images = Batches(part, device=machine.device())
    recipe = run.recipe

    def logits(views: str) -> np.ndarray:
        network = with_views(trained.network, views)
        return as_array(predict_logits(network, images, precision=recipe.precision))

    once = logits("one")
    answers = once if recipe.test_views == "one" else logits(recipe.test_views)
    return Predictions(answers, part.labels), accuracy(once.argmax(1), part.labels)


def _report(
    planned: Planned,
    *,
    cut: str,
    test_came_with_data: bool,
    reviewed: ReviewCounts,
    inspection: Inspection,
) -> StudyResult:
    """Writes the summary, the page and the recommended model of a finished study."""
    summary = summarise(
        planned.study,
        planned.runs,
        planned.data,
        recipes_changed=planned.changes(),
        test_came_with_data=test_came_with_data,
        cut_to_budget=cut,
        reviewed=reviewed,
        inspection=inspection.summary,
    )
    folder = planned.folder
    write_json(folder / "summary.json", summary)
    write_report(summary, folder / "report.html")
    chosen = next(run for run in planned.runs if run.name == summary["recommended"]["run"])
    for name in ("weights.safetensors", "model.json"):
        _copy(chosen.folder / name, folder / "model" / name)
    return StudyResult(folder, summary)


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    with replacing(target) as file:
        file.write(content)
