"""Which files keep a study, a run or a model, so that no other output takes their place."""

import os
import re
from pathlib import Path

_MARKS = ("study.toml", "summary.json", "run.json", "model.json")
"""Each folder of a study, a run or a model has one of these."""

_KEPT = re.compile(
    r"study\.toml|plan\.json|summary\.json|improvements\.json|report\.html|\.lock|run\.json"
    r"|history\.csv|predictions-\w+\.npz|test-openings\.json|result\.json|checkpoint\.safetensors"
    r"|weights\.safetensors|model\.json|classifier\.skops",
    re.IGNORECASE,  # as some disks are
)


def is_kept(path: str | Path) -> bool:
    """Whether there is such a file, and a study, a run or a model is kept in it.

    Links are followed. What a user has put into such a folder is not kept: a table of answers, say.
    """
    folder, name = os.path.split(os.path.realpath(path))
    if not _KEPT.fullmatch(name) or not os.path.isfile(os.path.join(folder, name)):
        return False
    return any(os.path.isfile(os.path.join(folder, mark)) for mark in _MARKS)
