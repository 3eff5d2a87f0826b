"""How many batches examples are cut into, the steps of an epoch."""

import math


def batch_count(examples: int, size: int) -> int:
    """The batches of an epoch.

    In training, batch norm cannot take a single vector: with a size above 1 every batch has two
    examples at least, as far as there are so many, and one may have one more than its size.

    Args:
        examples: 1 or more.
        size: examples a batch, 1 or more.
    """
    most = examples if size == 1 else max(1, examples // 2)
    return min(math.ceil(examples / size), most)
