"""The plain dictionary that a report is made from: every number of the page, and nothing else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tinyscope import __version__
from tinyscope.data.balance import is_unbalanced
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.review import NOT_REVIEWED, ReviewCounts
from tinyscope.diagnosis.study_checks import study_findings
from tinyscope.diagnosis.suggestions import Price, suggestions
from tinyscope.errors import DataError
from tinyscope.evaluation.choice import Candidate, Choice, choose
from tinyscope.evaluation.comparison import LEVEL, Comparison, against, compare_all
from tinyscope.evaluation.evaluation import Evaluation
from tinyscope.evaluation.weak_classes import weak_classes
from tinyscope.plan.study import Study
from tinyscope.report.beside_published import published_block
from tinyscope.report.leaks import leaked_test_rows
from tinyscope.report.limits import limits
from tinyscope.report.pictures import Album, spread
from tinyscope.report.variation_block import evaluations, variation_block
from tinyscope.runs.run import DIVERGED, Run

FORMAT = 2
PARTS = (
    *("format", "tinyscope", "created", "study", "recommended", "data", "inspection"),
    *("variations", "comparisons", "clock", "formula", "environments", "limits", "pictures"),
)
"""What every summary holds; "findings", "suggestions" and "improvements" came later."""
SAMPLE_CLASSES = 12
SAMPLES_OF_A_CLASS = 6
CLOCK = (
    "Training seconds count the training alone: preparing the network for the images, cutting and "
    "augmenting batches, and updating the weights; not loading the data, measuring validation "
    "figures or writing files. Processor time adds up all threads meanwhile."
)
FORMULA = (
    "Training FLOP are counted by formula: two for each multiplication with its addition in "
    "convolutions, dense layers and the optimizer's matrix products, forward and backward; not "
    "what takes a few operations a value, such as norms, activations, pooling and augmentation."
)


def summarise(
    study: Study,
    runs: Iterable[Run],
    splits: Splits,
    *,
    recipes_changed: Mapping[str, dict[str, Any]],
    test_came_with_data: bool,
    cut_to_budget: str = "",
    run_in: str = "",
    validation_came_with_data: bool = False,
    reviewed: ReviewCounts = NOT_REVIEWED,
    inspection: Mapping[str, Any] | None = None,
    price: Price = lambda recipe: None,
) -> dict[str, Any]:
    """What a study found, ready for `json.dump` and for `page.render`.

    Args:
        study: the study, for its question, seeds and published figures.
        runs: its finished runs in any order; variations stand in that of their first run.
        splits: the images that the runs were trained and evaluated on.
        recipes_changed: for each variation, the recipe keys that differ from the base.
        cut_to_budget: what a time budget has taken from the study, for people; empty for nothing.
        run_in: the folder that the study's paths are relative to, as seen from the study's own.
        validation_came_with_data: whether the validation split is the source's own and not cut from
            it here.
        test_came_with_data: whether the test split is.
        reviewed: what a review file has changed of the images.
        inspection: what the images look like and what is wrong with them, as
            `inspection.inspect` sums it up; None where they were not looked at.
        price: what the training of another recipe on these images would cost; without, suggestions
            that change the network tell no cost.

    Raises:
        InputError: the study's published tables are missing or have faults.
        DataError: there is no run or no test split, or a run's predictions do not fit the images.
    """
    by_variation: dict[str, list[Run]] = {}
    for run in runs:
        by_variation.setdefault(run.variation, []).append(run)
    if not by_variation or splits.test is None:
        raise DataError(
            f"Study {study.name}: {len(by_variation)} variations with finished runs and "
            f"{'no' if splits.test is None else 'a'} test split; a report needs both."
        )
    album = Album()
    leaked = leaked_test_rows(inspection["findings"]) if inspection else None
    published, starts = study.published_figures(), study.starts()
    variations, candidates, on_validation, on_test = [], [], {}, {}
    for name, group in by_variation.items():
        group.sort(key=lambda run: run.seed)
        validation = evaluations(group, splits.validation) if splits.validation else None
        test = evaluations(group, splits.test)
        variations.append(
            variation_block(
                group,
                validation=validation,
                test=test,
                test_images=splits.test,
                train_counts=splits.train.counts(),
                changes=recipes_changed.get(name, {}),
                published=published_block(published.get(name), splits.train.class_names),
                start_from=starts.get(name),
                leaked=leaked,
                album=album,
            )
        )
        candidates.append(_candidate(variations[-1], validation))
        on_test[name] = test[0].right
        if validation is not None:
            on_validation[name] = validation[0].right
    choice = choose(candidates)
    about = {
        "name": study.name,
        "question": study.question,
        "seeds": sorted({run.seed for group in by_variation.values() for run in group}),
        "validation": study.validation,
        "split_seed": study.split_seed,
        "published_source": study.published_source,
        "toml": study.as_toml(),
        "cut_to_budget": cut_to_budget,
        "run_in": run_in,
        "left_out": list(study.left_out()),
        "validation_came_with_data": validation_came_with_data,
        "test_came_with_data": test_came_with_data,
    }
    data = data_block(splits, album) | {"review": reviewed._asdict() | {"gone": len(reviewed.gone)}}
    summary: dict[str, Any] = {
        "format": FORMAT,
        "tinyscope": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": about,
        "recommended": _recommended(choice, variations),
        "data": data,
        "inspection": None if inspection is None else _without_gallery(inspection),
        "variations": variations,
        "comparisons": {
            "level": LEVEL,
            "pairs": len(variations) * (len(variations) - 1) // 2,
            "validation": _rows(choice.comparisons),
            "test": _rows(against(choice.variation, compare_all(on_test))),
            "one_key": _one_key(variations, compare_all(on_validation)),
        },
        "improvements": [],
        "clock": CLOCK,
        "formula": FORMULA,
        "environments": _environments(run for group in by_variation.values() for run in group),
        "limits": limits(data, about, variations, test_came_with_data=test_came_with_data),
        "pictures": album.pictures,
    }
    summary["findings"] = study_findings(summary)
    summary["suggestions"] = suggestions(summary, summary["findings"], price=price)
    return summary


def _one_key(
    variations: Sequence[Mapping[str, Any]], comparisons: Iterable[Comparison]
) -> list[dict[str, Any]]:
    """Those pairs on the validation images whose recipes differ in one key alone, with that key.

    Both begin in the same way: with weights of their own, or with those of the same variation.
    """
    recipes = {one["name"]: one["recipe"] for one in variations}
    starts = {one["name"]: one["start_from"] for one in variations}
    rows = []
    for row in _rows(comparisons):
        first, second = row["first"], row["second"]
        ours, theirs = recipes[first], recipes[second]
        keys = [key for key in ours if ours[key] != theirs[key]]
        if len(keys) == 1 and starts[first] == starts[second]:
            rows.append({**row, "key": keys[0]})
    return rows


def _without_gallery(inspection: Mapping[str, Any]) -> dict[str, Any]:
    """An inspection without what its own page alone shows: map, findings' and classes' pictures."""
    findings = [{**one, "shown": []} for one in inspection["findings"]]
    samples = inspection["samples"]
    means = samples["means"]  # of all classes in what an earlier version kept
    samples = {**samples, "by_class": [], "means": [means[k] for k in spread(len(means))]}
    rest = {**inspection, "findings": findings, "samples": samples, "map": None, "pictures": {}}
    used = json.dumps(rest)
    pictures = {key: uri for key, uri in inspection["pictures"].items() if json.dumps(key) in used}
    return {**rest, "pictures": pictures}


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What `tinyscope run --json` prints of a summary: keys "recommended" and "variations"."""
    recommended = summary["recommended"]
    keys = ("variation", "model", "standing", "reason", "test_accuracy", "val_accuracy")
    spread = ("lowest_seed_accuracy", "image_interval", "seed_interval", "seeds")
    chosen = next(one for one in summary["variations"] if one["name"] == recommended["variation"])
    leaks = chosen["test"]["leaks"] or {"images": None}
    without = ("lowest_seed_accuracy_without", "image_interval_without")
    return {
        "recommended": {
            **{key: recommended[key] for key in (*keys, *spread)},
            "leaked_test_images": leaks["images"],
            **{key: leaks.get(key) for key in without},
        },
        "variations": [
            {
                "name": variation["name"],
                **_figures(variation),
                "parameters": variation["parameters"],
                "train_seconds": variation["train_seconds"],
                "runs": [
                    {key: value for key, value in run.items() if key != "history"}
                    for run in variation["runs"]
                ],
            }
            for variation in summary["variations"]
        ],
    }


def data_block(splits: Splits, album: Album) -> dict[str, Any]:
    """What a summary says of the images: counts, what was left out, and a few of each class."""
    train = splits.train
    counts = train.counts()
    used = sum(len(part) for part in splits.parts())
    return {
        "name": splits.name,
        "source": train.source,
        "fingerprint": splits.fingerprint,
        "class_names": list(train.class_names),
        "image_shape": list(train.images.shape[1:]),
        "splits": [
            {
                "split": part.split,
                "images": len(part),
                "found": part.found,
                "counts": part.counts(),
            }
            for part in splits.parts()
        ],
        "used": used,
        "found": sum(part.found for part in splits.parts()),
        "left_out": [
            {"split": part.split, "file": entry.file, "reason": entry.reason}
            for part in splits.parts()
            for entry in part.left_out
        ],
        "unbalanced": is_unbalanced(counts),
        "largest_class": train.class_names[int(np.argmax(counts))],
        "smallest_class": train.class_names[int(np.argmin(counts))],
        "samples": _samples(train, album),
    }


def _samples(train: ImageDataset, album: Album) -> list[dict[str, Any]]:
    """The first images of classes that are spread evenly over all."""
    return [
        {
            "class": train.class_names[k],
            "pictures": [
                album.place(train, int(row))
                for row in np.flatnonzero(train.labels == k)[:SAMPLES_OF_A_CLASS]
            ],
        }
        for k in spread(len(train.class_names), SAMPLE_CLASSES)
    ]


def _candidate(variation: Mapping[str, Any], validation: Sequence[Evaluation] | None) -> Candidate:
    runs = variation["runs"]
    return Candidate(
        variation=variation["name"],
        parameters=variation["parameters"],
        seeds=tuple(run["seed"] for run in runs),
        accuracies=tuple(one.accuracy for one in validation or ()),
        right=None if validation is None else validation[0].right,
        diverged=tuple(run["seed"] for run in runs if run["stopped"] == DIVERGED),
        guessing=tuple(run["seed"] for run in runs if run["guesses"]),
    )


def _figures(variation: Mapping[str, Any]) -> dict[str, Any]:
    validation, test = variation["validation"], variation["test"]
    return {
        "test_accuracy": test["accuracy"],
        "val_accuracy": None if validation is None else validation["accuracy"],
        "image_interval": test["image_interval"],
        "seed_interval": test["seed_interval"],
    }


def _recommended(choice: Choice, variations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    chosen = next(one for one in variations if one["name"] == choice.variation)
    return {
        "variation": choice.variation,
        "model": chosen["model"],
        "run": chosen["runs"][0]["name"],
        "reason": choice.reason,
        "standing": choice.standing,
        "cannot_be_told_apart_from": list(choice.cannot_be_told_apart_from),
        **_figures(chosen),
        "lowest_seed_accuracy": chosen["test"]["lowest_seed_accuracy"],
        "seeds": chosen["seeds"],
        "weakest_classes": weak_classes(chosen["test"]["per_class"]),
    }


def _rows(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    return [
        {
            "first": one.first,
            "second": one.second,
            "images": one.test.images,
            "only_first": one.test.only_first,
            "only_second": one.test.only_second,
            "difference": one.test.difference,
            "interval": list(one.test.interval),
            "p_value": one.test.p_value,
            "adjusted_p_value": one.adjusted_p_value,
            "verdict": one.verdict,
        }
        for one in comparisons
    ]


def _environments(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The machines that trained, each with its runs; one entry where all ran on the same."""
    found: list[dict[str, Any]] = []
    for run in runs:
        same = next((one for one in found if one["machine"] == dict(run.environment)), None)
        if same is None:
            same = {"machine": dict(run.environment), "runs": []}
            found.append(same)
        same["runs"].append(run.name)
    return found
