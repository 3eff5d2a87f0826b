"""How many cores this process may use: of the machine's, what affinity and a container leave it."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_TOPOLOGY = Path("/sys/devices/system/cpu")


def usable_cores() -> int:
    """The cores that a pool of threads can keep busy, 1 or more.

    The fewest of what the machine has, what the process is bound to (taskset, a job of a cluster)
    and, rounded up, the cores' worth of time that a container is given (docker's --cpus).
    """
    given = quota()
    bound = len(_bound_to()) or os.cpu_count() or 1
    return bound if given is None else max(1, min(bound, math.ceil(given)))


def physical_cores() -> int:
    """Those that the process is bound to, with the two halves of a core counted once.

    It is what torch takes by itself. Where the system does not tell, all count.
    """
    bound = _bound_to()
    siblings = {
        _text(_TOPOLOGY / f"cpu{one}" / "topology" / "thread_siblings_list") for one in bound
    }
    told = siblings and None not in siblings
    # Not usable_cores(): that is cut to a container's quota, of which torch knows nothing.
    return len(siblings) if told else len(bound) or os.cpu_count() or 1


def quota() -> float | None:
    """The cores' worth of time that the process's container is given; None where it has no limit.

    The lowest of its control group's and of those around it, by Linux's cgroups of version 2 or 1.
    """
    limits = []
    for line in (_text(_OWN_CGROUPS) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            limits += [_limit(_text(folder / "cpu.max")) for folder in _around(_CGROUPS, path)]
        elif "cpu" in controllers.split(","):
            for folder in _around(_CGROUPS / "cpu", path):
                spent, period = (
                    _text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
                )
                limits.append(_limit(f"{spent} {period}"))
    return min((limit for limit in limits if limit is not None), default=None)


def _around(root: Path, path: str) -> Iterator[Path]:
    """The folder of a control group and those around it, up to the root.

    Within a container the path may be that of the host, of which only the root is to be seen.
    """
    own = PurePosixPath(path.lstrip("/"))
    yield from (root / each for each in (own, *own.parents))


def _limit(text: str | None) -> float | None:
    """What "150000 100000" says, microseconds of a period: 1.5; None of "max" and "-1"."""
    try:
        spent, period = map(int, (text or "").split())
    except ValueError:
        return None
    return spent / period if spent > 0 and period > 0 else None


def _bound_to() -> set[int]:
    """The numbers of the cores that the process may run on; none where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
