"""How many cores a process may use, in the words of Linux's control groups of either version."""

import os
import shutil
import subprocess
import sys

import pytest

from tinyscope import cores, threads
from tinyscope.cores import physical_cores, quota, usable_cores


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of eight cores, each of two halves of which 0 and 4 belong together, and so on."""
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_OWN_CGROUPS", tmp_path / "self")
    monkeypatch.setattr(cores, "_TOPOLOGY", tmp_path / "cpu")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for core in range(8):
        write(
            tmp_path,
            f"cpu/cpu{core}/topology/thread_siblings_list",
            f"{core % 4},{core % 4 + 4}\n",
        )
    return tmp_path


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_without_limits_all_cores_of_the_machine_are_used(system):
    assert (usable_cores(), quota(), physical_cores()) == (8, None, 4)


def test_a_process_that_is_bound_to_cores_uses_these(system, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 5})
    assert (usable_cores(), physical_cores()) == (3, 2)


def test_where_the_system_tells_of_no_halves_all_count_whatever_the_quota(system, monkeypatch):
    shutil.rmtree(system / "cpu")
    write(system, "self", "0::/\n")
    write(system, "cgroup/cpu.max", "200000 100000\n")
    assert (usable_cores(), physical_cores()) == (2, 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 5})
    assert (usable_cores(), physical_cores()) == (2, 3)


def test_where_the_system_knows_no_binding_all_cores_count(system, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert (usable_cores(), physical_cores()) == (8, 8)


@pytest.mark.parametrize(
    ("written", "given", "usable"),
    [
        ("max 100000", None, 8),
        ("150000 100000", 1.5, 2),
        ("20000 100000", 0.2, 1),
        ("1200000 100000", 12, 8),
        ("", None, 8),
        ("odd", None, 8),
    ],
)
def test_a_containers_quota_is_rounded_up_to_whole_cores(system, written, given, usable):
    write(system, "self", "0::/\n")
    write(system, "cgroup/cpu.max", f"{written}\n")
    assert (quota(), usable_cores()) == (given, usable)


def test_the_lowest_quota_of_a_group_and_those_around_it_counts(system):
    write(system, "self", "0::/user.slice/job\n")
    write(system, "cgroup/user.slice/cpu.max", "300000 100000\n")
    write(system, "cgroup/user.slice/job/cpu.max", "max 100000\n")
    assert (quota(), usable_cores()) == (3, 3)


def test_quotas_of_the_first_version_count_wherever_the_container_sees_them(system):
    write(system, "self", "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n")
    write(system, "cgroup/cpu/cpu.cfs_quota_us", "250000\n")
    write(system, "cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert (quota(), usable_cores()) == (2.5, 3)
    write(system, "cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert (quota(), usable_cores()) == (None, 8)


@pytest.mark.parametrize(
    ("written", "asked", "topology", "expected"),
    [
        ("200000 100000", None, True, "2"),
        ("200000 100000", "7", True, "7"),  # the user's own
        ("500000 100000", None, True, None),  # torch takes four by itself
        ("500000 100000", None, False, "5"),  # and eight where nothing tells of halves
        ("max 100000", None, True, None),
    ],
)
def test_torch_takes_no_more_threads_than_the_quota_has_cores(
    system, monkeypatch, written, asked, topology, expected
):
    write(system, "self", "0::/\n")
    write(system, "cgroup/cpu.max", f"{written}\n")
    if not topology:
        shutil.rmtree(system / "cpu")
    for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "x")  # so that it is as before once this test ends
        monkeypatch.delenv(name)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    threads.prepare()
    assert os.environ["GOMP_SPINCOUNT"] == "20000"
    assert os.environ.get("OMP_NUM_THREADS") == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no processes")
def test_doctor_advises_nothing_against_a_binding(monkeypatch):
    """With OMP_NUM_THREADS = 1 on one core there is nothing to unset."""
    one = min(os.sched_getaffinity(0))
    code = (
        "import os\n"
        f"os.sched_setaffinity(0, {{{one}}})\n"
        "from tinyscope import listings\n"
        "print('\\n'.join(listings.doctor()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "OMP_NUM_THREADS" not in done.stdout
    assert ", 1 of " in done.stdout or os.cpu_count() == 1


def test_a_run_tells_the_machines_cores_and_those_that_it_could_use(monkeypatch):
    """Runs of before are compared by the machine's, whatever they were bound to."""
    import torch

    from tinyscope.training import machine

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    told = machine.environment(torch.device("cpu"))
    assert (told["cores"], told["usable_cores"]) == (8, 3)


def test_doctor_names_the_variable_where_it_leaves_cores_unused(monkeypatch):
    from tinyscope import listings
    from tinyscope.training import machine

    monkeypatch.setattr(machine, "usable_cores", lambda: 1000)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (line,) = [each for each in listings.doctor() if "OMP_NUM_THREADS" in each]
    assert line.endswith("of 1000 cores: unset OMP_NUM_THREADS to use all.")
