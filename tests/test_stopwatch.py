import time

import torch

from tinyscope.training.stopwatch import Stopwatch


def test_waiting_takes_seconds_of_the_wall_clock_and_none_of_the_processor():
    watch = Stopwatch(torch.device("cpu"))
    with watch.clock("asleep"):
        time.sleep(0.05)
    assert watch.seconds["asleep"] >= 0.05
    assert 0 <= watch.cpu_seconds["asleep"] < 0.04


def test_work_takes_seconds_of_both_and_blocks_of_one_name_add_up():
    watch = Stopwatch(torch.device("cpu"))
    for _ in range(2):
        with watch.clock("busy"):
            start = time.process_time()
            while time.process_time() - start < 0.02:
                pass
    assert watch.cpu_seconds["busy"] >= 0.04
    assert watch.seconds["busy"] > 0
    assert set(watch.cpu_seconds) == set(watch.seconds) == {"busy"}
