"""Works through a study's missing runs on this machine, one after another, and reports."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tinyscope.data import splitting
from tinyscope.data.catalogue import DATASETS, load
from tinyscope.data.dataset import Splits
from tinyscope.data.file_tree import lies_among, printable
from tinyscope.data.hub_parquet import holds_shards
from tinyscope.data.review import NOT_REVIEWED, ReviewCounts, apply_review
from tinyscope.errors import InputError, StorageError
from tinyscope.files import locked, path_of, read_json, write_json, write_text
from tinyscope.inspection.inspection import Inspection, inspect
from tinyscope.plan.published_figures import built_in_tables
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.report.page import write_report
from tinyscope.report.stored_matrices import shortened
from tinyscope.report.summary import summarise
from tinyscope.runs.store import DEFAULT_ROOT, check_folder
from tinyscope.shipping.model_folder import copy_model
from tinyscope.sweep.estimates import Timing, fit_to_budget, time_recipes, total_seconds
from tinyscope.sweep.listener import Listener
from tinyscope.sweep.one_run import carry_out
from tinyscope.sweep.outcome import StudyResult
from tinyscope.sweep.planned import Planned, plan_runs
from tinyscope.training import machine
from tinyscope.training.allocator import freed_memory_kept
from tinyscope.training.price import price_for


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
        InputError: a model does not fit the images, the budget is too short, the folder lies among
            the images, or published tables of one's own name classes that the data have not.
        DataError: the data cannot be used.
        StorageError: the folder cannot be used.
    """
    hears = listener or Listener()
    machine.device()  # one that is not there is told before anything is downloaded
    folder = (out or DEFAULT_ROOT / study.name).resolve()
    if data is None:
        _refuse_among_images(folder, study)
    check_folder(folder)
    before = _asked_before(folder)
    with hears.loading(study.data):
        found = load(study.data, size=study.size) if data is None else _of_size(data, study.size)
        loaded, reviewed = _reviewed(found, study)
        complete = splitting.complete(loaded, validation=study.validation, seed=study.split_seed)
    if study.review:
        hears.reviewed(reviewed)
    if study.published_tables not in built_in_tables():
        study.published_figures(complete.train.class_names)  # or a slip would drop a table unsaid
    hears.data_loaded(complete)
    with hears.inspecting():
        inspection = inspect(loaded, origin=study.data if data is None else None, training=False)
    hears.inspected(inspection)

    planned = plan_runs(study, complete, folder)
    with _alone(folder):
        unfinished = {run.variation for run in planned.missing}
        with freed_memory_kept():
            timings = time_recipes(
                {
                    name: start
                    for name, start in planned.begun().items()
                    if budget is not None or name in unfinished
                },
            )
        cut = ""
        if budget is not None:
            planned, cut = _fitted(planned, timings, budget)
        seconds = total_seconds([(run.variation, run.recipe) for run in planned.missing], timings)
        hears.planned(planned, seconds, cut)
        if before not in (None, study.as_toml()):
            hears.replaces(folder)
        write_text(folder / "study.toml", study.as_toml())
        missing = planned.missing
        with freed_memory_kept():
            for number, run in enumerate(missing, start=1):
                hears.run_starts(run, number, len(missing))
                carry_out(run, complete, planned.beginnings[run.identity], hears)
                hears.run_ends(run)
        return _report(
            planned,
            cut=cut,
            validation_came_with_data=bool(study.validation) and found.validation is not None,
            test_came_with_data=found.test is not None,
            reviewed=reviewed,
            inspection=inspection,
        )


def _refuse_among_images(folder: Path, study: Study) -> None:
    """Refuses a study's folder that would be found among the classes of its own data set.

    Among parquet shards it may lie: no folder beside them is taken for a class.
    """
    images = path_of(study.data)
    if study.data in DATASETS or not os.path.isdir(images) or not lies_among(folder, images):
        return
    if holds_shards(images):
        return
    raise InputError(
        f"{folder} lies in {study.data}, where the study's folders would be taken for classes; "
        "expected a folder outside of it, with --out."
    )


def _asked_before(folder: Path) -> str | None:
    """The study file that lies in a folder; None where there is none."""
    path = folder / "study.toml"
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise StorageError(
            f"{path} is not in UTF-8, so this command did not write it. Save it as UTF-8, move it "
            "away, or choose another folder with --out."
        ) from None


def _of_size(data: Splits, size: int | None) -> Splits:
    """Loaded images as they are; refused where the study asks for another size."""
    shape = data.train.preprocessing
    if size is not None and (shape.height, shape.width) != (size, size):
        raise InputError(
            f"The study asks for size = {size}, and the loaded images are "
            f"{shape.width}x{shape.height}: load(..., size={size}) brings them to it."
        )
    return data


def _reviewed(found: Splits, study: Study) -> tuple[Splits, ReviewCounts]:
    """The data set as the study's review leaves it.

    Of a data set without test images, those are cut first, from all images: the same as without a
    review, or it would decide what the models are examined by.
    """
    if not study.review:
        return found, NOT_REVIEWED
    tested = None
    if found.test is None:
        cut = splitting.complete(found, validation=study.validation, seed=study.split_seed)
        tested = cut.test
    return apply_review(found, study.review, tested=tested)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second process out of a study that one is working on; one that dies lets go.

    A new folder that nothing was written to is taken away again.
    """
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("ab")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}.") from None
    try:
        with file:
            if not locked(file):
                raise StorageError(
                    f"Another process is working on {folder}. Wait for it, or choose another "
                    "folder with --out."
                )
            yield
    finally:
        if new and [each.name for each in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()
            folder.rmdir()


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
        try:
            if stored["asked"] == asked:
                kept, told = replace(study, seeds=tuple(stored["seeds"])), str(stored["cut"])
                recipes = {key: Recipe().changed(own) for key, own in stored["recipes"].items()}
                return plan_runs(kept, planned.data, folder, recipes), told
        except (KeyError, TypeError, AttributeError, InputError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise StorageError(
                f"{path} is damaged: {why}. Remove it to have the study cut to its budget anew."
            ) from None
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


def _report(
    planned: Planned,
    *,
    cut: str,
    validation_came_with_data: bool,
    test_came_with_data: bool,
    reviewed: ReviewCounts,
    inspection: Inspection,
) -> StudyResult:
    """Writes the summary, the recommended model and the page of a finished study."""
    folder = planned.folder
    summary = summarise(
        planned.study,
        planned.runs,
        planned.data,
        recipes_changed=planned.changes(),
        validation_came_with_data=validation_came_with_data,
        test_came_with_data=test_came_with_data,
        cut_to_budget=cut,
        reviewed=reviewed,
        inspection=inspection.summary,
        price=price_for(
            shape=planned.data.train.preprocessing,
            classes=len(planned.data.train.class_names),
            images=len(planned.data.train),
        ),
        run_in=_current_folder(folder),
    )
    write_json(folder / "summary.json", shortened(summary))
    chosen = next(run for run in planned.runs if run.name == summary["recommended"]["run"])
    copy_model(chosen.folder, folder / "model")  # before the page, which may fail
    write_report(summary, folder / "report.html")
    return StudyResult(folder, summary)


def _current_folder(seen_from: Path) -> str:
    """The current folder, relative where it can be: both may be moved together, or sent away.

    One whose name is no Unicode is spelled out, and `improve` has to be told where the images are.
    """
    try:
        return printable(Path(os.path.relpath(Path.cwd(), seen_from)).as_posix())
    except ValueError:  # another drive
        return printable(str(Path.cwd()))
