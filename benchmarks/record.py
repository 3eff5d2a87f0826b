"""Keeps what a finished study measured: its runs' own records, and a table made from them.

    python benchmarks/record.py tinyscope-runs/quickstart results/2026-11-21_quickstart_2-cores

Copies study.toml and, of every run, run.json, result.json, history.csv and test-openings.json (no
weights, no predictions), and writes the table of the folder's README.md anew, and that of the
project's README.md; the prose around them stays. So is the index of all records (results_index.py).
Called with a results folder alone, it only writes these, the tables of time_to_accuracy.py and
few_images.py too.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import few_images_table
import results_index
import time_to_accuracy_table

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- table: benchmarks/record.py -->\n", "<!-- end of table -->"
RECORDS = ("run.json", "result.json", "history.csv", "test-openings.json")


def record(study: Path, target: Path) -> None:
    """Copies a study's records, and the figures of its summary."""
    summary = copy_records(study, target)
    kept = {key: summary[key] for key in ("created", "recommended", "comparisons", "environments")}
    kept["data"] = {
        key: summary["data"][key] for key in ("name", "fingerprint", "splits", "used", "found")
    }
    kept["variations"] = [figures(variation) for variation in summary["variations"]]
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (target / "figures.json").write_text(text, encoding="utf-8")


def copy_records(study: Path, target: Path) -> dict[str, Any]:
    """Copies study.toml and the records of the runs that the study's summary rests on.

    Returns:
        The summary.
    """
    summary: dict[str, Any] = json.loads((study / "summary.json").read_text(encoding="utf-8"))
    shutil.rmtree(target / "runs", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(study / "study.toml", target)
    for variation in summary["variations"]:
        for run in variation["runs"]:
            folder = target / "runs" / run["name"]
            folder.mkdir(parents=True)
            for name in RECORDS:
                shutil.copy(study / "runs" / run["name"] / name, folder)
    return summary


def figures(variation: dict[str, Any]) -> dict[str, Any]:
    """A variation's numbers without its pictures and histories."""
    keys = ("accuracy", "balanced_accuracy", "loss", "image_interval", "seed_interval", "images")
    kept = {key: variation[key] for key in ("name", "model", "parameters", "train_seconds")}
    for split in ("validation", "test"):
        block = variation[split]
        kept[split] = block and {key: block[key] for key in keys}
    kept["published"] = variation["published"] and variation["published"]["figures"]
    kept["seeds"] = variation["seeds"]
    return kept


def table(folder: Path) -> str:
    """The Markdown table of a results folder."""
    content = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    if content.get("benchmark") == "time-to-accuracy":
        return time_to_accuracy_table.table(content)
    if content.get("benchmark") == "few-images":
        return few_images_table.table(content)
    published = any("test_accuracy" in (each["published"] or {}) for each in content["variations"])
    head = ["variation", "model", "parameters", "seeds", "validation", "test", "over images"]
    head += ["over seeds", "training s"] + ["published"] * published
    lines = [head, ["---"] * len(head)]
    for each in content["variations"]:
        test, validation = each["test"], each["validation"]
        row = [each["name"], each["model"], f"{each['parameters']:,}", str(len(each["seeds"]))]
        row += [f"{validation['accuracy']:.2%}" if validation else "–", f"{test['accuracy']:.2%}"]
        row += [_between(test["image_interval"]), _between(test["seed_interval"])]
        row += [f"{each['train_seconds']:.0f}"]
        if published:
            figure = (each["published"] or {}).get("test_accuracy")
            row.append("–" if figure is None else f"{figure:.2%}")
        lines.append(row)
    rows = "\n".join("| " + " | ".join(row) + " |" for row in lines)
    machines = {
        f"{each['machine']['cpu']}, {each['machine']['threads']} threads, "
        f"{each['machine']['precision']}, torch {each['machine']['torch']}"
        for each in content["environments"]
    }
    splits = {each["split"]: each["images"] for each in content["data"]["splits"]}
    return (
        f"{rows}\n\nAccuracies are means over seeds; {splits['test']:,} test images, opened once a "
        f"run; {splits.get('validation', 0):,} validation images cut from the training split. "
        "Intervals are 95%: over images (Wilson) of the lowest seed, over seeds (Student). Seconds "
        "are of training without evaluation, means over seeds. Machine: "
        f"{'; '.join(sorted(machines))}.\n"
    )


def with_table(folder: Path) -> str:
    """The folder's README with its table as the records are now."""
    page = (folder / "README.md").read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(folder) + END + after


def write_table(folder: Path, *, prose: str = "") -> None:
    """Writes the table of the folder's README anew; `prose` stands above it in a new README."""
    readme = folder / "README.md"
    if not readme.exists():
        text = f"# {folder.name}\n\n{prose}{BEGIN}{END}\n"
        readme.write_text(text, encoding="utf-8")
    readme.write_text(with_table(folder), encoding="utf-8")


def with_results(page: str) -> str:
    """The project's README with each table between its results folder's two marks written anew."""
    block = re.compile(r"(<!-- (results/[^ ]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
    return block.sub(lambda match: match[1] + table(ROOT / match[2]) + match[3], page)


def _between(interval: list[float] | None) -> str:
    return f"{interval[0]:.2%} to {interval[1]:.2%}" if interval else "–"


if __name__ == "__main__":
    *source, results = map(Path, sys.argv[1:])
    if source:
        record(source[0], results)
    write_table(results)
    front = ROOT / "README.md"
    results_index.write_index()
    front.write_text(with_results(front.read_text(encoding="utf-8")), encoding="utf-8")
