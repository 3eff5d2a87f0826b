"""The index of all records: what each measured, when, on what machine, and its main figure.

    python benchmarks/results_index.py

Writes results/README.md anew from the folders' names, headings and figures; so does record.py.
"""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
HEAD = """\
# Records

What was measured, by date; written by `python benchmarks/results_index.py`. Each folder holds the
figures and how they came about; studies hold their runs' own records too. Records of earlier states
of a recipe stay. Accuracies are of test images; those of a study are of the variation that it
recommends or, without validation images, gives first; means over seeds.

"""
MACHINES = {
    "2-core-xeon-avx512": "two cores of an Intel Xeon, without bfloat16",
    "2-core-epyc-bf16": "two cores of an AMD EPYC, with bfloat16",
    "2-core-xeon-amx": "two cores of an Intel Xeon, with bfloat16 and matrix tiles",
    "h200": "one NVIDIA H200",
}
"""By the end of a folder's name."""
TOLD = {
    "2026-11-21_copies-in-cifar_2-core-xeon-avx512": "608 images of CIFAR-10, 613 of CIFAR-100",
    "2026-11-21_data-checks_2-core-xeon-avx512": "446 of 450 planted faults found",
    "2026-11-21_few-images_2-core-xeon-avx512": "20, 100, 500 a class: 63.7%, 75.1%, 85.6%",
    "2026-11-21_throughput-vs-keras_2-core-xeon-avx512": "batch 32: 1.12 times Keras; 256: 1.07",
    "2026-11-21_vgg16-frozen_2-core-xeon-avx512": "586 s, 0.0445 PFLOP; no accuracy",
    "2026-11-27_cifar100-backbone_h200": "76.94%, one seed",
    "2026-11-27_few-images_2-core-epyc-bf16": "20, 100, 500 a class: 64.9%, 78.7%, 86.7%",
    "2026-11-27_throughput-vs-keras_2-core-epyc-bf16": "batch 32: 1.17 times Keras; 256: 1.02",
    "2026-11-28_few-images_2-core-epyc-bf16": "20 a class: 66.2%",
    "2026-11-28_label-errors_2-core-epyc-bf16": "of 5% wrong labels 0.853 named, precision 0.856",
    "2026-11-28_throughput-replayed_2-core-epyc-bf16": "batch 32: 1.52 times Keras; 256: 1.48",
    "2026-11-28_throughput-vs-keras_2-core-epyc-bf16": "batch 32: 1.16 times Keras; 256: 1.41",
    "2026-11-29_label-errors_2-core-xeon-amx": "of 5% wrong labels 0.856 named, precision 0.864",
    "2026-11-29_throughput-vs-keras_2-core-xeon-amx": "batch 32: 1.34 times Keras; 256: 1.45",
}
"""The main figure of those records that have it in their prose."""


def index(results: Path = RESULTS) -> str:
    """The page: a row for each folder."""
    head = ["record", "what", "when", "machine", "main figure"]
    lines = [head, ["---"] * len(head)]
    folders = sorted(path for path in results.iterdir() if path.is_dir())
    lines += [_row(folder) for folder in folders]
    return HEAD + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _row(folder: Path) -> list[str]:
    date, theme, machine = folder.name.split("_")
    page = (folder / "README.md").read_text(encoding="utf-8")
    heading = page.partition("\n")[0].removeprefix("# ")
    link = f"[{theme}]({folder.name})"
    chosen = " (not free of choice)" if "not free of choice" in page else ""
    return [link, heading, date, MACHINES[machine], _main_figure(folder) + chosen]


def _main_figure(folder: Path) -> str:
    """Read from figures.json where that has accuracies of recipes or of a study; else as told."""
    file = folder / "figures.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if content.get("benchmark") == "time-to-accuracy":
        told = [
            (one["recipe"], [run["test_accuracy"] for run in one["runs"]])
            for one in content["recipes"]
        ]
        return ", ".join(f"{name} {fmean(shares):.2%}" for name, shares in told)
    if "recommended" in content:
        best = content["recommended"]["variation"]
        (chosen,) = (one for one in content["variations"] if one["name"] == best)
        return f"{best} {chosen['test']['accuracy']:.2%}"
    return TOLD[folder.name]


def write_index() -> None:
    """Writes results/README.md."""
    (RESULTS / "README.md").write_text(index(), encoding="utf-8")


if __name__ == "__main__":
    write_index()
