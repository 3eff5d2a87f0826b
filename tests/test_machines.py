import pytest
from page_world import section_of, small_summary
from study_world import ENVIRONMENT

from tinyscope.report import page
from tinyscope.report.machines import on_one_machine

GPU = {"device": "cuda", "device_name": "Example GPU"}


def environments(**changes):
    return [
        {"machine": ENVIRONMENT, "runs": ["base-0", "base-1"]},
        {"machine": ENVIRONMENT | changes, "runs": ["base-2"]},
    ]


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bf16"}, {"torch": "2.14.0", "os": "Linux 6.9"}, {"device": "cpu"}],
)
def test_precision_and_versions_make_no_other_machine(changes):
    assert on_one_machine(environments(**changes))


@pytest.mark.parametrize("changes", [{"cpu": "Another CPU"}, {"cores": 64}, {"threads": 1}, GPU])
def test_processor_cores_threads_and_device_do(changes):
    assert not on_one_machine(environments(**changes))
    assert on_one_machine(environments(**changes), ["base-0", "base-1"])
    assert not on_one_machine(environments(**changes), ["base-1", "base-2"])


def test_runs_that_could_use_other_shares_of_the_cores_are_on_two_machines():
    known = environments(usable_cores=2)
    assert on_one_machine(known)  # the first one is by a version that did not tell
    known[0] = {**known[0], "machine": ENVIRONMENT | {"usable_cores": 1}}
    assert not on_one_machine(known)


def test_two_kinds_of_gpu_are_two_machines():
    both = environments(**GPU)
    both[0] = {**both[0], "machine": both[1]["machine"] | {"device_name": "Other GPU"}}
    assert not on_one_machine(both)


@pytest.mark.usefixtures("undrawn")
def test_a_page_calls_machines_different_only_where_they_are(tmp_path):
    small = small_summary(tmp_path)

    def cost(**changes):
        machine = small["environments"][0]["machine"] | changes
        also = {"machine": machine, "runs": []}
        return section_of(
            page.render(small | {"environments": [*small["environments"], also]}), "cost"
        )

    assert "different machines: their seconds do not compare" in cost(cpu="Another CPU")
    told = cost(precision="bf16")
    assert "different machines" not in told
    assert "It is one machine; what differs is the precision or the versions of programs." in told
