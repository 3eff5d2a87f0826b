"""Inspection: what images are like and what is wrong with them, looked at before any training."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope import __version__
from tinyscope.data import duplicates
from tinyscope.data.cache_folder import entry
from tinyscope.data.dataset import Splits
from tinyscope.data.duplicates import cached_copies
from tinyscope.data.exploration import class_means, explore
from tinyscope.data.file_facts import FileFacts, file_facts
from tinyscope.data.image_quality import image_properties
from tinyscope.data.review import ReviewRows, write_review
from tinyscope.errors import StorageError
from tinyscope.features import extraction
from tinyscope.files import path_of, read_json, write_json
from tinyscope.inspection import out_of_sample
from tinyscope.inspection.as_found import as_found, disk_bytes
from tinyscope.inspection.checks import CHECKS
from tinyscope.inspection.class_checks import class_checks
from tinyscope.inspection.copy_checks import copy_checks
from tinyscope.inspection.file_checks import file_checks
from tinyscope.inspection.findings import as_findings
from tinyscope.inspection.learnt import learn, untrained
from tinyscope.inspection.name_checks import name_check
from tinyscope.inspection.own_files import refuse_foreign
from tinyscope.inspection.picture_checks import picture_checks
from tinyscope.inspection.shortcut_checks import shortcut_check
from tinyscope.inspection.shown import samples, sheet_entries, shown
from tinyscope.report.contact_sheet import drawn_rows, write_contact_sheet
from tinyscope.report.data_page import write_data_page
from tinyscope.report.pictures import Album
from tinyscope.training.allocator import freed_memory_kept
from tinyscope.wording import counted

FORMAT = 1
VERSION = 12  # raised with every change that can change a summary; voids what is kept


@dataclass(frozen=True)
class Inspection:
    """A data set that was looked at: its images, and the dictionary of all that was seen."""

    splits: Splits
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """The data set's."""
        return self.splits.name

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Those checks that have found something; see `findings.as_findings`."""
        return [one for one in self.summary["findings"] if one["status"] == "found"]

    def lines(self) -> list[str]:
        """What was found, for a terminal: a line for the data set and one for each finding."""
        used, found = self.summary["used"], self.summary["found"]
        lines = [
            f"{self.name}: {counted(used, 'image')} in "
            f"{counted(len(self.summary['class_names']), 'class', 'classes')}"
            + (f", {found - used:,} more cannot be used" if found > used else "")
        ]
        for one in self.findings:
            line = f"{one['code']} {one['severity']:<7} {one['title']}: {len(one['items']):,}"
            told = one["code"] in ("TS002", "TS008") and one["summary"]
            lines.append(line + (f" ({one['summary']})" if told else ""))
        clear = sum(one["status"] == "clear" for one in self.summary["findings"])
        apart = len(CHECKS) - clear - len(self.findings)
        lines.append(f"{clear} checks found nothing, {apart} do not apply")
        return lines

    def write(self, folder: str | Path) -> Path:
        """Writes `data.html`, `data.json` and a contact sheet for each finding with images.

        Returns:
            The page's path.

        Raises:
            InputError: a data.json or data.html of somebody else is there.
            StorageError: a file cannot be written.
        """
        folder = path_of(folder)
        refuse_foreign(folder)
        for one in self.findings:
            pictured = [item for item in one["items"] if item["row"] is not None]
            if pictured:
                rows = drawn_rows(len(pictured))
                entries = sheet_entries(pictured, rows, self.splits)
                write_contact_sheet(folder / f"{one['code']}.png", entries)
        write_json(folder / "data.json", self.summary)
        write_data_page(self.summary, folder / "data.html")
        return folder / "data.html"

    def write_review(self, path: str | Path) -> ReviewRows:
        """Writes a review file, to be edited and then given to a study; see `data.review`.

        What was decided in a review file that lies there already stands in the new one.

        Returns:
            How many rows it has, and how many of them stand as they were decided before.

        Raises:
            InputError: what lies there is no review file, or one of other images.
            StorageError: it cannot be read or written.
        """
        return write_review(path_of(path), self.findings, self.splits)

    def as_dict(self) -> dict[str, Any]:
        """What `tinyscope data --json` prints: names, counts, and every check that found something.

        The checks that found nothing, or do not apply, are under "checks".
        """
        keys = ("code", "severity", "title", "summary", "items")
        return {
            "name": self.name,
            "splits": [
                {key: split[key] for key in ("split", "images", "found")}
                for split in self.summary["splits"]
            ],
            "classes": self.summary["class_names"],
            "left_out": self.summary["left_out"],
            "findings": [{key: one[key] for key in keys} for one in self.findings],
            "checks": [
                {key: one[key] for key in ("code", "status", "reason")}
                for one in self.summary["findings"]
            ],
        }

    def __repr__(self) -> str:
        codes = ", ".join(one["code"] for one in self.findings) or "nothing found"
        return f"Inspection({self.name!r}, {self.summary['used']:,} images: {codes})"

    def _repr_html_(self) -> str:
        """The lines of a terminal, in a notebook."""
        first, *rest = self.lines()
        listed = "".join(f"<li>{escape(line)}</li>" for line in rest)
        return f"<p><strong>{escape(first)}</strong></p><ul>{listed}</ul>"


def inspect(
    splits: Splits,
    *,
    origin: str | Path | None = None,
    training: bool = True,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Inspection:
    """Explores and checks a data set; what was seen is kept in the cache folder.

    Args:
        splits: as loaded, not cut yet.
        origin: the name or path that they were loaded from; None for arrays of the caller's.
        training: whether models are trained for it. Where they were before, what they have shown
            is part of the answer either way.
        on_stage: is told what is looked at next, as a phrase.
    """
    facts = file_facts(origin) if origin is not None else {}
    place = _place(splits, facts)
    stored = _stored(place, training)
    if stored is None:
        stored = _looked_at(splits, facts, origin, training, on_stage)
        with suppress(StorageError):  # it is looked at again next time
            write_json(place / f"{_kind(training)}.json", stored)
    return Inspection(splits, stored)


def _looked_at(
    splits: Splits,
    facts: Mapping[str, FileFacts],
    origin: str | Path | None,
    training: bool,
    on_stage: Callable[[str], None],
) -> dict[str, Any]:
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        on_stage(name)
        start = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - start, 2)

    album = Album()
    with stage("measuring the images"):
        properties = {part.split: image_properties(part.images) for part in splits.parts()}
        exploration = explore(splits, properties=properties)
        means = class_means(splits.train)
    with stage("looking for copies"):
        copies = cached_copies(splits.parts())
    with stage("looking for blank, dark and blurred images, and for shortcuts"):
        outcomes = file_checks(splits, facts)
        outcomes |= copy_checks(splits, copies)
        outcomes |= picture_checks(splits, properties)
        outcomes |= class_checks(splits, exploration["balance"])
        outcomes["TS016"] = shortcut_check(splits, facts, properties)
        outcomes["TS018"] = name_check(splits.train, as_files=bool(facts))
    learnt = untrained()
    if training:
        with stage("asking small networks"), freed_memory_kept():
            learnt = learn(splits, album, on_stage)
    outcomes |= learnt.outcomes
    with stage("choosing pictures"):
        findings = as_findings(outcomes, splits)
        for one in findings:
            one["shown"] = shown(one, splits, album)
        sampled = samples(splits, means, album)
    parts = splits.parts()
    return {
        "format": FORMAT,
        "tinyscope": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": splits.name,
        "source": splits.train.source,
        "fingerprint": splits.fingerprint,
        "class_names": list(splits.train.class_names),
        "image_shape": list(splits.train.images.shape[1:]),
        "splits": [
            {
                "split": part.split,
                "images": len(part),
                "found": part.found,
                "counts": part.counts(),
                "shares": [round(n / len(part), 6) for n in part.counts()],
                "memory_bytes": int(np.prod(part.images.shape)),
            }
            for part in parts
        ],
        "found": sum(part.found for part in parts),
        "used": sum(len(part) for part in parts),
        "disk_bytes": disk_bytes(origin, facts),
        "left_out": [
            {"split": part.split, "file": entry.file, "reason": entry.reason}
            for part in parts
            for entry in part.left_out
        ],
        "trained": training,
        "exploration": exploration,
        "as_found": as_found(facts),
        "findings": findings,
        "samples": sampled,
        "learnt": learnt.easy_and_hard,
        "augmentations": learnt.augmentations,
        "map": learnt.map,
        "seconds": seconds,
        "pictures": album.pictures,
    }


def _place(splits: Splits, facts: Mapping[str, FileFacts]) -> Path:
    """The folder of the cache for a data set with that name and these pixels, labels and files."""
    parts = [repr([part.source, part.left_out, part.files]) for part in splits.parts()]
    told = (
        *("format", "mode", "quantization", "width", "height"),
        *("size_bytes", "animated", "readable"),
    )
    files = {
        split: [repr([getattr(of, name).tolist() for name in told]), of.files, of.exif]
        for split, of in facts.items()
    }
    what = (__version__, splits.fingerprint, splits.name, parts, files)
    versions = [VERSION, duplicates.VERSION, out_of_sample.VERSION, extraction.VERSION]
    return entry("inspections", *what, versions=versions)


def _kind(training: bool) -> str:
    return "trained" if training else "untrained"


def _stored(place: Path, training: bool) -> dict[str, Any] | None:
    """What was seen before; what trained models have shown is as good where none was asked for."""
    for kind in ("trained",) if training else ("trained", "untrained"):
        try:
            stored = read_json(place / f"{kind}.json")
        except StorageError:
            continue
        if stored.get("format") == FORMAT:
            return stored
    return None
