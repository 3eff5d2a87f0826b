"""Seeds of a training's generators, derived from its own."""

import numpy as np


def derived(seed: int, epoch: int, purpose: str) -> int:
    """A seed of its own for each purpose and epoch, so that no generator's state has to be kept.

    Args:
        seed: of the training.
        epoch: from 0.
        purpose: such as "images".
    """
    entropy = (seed, epoch, *purpose.encode())
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
