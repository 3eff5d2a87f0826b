"""Carries out the first suggestions of a finished study, and says what each has brought."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyscope.data.catalogue import DATASETS, as_text
from tinyscope.data.dataset import Splits
from tinyscope.diagnosis.fitted_recipes import training_images
from tinyscope.diagnosis.study_checks import study_findings
from tinyscope.diagnosis.suggestions import Price, suggestions
from tinyscope.errors import DataError, InputError, StorageError
from tinyscope.evaluation.comparison import against, compare_all
from tinyscope.files import read_json, write_json
from tinyscope.inspection.inspection import Inspection
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import recipe
from tinyscope.plan.study import NETWORK, Study
from tinyscope.plan.study_faults import grid_points
from tinyscope.plan.study_files import parse
from tinyscope.report.page import write_report
from tinyscope.report.stored_matrices import shortened
from tinyscope.runs.run import read_run
from tinyscope.sweep.listener import Listener
from tinyscope.sweep.local import run_study
from tinyscope.sweep.outcome import StudyResult, read_study, reading
from tinyscope.sweep.planned import Planned
from tinyscope.training.price import price_for


def improve(
    folder: Path,
    *,
    steps: int = 2,
    data: Splits | str | Path | None = None,
    listener: Listener | None = None,
) -> StudyResult:
    """Takes the first suggestion of a study's report, runs it as a variation; then the next.

    Every step asks anew what to suggest: it starts from the variation that validation recommends
    then. So a step builds on the one before only if that was the best in validation, and else takes
    the next suggestion for the old one. What was tried is never suggested again, and what the data
    or the study do not take is passed over, each with a word to the listener. A step adds the
    variation "improved-1" (or the next number) to the study's file: the recommended variation's
    whole recipe with the suggestion's changes, on the same data with the same seeds. The study's
    rule of choice stays what it is.

    The summary's "improvements" then holds a dictionary for each step ever made here:
    "variation", "from", "code", "suggestion" (its title), "why", "changes", "expected_gain"; and
    of the runs with the lowest seed, which are those that would ship, "val_gain" (accuracy of the
    new one less that of the old one on the validation images), "interval" (95%, paired),
    "p_value", "adjusted_p_value" (over all pairs of the study's variations) and the "verdict" that
    rests on it ("better", "worse" or "cannot be told apart"), and "test_gain", which nothing rests
    on; "mean_val_gain" is the mean over seeds, by which the study chooses.

    Args:
        folder: of a finished study. Asked again after an interruption, the same step goes on.
        steps: at most so many, one after another.
        data: the images, or their name or path, where the study cannot find them by itself: those
            of no name or path, and those that were moved. Relative paths of the study are seen from
            where it was run.
        listener: is told what happens.

    Raises:
        InputError: there is nothing to suggest, or nothing of it can be trained, there are no
            validation images to judge by, or the images are not found.
        DataError: the data are not those that the study was run on.
        StorageError: there is no finished study, or the folder cannot be used.
    """
    result = read_study(folder)
    with reading(result.stored):
        validated = bool(result.summary["study"]["validation"])
    if not validated:
        raise InputError(
            f"The study in {folder} keeps no validation images, so nothing could say whether a "
            "step helps. Run it with --set validation=0.1 first."
        )
    for step in range(steps):
        with reading(result.stored):
            findings, price = study_findings(result.summary), _price(result.summary)
        found = suggestions(result.summary, findings, price=price)
        if not found and step == 0:
            raise InputError(f"Nothing is left to suggest for the study in {folder}.")
        after, refused = _first_that_fits(result, found, data, listener or Listener())
        if after is None and step == 0:
            raise InputError(
                f"Nothing of what is left to suggest for the study in {folder} can be trained. "
                f"{refused}"
            )
        if after is None:
            break
        result = after
    return result


def _price(summary: dict[str, Any]) -> Price:
    """Of recipes on the images of a study."""
    data = summary["data"]
    return price_for(
        shape=data["image_shape"],
        classes=len(data["class_names"]),
        images=training_images(summary),
    )


def _first_that_fits(
    before: StudyResult,
    found: list[dict[str, Any]],
    data: Splits | str | Path | None,
    listener: Listener,
) -> tuple[StudyResult | None, str]:
    """The study with the first suggestion that is not refused; None, and why the last one was."""
    refused = ""
    for suggestion in found:
        try:
            return _step(before, suggestion, data, listener), ""
        except _RefusedError as error:
            refused = str(error)
            listener.passed_over(suggestion["title"], refused)
    return None, refused


class _RefusedError(Exception):
    """A suggestion cannot be carried out; nothing was trained or written."""


def _step(
    before: StudyResult,
    suggestion: dict[str, Any],
    data: Splits | str | Path | None,
    listener: Listener,
) -> StudyResult:
    """The study with a suggestion carried out.

    Raises:
        _RefusedError: it does not fit the study, or its network does not fit the data.
    """
    folder, summary = before.folder, before.summary
    names = [one["name"] for one in summary["variations"]]
    numbers = [int(match[1]) for name in names if (match := re.fullmatch(r"improved-(\d+)", name))]
    name = f"improved-{max(numbers, default=0) + 1}"
    asked = _study(before)
    if run_in := summary["study"]["run_in"]:  # which earlier versions did not write
        asked = _seen_from_here(asked, before.folder / run_in)
    if isinstance(data, (str, Path)):
        asked, data = replace(asked, data=as_text(data)), None
    elif data is None:
        _refuse_unfound(asked, before.folder)
    try:
        study = _with_variation(asked, summary, name, suggestion)
    except InputError as error:
        raise _RefusedError(str(error)) from None

    path = folder / "improvements.json"
    known = _made_before(path)
    made = {
        "variation": name,
        "from": suggestion["variation"],
        "code": suggestion["code"],
        "suggestion": suggestion["title"],
        "why": suggestion["why"],
        "changes": suggestion["changes"],
        "expected_gain": suggestion["expected_gain"],
    }
    steps = [one for one in known if {one["variation"], one["from"]} <= set(names)] + [made]
    # Before the training: whatever interrupts it, the next report knows how a variation came about.
    heard = _Heard(
        listener,
        summary["data"]["fingerprint"],
        before_training=lambda: write_json(path, {"improvements": steps}),
    )
    try:
        after = run_study(study, data, out=folder, listener=heard)
    except InputError as error:
        if heard.planning:
            raise _RefusedError(str(error).removeprefix(f'variation "{name}": ')) from None
        raise
    after.summary["study"]["cut_to_budget"] = summary["study"]["cut_to_budget"]
    after.summary["improvements"] = _judged(after, steps)
    write_json(folder / "summary.json", shortened(after.summary))
    write_report(after.summary, folder / "report.html")
    return after


def _made_before(path: Path) -> list[dict[str, Any]]:
    """The steps that `improvements.json` holds, each with every key that is read of it."""
    if not path.exists():
        return []
    known = read_json(path).get("improvements")
    keys = {"variation", "from", "suggestion", "changes"}
    if not isinstance(known, list) or not all(
        isinstance(one, dict) and keys <= set(one) for one in known
    ):
        raise StorageError(
            f"{path} is damaged: it holds no list of steps. Remove it to go on; the report then no "
            "longer tells what earlier steps have brought."
        )
    return known


def _study(result: StudyResult) -> Study:
    """The study that the summary is of; `study.toml` may be that of an interrupted later one."""
    about = result.summary["study"]
    return parse(about["toml"], name=about["name"], file=str(result.folder / "study.toml"))


def _seen_from_here(study: Study, run_in: Path) -> Study:
    """The study with its paths as the current folder has them, where it was run in another one."""

    def seen(text: str) -> str:
        path = os.path.expanduser(text)
        there = os.path.join(run_in, path)
        if not text or not os.path.exists(there):
            return text
        same = os.path.exists(path) and os.path.samefile(path, there)
        return text if same else _relative(there)

    data = study.data if study.data in DATASETS else seen(study.data)
    return replace(study, data=data, review=seen(study.review))


def _relative(path: str) -> str:
    """The path from the current folder, spelled so that it is no name of a data set."""
    try:
        seen = Path(os.path.relpath(path)).as_posix()
        return seen if seen.startswith("../") else f"./{seen}"
    except ValueError:  # another drive
        return path


def _refuse_unfound(study: Study, folder: Path) -> None:
    if study.data not in DATASETS and not os.path.exists(os.path.expanduser(study.data)):
        raise InputError(
            f'The study in {folder} was run on "{study.data}", which is neither the name of a data '
            f"set nor found from {Path.cwd()}. Give its images: --data PATH, or data=... in "
            "Python, a path or loaded images."
        )


def _with_variation(
    study: Study, summary: dict[str, Any], name: str, suggestion: dict[str, Any]
) -> Study:
    """The study with one more variation, and the others as they were run.

    Where the new variation does not fit beside the study's overrides, which win over all, or where
    a time budget had cut the recipes, every recipe is spelled out.
    """
    old, changes = suggestion["variation"], suggestion["changes"]
    asked = study.recipes()
    wanted = {
        one["name"]: Recipe().changed({**one["recipe"], "precision": asked[one["name"]].precision})
        for one in summary["variations"]
    }
    wanted[name] = wanted[old].changed(changes)
    starts = {one: start for one, start in study.starts().items() if one in wanted}
    if old in starts and not set(NETWORK) & set(changes):
        starts[name] = starts[old]

    body = {**{**study.variations, **grid_points(study.grid)}.get(old, {}), **changes}
    body.pop("start_from", None)
    body |= {"start_from": starts[name]} if name in starts else {}
    short = {**study.variations, name: body}
    if {**asked, name: wanted[name]} == wanted:
        try:
            only = (*study.only, name) if study.only else ()
            added = replace(study, variations=short, only=only)
            if added.recipes() == wanted:
                return added
        except InputError:
            pass
    return _spelled_out(study, wanted, starts)


def _spelled_out(study: Study, wanted: dict[str, Recipe], starts: dict[str, str]) -> Study:
    base = recipe(study.recipe)
    bodies = {
        name: one.difference(base) | ({"start_from": starts[name]} if name in starts else {})
        for name, one in wanted.items()
    }
    left_out = {*study.recipes(), *study.left_out()} - set(wanted)
    return replace(
        study,
        base=False,
        only=(),
        variations=bodies,
        grid={},
        overrides={},
        published={name: each for name, each in study.published.items() if name in wanted},
        published_tables="" if left_out else study.published_tables,
    )


def _judged(result: StudyResult, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps with what each has brought, tested as the summary compares all variations."""
    by_name = {one["name"]: one for one in result.summary["variations"]}
    right = {name: _right(result, one["runs"][0]["name"]) for name, one in by_name.items()}
    comparisons = compare_all(right)
    judged = []
    for step in steps:
        new, old = by_name[step["variation"]], by_name[step["from"]]
        (found,) = (
            one for one in against(step["variation"], comparisons) if one.second == step["from"]
        )
        judged.append(
            {
                **step,
                "val_gain": found.test.difference,
                "interval": list(found.test.interval),
                "p_value": found.test.p_value,
                "adjusted_p_value": found.adjusted_p_value,
                "verdict": found.verdict,
                "mean_val_gain": new["validation"]["accuracy"] - old["validation"]["accuracy"],
                "test_gain": new["test"]["lowest_seed_accuracy"]
                - old["test"]["lowest_seed_accuracy"],
            }
        )
    return judged


def _right(result: StudyResult, run: str) -> Any:
    """Which validation images a run has right: bool (N,)."""
    predictions = read_run(result.folder / "runs" / run).predictions("validation")
    assert predictions is not None  # `improve` refuses studies without validation images
    return predictions.logits.argmax(1) == predictions.labels


class _Heard(Listener):
    """Passes everything on, but that the study is replaced; refuses other data than the study's.

    Args:
        listener: is told.
        fingerprint: of the study's data.
        before_training: called once the study is planned.
    """

    def __init__(
        self, listener: Listener, fingerprint: str, *, before_training: Callable[[], None]
    ) -> None:
        self._told, self._fingerprint = listener, fingerprint
        self._before_training = before_training
        self.planning = False
        """Whether the images were looked at and the study is being planned: what is refused then
        is a recipe, and those of the finished variations were taken before."""
        own = ("data_loaded", "replaces", "inspected", "planned")
        for name in vars(Listener):
            if not name.startswith("_") and name not in own:
                setattr(self, name, getattr(listener, name))

    def data_loaded(self, data: Splits) -> None:
        """The data set is there; nothing has been written yet."""
        if data.fingerprint != self._fingerprint:
            raise DataError(
                f"The images of {data.name} are not those that the study was run on: they have "
                "changed since, or are cut otherwise. Run the study anew before it is improved."
            )
        self._told.data_loaded(data)

    def inspected(self, inspection: Inspection) -> None:
        """The images have been looked at."""
        self._told.inspected(inspection)
        self.planning = True

    def planned(self, planned: Planned, seconds: float, cut: str) -> None:
        """What will run."""
        self.planning = False
        self._before_training()
        self._told.planned(planned, seconds, cut)
