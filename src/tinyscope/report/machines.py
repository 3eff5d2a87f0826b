"""Which runs were trained on the same machine, so that their seconds compare."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def on_one_machine(
    environments: Sequence[Mapping[str, Any]], runs: Collection[str] | None = None
) -> bool:
    """Whether runs had the same processor, cores and threads, and the same GPU where they had one.

    Of runs by earlier versions it is not known how many of the cores they could use; that makes no
    machine another one. Precision and versions may differ: they belong to what was run, and not to
    what it ran on.

    Args:
        environments: of a summary.
        runs: names of runs; None for all.
    """
    machines = [
        one["machine"]
        for one in environments
        if runs is None or not set(runs).isdisjoint(one["runs"])
    ]
    usable = {machine["usable_cores"] for machine in machines if "usable_cores" in machine}
    return len(set(map(_hardware, machines))) <= 1 and len(usable) <= 1


def _hardware(machine: Mapping[str, Any]) -> tuple[Any, ...]:
    device = machine.get("device", "cpu")
    name = None if device == "cpu" else machine.get("device_name")
    return device, name, *(machine.get(key) for key in ("cpu", "cores", "threads"))
