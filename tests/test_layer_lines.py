import itertools
from typing import Literal

import pytest

from tinyscope.errors import InputError
from tinyscope.models import published
from tinyscope.models.layer_lines import Layer, layers_fault, read_layer
from tinyscope.models.layer_stack import FeatureHead, LayerStack


@pytest.mark.parametrize(
    ("line", "layer"),
    [
        ("conv 32 3x3 same", Layer("conv", 32, 3)),
        (
            " conv  8 5x5 stride 2 valid batchnorm relu",
            Layer("conv", 8, 5, 2, "valid", batchnorm=True, relu=True),
        ),
        ("dense 512 relu", Layer("dense", 512, relu=True)),
        ("avgpool 3", Layer("avgpool", 3)),
        ("dropout .5", Layer("dropout", rate=0.5)),
        ("flatten", Layer("flatten")),
    ],
)
def test_a_line_is_read_word_by_word(line: str, layer: Layer) -> None:
    assert read_layer(line, 1) == layer


@pytest.mark.parametrize("name", [name for name in vars(published) if name[0].isupper()])
def test_published_networks_have_no_fault(name: str) -> None:
    assert layers_fault(getattr(published, name), of="images") is None


def test_without_lines_nothing_is_wrong() -> None:
    assert layers_fault([], of="images") is None
    assert layers_fault([], of="features") is None


def test_every_wrong_line_is_told_and_what_a_line_can_be_only_once() -> None:
    text = layers_fault(["conv 8 3x5 same", "pool", "relu6", "flatten"], of="images")
    assert text is not None
    assert text.startswith(
        'layer 1 ("conv 8 3x5 same"): a kernel is as high as it is wide. layer 2 ("pool") is no '
        'layer. layer 3 ("relu6") is no layer. Expected one of: conv 32 3x3 '
    )
    assert text.count("Expected") == 1


LINES = ("conv 4 3x3 same", "dense 5", "maxpool 2", "globalpool", "batchnorm", "relu", "flatten")


@pytest.mark.parametrize("of", ["images", "features"])
def test_lines_have_a_fault_exactly_where_no_network_can_be_built_of_them(
    of: Literal["images", "features"],
) -> None:
    for lines in itertools.product(LINES, repeat=3):
        try:
            if of == "images":
                LayerStack(lines, channels=3, classes=2, height=16, width=16)
            else:
                FeatureHead(lines, features=7, classes=2)
            wrong = False
        except InputError:
            wrong = True
        assert (layers_fault(lines, of=of) is not None) == wrong, lines
