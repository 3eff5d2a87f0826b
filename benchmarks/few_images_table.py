"""The table of what `few_images.py` measured."""

from statistics import fmean
from typing import Any

SCRATCH = "from scratch"
"""The variation that no backbone helps."""


def chosen(row: dict[str, Any]) -> str:
    """The variation with a backbone that the draw's own validation images choose."""
    variations = row["variations"]
    names = [name for name in variations if name != SCRATCH]
    return max(names, key=lambda name: variations[name]["val_accuracy"])


def table(content: dict[str, Any]) -> str:
    """A row for each number of images a class; test accuracies, means over draws."""
    names = list(content["rows"][0]["variations"])
    lines = [["images a class", "draws", "chosen by validation", *names, "seconds of the chosen"]]
    lines.append(["---"] * len(lines[0]))
    for each in dict.fromkeys(row["each"] for row in content["rows"]):
        draws = [row for row in content["rows"] if row["each"] == each]
        best = [row["variations"][chosen(row)] for row in draws]
        found = [best, *([row["variations"][name] for row in draws] for name in names)]
        means = [f"{fmean(one['test_accuracy'] for one in column):.1%}" for column in found]
        seconds = f"{fmean(one['train_seconds'] for one in best):.0f}"
        lines.append([str(each), str(len(draws)), *means, seconds])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
