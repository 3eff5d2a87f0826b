"""What this machine computes with: device, precision, threads, and their record in a run."""

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

import tinyscope
from tinyscope.cores import usable_cores
from tinyscope.errors import InputError
from tinyscope.plan.recipe import Recipe

DEVICES = ("cpu", "cuda", "mps")
"""What TINYSCOPE_DEVICE may say; mps is an Apple GPU."""


def device() -> torch.device:
    """The GPU where there is one, else the CPU; TINYSCOPE_DEVICE decides otherwise.

    Raises:
        InputError: TINYSCOPE_DEVICE names a device that does not exist or that is not here.
    """
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": _has_apple_gpu()}
    asked = os.environ.get("TINYSCOPE_DEVICE")
    if not asked:
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if here[name]))
    if asked not in here:
        raise InputError(f'TINYSCOPE_DEVICE is "{asked}"; expected one of {", ".join(DEVICES)}.')
    if not here[asked]:
        there = ", ".join(name for name in DEVICES if here[name])
        raise InputError(
            f'TINYSCOPE_DEVICE is "{asked}", which this machine lacks. It has: {there}.'
        )
    return torch.device(asked)


def _has_apple_gpu() -> bool:
    return bool(torch.backends.mps.is_available())


def has_fast_bfloat16(on: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself; elsewhere it would be slower than float32."""
    if on.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if on.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def fast_precision(on: torch.device) -> str:
    """The precision in which the device is fastest: "bf16" or "fp32"."""
    return "bf16" if has_fast_bfloat16(on) else "fp32"


def resolved(recipe: Recipe, on: torch.device) -> Recipe:
    """The recipe with its precision decided for the device; "auto" leaves it to the machine."""
    return (
        recipe.changed({"precision": fast_precision(on)}) if recipe.precision == "auto" else recipe
    )


def environment(on: torch.device) -> dict[str, Any]:
    """The machine and the versions that a run's figures rest on, as plain JSON values.

    "cores" are the machine's; "usable_cores", which earlier versions did not tell, those that
    affinity and a container leave the process.
    """
    return {
        "tinyscope": tinyscope.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "os": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": on.type,
        "device_name": torch.cuda.get_device_name(on) if on.type == "cuda" else cpu_name(),
    }


@cache
def cpu_name() -> str:
    """The processor as its maker calls it, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or sys.platform
