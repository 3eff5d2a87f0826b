"""Makes the file of the backbone that comes along from the run that trained it.

    tinyscope run cifar100-backbone --data cifar100
    python benchmarks/pack_backbone.py tinyscope-runs/cifar100-backbone

The layers before the head, convolutions in half precision, norms in float32; written to
src/tinyscope/features/cifar100-backbone.safetensors, with the run's name in its metadata.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from tinyscope.features.weights import SHIPPED
from tinyscope.files import replacing

NAME = "cifar100-backbone"
LARGEST = 8_000_000
"""Bytes of the file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="the folder of the finished study")
    folder = parser.parse_args().study / "model"
    card = json.loads((folder / "model.json").read_text())["card"]
    weights = {
        name.removeprefix("network."): each.half() if each.dim() == 4 else each
        for name, each in load_file(folder / "weights.safetensors").items()
        if name.startswith("network.")
        and not name.startswith("network.head.")
        and not name.endswith("num_batches_tracked")
    }
    kernels = [each for each in weights.values() if each.dim() == 4]
    assert all(torch.isfinite(each).all() for each in kernels)
    content = save(weights, metadata={"run": card["run"], "data": card["data"]})
    assert len(content) <= LARGEST, f"{len(content):,} bytes"
    with replacing(SHIPPED[NAME]) as file:
        file.write(content)
    print(f"{SHIPPED[NAME]}: {len(content):,} bytes, from {card['run']}")


if __name__ == "__main__":
    main()
