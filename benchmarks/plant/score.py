"""Compares what `tinyscope data --json` says of a folder with what was planted there."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from plant.fault_set import Planted
from plant.kinds import BY_NAME, KINDS, SHORTCUT, SMALL_CLASS

FOUND, NEIGHBOUR, MISSED, NOT_ASKED = "found", "neighbour", "missed", "not asked"
FILE_CODES = tuple(f"TS{number:03d}" for number in range(1, 13))
"""Of findings about files, pictures and copies; at most 1% of untouched images may be named."""


class Named(NamedTuple):
    """One item of a finding: the files that it names together, and the class that it is about."""

    code: str
    files: frozenset[str]
    class_name: str | None


@dataclass(frozen=True)
class Scored:
    """What became of one fault; of a shortcut, one row for all its images."""

    file: str
    kind: str
    variant: str
    strength: str
    partner: str
    outcome: str
    codes: str
    """Of all findings that name the file, its partner or its class."""
    together: bool
    """Whether one item of the right code names both a copy and its original."""


@dataclass(frozen=True)
class Score:
    """Everything that the summary is made from."""

    faults: list[Scored]
    untouched: int
    """Images that nothing was done to and that are no copy's original."""
    named: dict[str, tuple[str, ...]]
    """Untouched images that findings name, with the codes."""
    left_out: int
    """How many of the unreadable files the answer lists as left out."""
    left_out_untouched: int


def score(
    planted: Sequence[Planted],
    answer: dict[str, Any],
    files: Iterable[str],
    *,
    not_asked: Sequence[str] = (),
) -> Score:
    """What was found, and what was named without cause.

    Args:
        planted: the truth.
        answer: what the command printed.
        files: all files of the set, below its root.
        not_asked: codes of checks that were switched off.
    """
    items = _items(answer)
    faults = [_scored(group, items, not_asked) for group in _groups(planted)]
    touched = {each.file for each in planted} | {each.partner for each in planted}
    small = {each.file for each in planted if each.kind == SMALL_CLASS.name}
    untouched = {
        file
        for file in files
        if file not in touched and PurePosixPath(file).parent.name not in small
    }
    codes: dict[str, set[str]] = {}
    for item in items:
        for file in item.files & untouched:
            codes.setdefault(file, set()).add(item.code)
    left_out = {each["file"] for each in answer["left_out"]}
    unreadable = {each.file for each in planted if each.kind == KINDS[0].name}
    return Score(
        faults,
        len(untouched),
        {file: tuple(sorted(codes[file])) for file in sorted(codes)},
        len(unreadable & left_out),
        len(untouched & left_out),
    )


def _items(answer: dict[str, Any]) -> list[Named]:
    found = []
    for finding in answer["findings"]:
        for item in finding["items"]:
            files = [item.get("file"), *(other.get("file") for other in item.get("others") or ())]
            names = frozenset(file for file in files if file)
            found.append(Named(finding["code"], names, item.get("class")))
    return found


def _groups(planted: Sequence[Planted]) -> list[list[Planted]]:
    """Every fault by itself, but all images of a shortcut as one."""
    groups: dict[tuple[str, str], list[Planted]] = {}
    for each in planted:
        groups.setdefault((each.kind, each.variant if _spread(each) else each.file), []).append(
            each
        )
    return list(groups.values())


def _spread(fault: Planted) -> bool:
    return fault.kind == SHORTCUT.name


def _scored(group: list[Planted], items: list[Named], not_asked: Sequence[str]) -> Scored:
    first, kind = group[0], BY_NAME[group[0].kind]
    files = {each.file for each in group} | {each.partner for each in group if each.partner}
    about = None
    if kind is SMALL_CLASS:
        about = first.file
    elif kind is SHORTCUT:
        about = PurePosixPath(first.file).parent.name

    def concerns(item: Named) -> bool:
        if item.files & files:
            return True
        inside = kind is SMALL_CLASS and any(
            PurePosixPath(file).parent.name == about for file in item.files
        )
        return inside or (about is not None and item.class_name == about)

    concerned = [item for item in items if concerns(item)]
    codes = {item.code for item in concerned}
    if kind.code in codes:
        outcome = FOUND
    elif codes & set(kind.fair):
        outcome = NEIGHBOUR
    else:
        outcome = NOT_ASKED if kind.code in not_asked else MISSED
    together = any(
        item.code == kind.code and {first.file, first.partner} <= item.files for item in concerned
    )
    name = f"{about}/" if kind is SHORTCUT else first.file
    codes_text = " ".join(sorted(codes))
    return Scored(
        name,
        *(first.kind, first.variant, first.strength, first.partner),
        outcome,
        codes_text,
        together,
    )


def write_csv(result: Score, folder: Path) -> None:
    """faults.csv, a row a fault, and named_untouched.csv, a row an image named without cause."""
    with (folder / "faults.csv").open("w", newline="", encoding="utf-8") as held:
        rows = csv.DictWriter(held, list(Scored.__dataclass_fields__))
        rows.writeheader()
        rows.writerows(asdict(each) for each in result.faults)
    with (folder / "named_untouched.csv").open("w", newline="", encoding="utf-8") as held:
        csv.writer(held).writerows([("file", "codes"), *_joined(result.named)])


def _joined(named: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(file, " ".join(codes)) for file, codes in named.items()]


def summary(result: Score, notes: Sequence[str]) -> str:
    """Markdown: what was found of every kind, what was missed, what was named without cause.

    Args:
        result: the score.
        notes: what the figures rest on, as sentences.
    """
    blocks = [
        "# Planted faults: what was found",
        "\n".join(_kind_table(result.faults)),
        '"Neighbour": not under this code, but under one that is fair as well. "Together": a copy '
        "and its original in one item of the finding.",
        "## Untouched images",
        "\n".join(_untouched_lines(result)),
        "## Not found under their code",
        "\n".join(_missed_table(result.faults)),
        "## Conditions",
        " ".join(notes),
    ]
    return "\n\n".join(blocks) + "\n"


def _kind_table(faults: Sequence[Scored]) -> list[str]:
    lines = ["| fault | code | planted | found | neighbour | missed | together |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    total: Counter[str] = Counter()
    for kind in BY_NAME.values():
        group = [each for each in faults if each.kind == kind.name]
        if not group:
            continue
        counts = Counter(each.outcome for each in group)
        total += counts
        together = str(sum(each.together for each in group)) if group[0].partner else ""
        lines.append(_row(kind.name, kind.code, counts, together))
    lines.append(_row("all", "", total, ""))
    return lines


def _row(name: str, code: str, counts: Counter[str], together: str) -> str:
    missed = "not asked" if counts[NOT_ASKED] and not counts[MISSED] else str(counts[MISSED])
    found = f"{counts[FOUND]} | {counts[NEIGHBOUR]} | {missed}"
    return f"| {name} | {code} | {counts.total()} | {found} | {together} |"


def _untouched_lines(result: Score) -> list[str]:
    def share(*codes: str) -> str:
        count = sum(not set(codes).isdisjoint(of_file) for of_file in result.named.values())
        return f"{count:,} of {result.untouched:,} ({count / max(1, result.untouched):.2%})"

    single = Counter(code for codes in result.named.values() for code in codes)
    each_code = ", ".join(f"{code} {single[code]:,}" for code in FILE_CODES if single[code])
    return [
        f"- named by a finding of TS001 to TS012: {share(*FILE_CODES)}"
        + (f"; {each_code}" if each_code else ""),
        f"- named as probably labelled wrong (TS015): {share('TS015')}",
        f"- named with a shortcut (TS016): {share('TS016')}",
        f"- left out: {result.left_out_untouched:,}; of the unreadable files, {result.left_out:,} "
        "are listed as left out",
    ]


def _missed_table(faults: Sequence[Scored]) -> list[str]:
    missed = [each for each in faults if each.outcome in (MISSED, NEIGHBOUR)]
    if not missed:
        return ["None."]
    lines = ["| fault | variant | strength | file | copy of | named under |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for each in missed:
        cells = (each.kind, each.variant, each.strength, each.file, each.partner, each.codes)
        lines.append("| " + " | ".join(cells) + " |")
    return lines
