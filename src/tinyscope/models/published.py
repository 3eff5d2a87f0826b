"""The networks of three published CIFAR-10 reports, layer by layer.

Paulina Kossowska, "Deep Learning: Image Classification Project" (2021); Clayton Brittan, "Deep
Learning Tiny Image Classifier" (2024); "Assignment 1, Practical Deep Learning Workshop". The last
dense layer, one output a class, is added by `LayerStack`. Dropout rates that a report does not
give are those of the Keras example that it follows: 0.25 after convolutions, 0.5 after dense; but
for `WORKSHOP_DEEPER`, 0.1, which validation images chose.
"""

KOSSOWSKA_1 = (
    "conv 32 5x5 stride 2 same relu",
    "conv 32 5x5 stride 2 valid relu",
    "maxpool 2",
    "dropout 0.25",
    "flatten",
    "dense 512 relu",
    "dropout 0.5",
)
"""181,162 parameters."""

KOSSOWSKA_2 = (
    "conv 32 3x3 same relu",
    "conv 32 3x3 valid relu",
    "maxpool 2",
    "dropout 0.25",
    "conv 64 3x3 same relu",
    "conv 64 3x3 valid relu",
    "maxpool 2",
    "dropout 0.25",
    "flatten",
    "dense 512 relu",
    "dropout 0.5",
)
"""1,250,858 parameters."""

KOSSOWSKA_3 = (
    "conv 32 3x3 same relu",
    "dropout 0.25",
    "conv 32 3x3 same relu",
    "maxpool 2",
    "flatten",
    "dense 512 relu",
    "dropout 0.5",
)
"""4,210,090 parameters."""

BRITTAN_1 = ("conv 16 3x3 same relu", "maxpool 2", "flatten", "dense 16 relu")
"""66,170 parameters."""

BRITTAN_IMPROVED = (
    "conv 16 3x3 same relu",
    "maxpool 2",
    "conv 32 3x3 same relu",
    "maxpool 2",
    "conv 64 3x3 same relu",
    "maxpool 2",
    "flatten",
    "dense 64 relu",
)
"""89,834 parameters, which the report does not give."""

_FIVE_BLOCKS = tuple(
    line
    for width in (16, 32, 64, 128, 256)
    for line in (f"conv {width} 3x3 same relu", "maxpool 2")
)
BRITTAN_V3 = (*_FIVE_BLOCKS, "flatten", "dense 1024 relu", "dropout 0.5")
"""666,026 parameters, likewise."""

BRITTAN_FINAL = (*_FIVE_BLOCKS, "flatten", "dense 512 relu")
"""529,322 parameters, likewise."""

WORKSHOP_SIMPLE = (
    "conv 32 3x3 valid relu",
    "dropout 0.25",
    "maxpool 2",
    "conv 32 3x3 valid relu",
    "dropout 0.25",
    "flatten",
    "dense 128 relu",
)
"""703,786 parameters."""

WORKSHOP_DEEPER = (
    "conv 64 3x3 valid relu",
    "conv 64 3x3 valid relu",
    "dropout 0.1",
    "conv 64 3x3 valid relu",
    "conv 64 3x3 valid relu",
    "maxpool 2",
    "conv 32 3x3 valid relu",
    "conv 32 3x3 valid relu",
    "dropout 0.1",
    "flatten",
    "dense 128 relu",
)
"""403,850 parameters."""
