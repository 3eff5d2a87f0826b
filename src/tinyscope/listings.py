"""What `tinyscope list` and `tinyscope doctor` print, line by line."""

import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any


def studies() -> Iterator[str]:
    """The built-in studies with their questions."""
    from tinyscope.plan.study_files import built_in, load_study

    yield from _columns((name, load_study(name).question) for name in built_in())


def recipes() -> Iterator[str]:
    """The named recipes with their models, then a recipe's keys, spelled as in study files."""
    from tinyscope.plan.recipe import KEYS, Recipe, allowed
    from tinyscope.plan.recipe_book import RECIPES
    from tinyscope.plan.spelling import NONE, spelled

    yield from _columns(
        (name, f"{make().model}: {(make.__doc__ or '').splitlines()[0]}")
        for name, make in RECIPES.items()
    )
    yield ""
    yield "Keys, with the values of the recipe plain, and what they may be:"
    plain = {key: NONE if value is None else value for key, value in Recipe().as_dict().items()}
    lines = list(_columns((key, spelled(plain[key])) for key in KEYS))
    yield from _columns(zip(lines, map(allowed, KEYS), strict=True))


def models() -> Iterator[str]:
    """The models, with the smallest images that they take."""
    from tinyscope.models.zoo import LAYER_STACK, MODELS, TRANSFER

    yield from _columns(
        (name, f"{entry.summary}; images of {entry.smallest}x{entry.smallest} or more")
        for name, entry in MODELS.items()
    )
    yield from _columns(
        [
            (LAYER_STACK, "the layers that the recipe's own list gives"),
            (TRANSFER, "a backbone of `tinyscope list backbones` with a classifier on top"),
        ]
    )


def backbones() -> Iterator[str]:
    """The networks that a recipe's `backbone` may name."""
    from tinyscope.models.backbones import BACKBONES, TIMM

    yield from _columns((name, entry.summary) for name, entry in BACKBONES.items())
    yield f"or {TIMM}NAME, any network of the timm package, with the extra [pretrained]"
    yield "or the folder of a finished run, study or model"


def datasets() -> Iterator[str]:
    """The data sets that have a name, and what else `--data` takes."""
    from tinyscope.data.catalogue import DATASETS

    yield from _columns(DATASETS.items())
    yield "or a path: a folder of images, a folder of parquet shards, an .npz file"


def checks() -> Iterator[str]:
    """The checks of images, then those of a finished study, by code, with how bad a finding is."""
    from tinyscope.diagnosis.study_checks import STUDY_CHECKS
    from tinyscope.inspection.checks import CHECKS

    yield from _columns(
        (code, f"{check.severity:<8} {check.title}")
        for table in (CHECKS, STUDY_CHECKS)
        for code, check in table.items()
    )


def runs(folder: Path | None) -> Iterator[str]:
    """The runs below a folder (by default `tinyscope-runs`), with their validation accuracy."""
    from tinyscope.errors import InputError, TinyscopeError
    from tinyscope.runs.run import read_run
    from tinyscope.runs.store import DEFAULT_ROOT, run_folders

    root = folder or DEFAULT_ROOT
    if not os.path.isdir(root):
        raise InputError(
            f'There is no folder {root}. Give one: "tinyscope list runs FOLDER"; '
            '"tinyscope run STUDY" makes one.'
        )
    found = run_folders(root)
    for folder in found:
        try:
            run = read_run(folder)
            result = run.result if run.finished else None
        except TinyscopeError as error:  # an older or a later version has written it, say
            yield f"{folder}: {error}"
            continue
        yield f"{folder}: {_outcome(result)}"
    if not found:
        yield f"no runs below {root}"


def _outcome(result: Mapping[str, Any] | None) -> str:
    """What a run has come to, as far as its result tells: other versions wrote other ones."""
    from tinyscope.runs.run import is_number

    if result is None:
        return "not finished"
    if "val_accuracy" not in result:
        return "its result has no validation accuracy; another version wrote it"
    accuracy, seconds = result["val_accuracy"], result.get("train_seconds")
    if not is_number(seconds) or not (accuracy is None or is_number(accuracy)):
        return "its result.json is damaged; remove the folder to train this run again"
    shown = "no validation split" if accuracy is None else f"val_accuracy {accuracy:.1%}"
    return f"{shown}, {seconds:.0f} s of training"


def doctor() -> Iterator[str]:
    """Versions, device, threads, precision and disk; then what is missing, each with its remedy."""
    import torch

    from tinyscope.data.cache_folder import cache_folder
    from tinyscope.errors import InputError
    from tinyscope.training import machine

    missing = []
    try:
        device = machine.device()
    except InputError as error:
        missing.append(str(error))
        device = torch.device("cpu")
    here = machine.environment(device)
    fast = machine.has_fast_bfloat16(device)
    build = "CUDA" if torch.version.cuda else "CPU"
    cache = cache_folder()
    usable, every = here["usable_cores"], here["cores"]
    cores = f"{usable} cores" if usable >= every else f"{usable} of {every} cores"
    packages = ("numpy", "scipy", "scikit-learn", "pillow", "pyarrow", "safetensors", "matplotlib")
    yield from _columns(
        [
            ("tinyscope", here["tinyscope"]),
            ("python", f"{here['python']} on {platform.platform()}"),
            ("torch", f"{here['torch']} ({build} build, {here['cpu_capability']})"),
            *((name, metadata.version(name)) for name in packages),
            ("processor", f"{here['cpu']}, {cores}, {here['threads']} threads used"),
            ("device", f"{here['device']} ({here['device_name']})"),
            ("precision", "bf16" if fast else "fp32 (this device has no fast bfloat16)"),
            ("cache", f"{cache} ({_free(cache)} free; TINYSCOPE_CACHE moves it)"),
        ]
    )
    if here["threads"] < usable and "OMP_NUM_THREADS" in os.environ:
        missing.append(
            f"torch uses {here['threads']} of {usable} cores: unset OMP_NUM_THREADS to use all."
        )
    if torch.version.cuda and not torch.cuda.is_available():
        missing.append(
            "torch is a CUDA build of several GB, and there is no CUDA GPU: its makers' page "
            "names a CPU build for this system."
        )
    if not _writable(cache):
        missing.append(f"{cache} cannot be written: set TINYSCOPE_CACHE to a folder that can.")
    yield from missing or ["nothing is missing"]


def _columns(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    known = list(rows)
    width = max((len(name) for name, _ in known), default=0)
    yield from (f"{name:<{width}}  {text}".rstrip() for name, text in known)


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(_nearest(folder)).free / 1e9:.0f} GB"


def _writable(folder: Path) -> bool:
    return os.access(_nearest(folder), os.W_OK)


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
