"""layer_stack: a plain CNN written as a list of layers, as in papers and slides.

A layer is a line of words:

| line                              | is                                                           |
|-----------------------------------|--------------------------------------------------------------|
| `conv 32 3x3 [stride 2] same`     | convolution with bias to 32 channels; `same` or `valid`      |
| `dense 512`                       | fully connected layer with bias                              |
| `maxpool 2`, `avgpool 2`          | pooling, stride as the window, remainders dropped            |
| `globalpool`                      | mean over all positions                                      |
| `batchnorm`, `relu`, `flatten`    | what they say                                                |
| `dropout 0.25`                    | zeroes that share of the values in training                  |

`conv` and `dense` may end in `relu`, `batchnorm` or `batchnorm relu`; with batch norm they have no
bias. The last dense layer, one output for each class, is not written: every network ends in it.

`same` pads as Keras and TensorFlow do: where a stride leaves an odd number of rows, the extra one
is at the bottom and at the right.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from tinyscope.errors import InputError
from tinyscope.models.bit_dropout import BitDropout
from tinyscope.models.fast_layers import ChannelsLastFlatten, Conv2dSame
from tinyscope.models.layer_lines import Layer, order_fault, place_of, read_layer
from tinyscope.models.max_pool import MaxPool2x2


class LayerStack(nn.Sequential):
    """The layers in their order; float (N, C, H, W) in, logits (N, K) out.

    Raises:
        InputError: a line is no layer, or does not fit what comes before it; the line is named.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        channels: int,
        classes: int,
        height: int,
        width: int,
    ) -> None:
        super().__init__(*_stacked(layers, (channels, height, width), classes))


class FeatureHead(nn.Sequential):
    """Layers that tell classes by features; float (N, F) in, logits (N, K) out.

    Raises:
        InputError: a line is no layer, or needs an image; the line is named.
    """

    def __init__(self, layers: Sequence[str], *, features: int, classes: int) -> None:
        super().__init__(*_stacked(layers, (features,), classes))


def _stacked(layers: Sequence[str], shape: tuple[int, ...], classes: int) -> list[nn.Module]:
    """The modules of all lines for an input of that shape, and the dense layer of the classes."""
    built: list[nn.Module] = []
    for number, line in enumerate(layers, start=1):
        layer, where = read_layer(line, number), place_of(line, number)
        if fault := order_fault(layer, where, image=len(shape) == 3):
            raise InputError(fault)
        modules = _modules(layer, shape)
        shape = _shape_after(modules, shape, where)
        built += modules
    if len(shape) != 1:
        raise InputError(
            f'The layers end in {_spelled(shape)}; "flatten" or "globalpool" has to come '
            "before the classes."
        )
    built.append(nn.Linear(shape[0], classes))
    return _pool_before_relu(built)


def _modules(layer: Layer, shape: tuple[int, ...]) -> list[nn.Module]:
    """The modules of one line for an input of that shape."""
    kind, size, bias = layer.kind, layer.size, not layer.batchnorm
    after = [nn.ReLU()] * layer.relu
    if kind == "conv":
        convolution = Conv2dSame if layer.padding == "same" else nn.Conv2d
        modules = [convolution(shape[0], size, layer.kernel, layer.stride, bias=bias)]
        return [*modules, *[nn.BatchNorm2d(size)] * layer.batchnorm, *after]
    if kind == "dense":
        norms = [nn.BatchNorm1d(size)] * layer.batchnorm
        return [nn.Linear(shape[0], size, bias=bias), *norms, *after]
    if kind == "maxpool":
        return [MaxPool2x2() if size == 2 else nn.MaxPool2d(size)]
    if kind == "avgpool":
        return [nn.AvgPool2d(size)]
    if kind == "dropout":
        return [BitDropout(layer.rate)]
    if kind == "globalpool":
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if kind == "batchnorm":
        return [nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])]
    return [nn.ReLU() if kind == "relu" else ChannelsLastFlatten()]


def _shape_after(
    modules: Sequence[nn.Module], shape: tuple[int, ...], where: str
) -> tuple[int, ...]:
    """What comes out of the modules, found by sending an empty image through.

    In evaluation, or the image would count in the norms' averages, and dropout would draw.
    """
    values = torch.zeros(1, *shape)
    try:
        with torch.no_grad():
            for module in modules:
                values = module.eval()(values)
                module.train()
    except RuntimeError:
        raise InputError(f"{where} does not fit an input of {_spelled(shape)}.") from None
    if 0 in values.shape:
        raise InputError(f"{where} leaves nothing of an input of {_spelled(shape)}.")
    return tuple(values.shape[1:])


def _spelled(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]} values"
    return f"{shape[0]} channels of {shape[1]}x{shape[2]}"


def _pool_before_relu(modules: Sequence[nn.Module]) -> list[nn.Module]:
    """The same function with every max-pool that follows a ReLU moved in front of it.

    max(relu(x)) = relu(max(x)), and the gradient is the same too; the ReLU then has a quarter of
    the values to pass over.
    """
    ordered = list(modules)
    for place in range(1, len(ordered)):
        if isinstance(ordered[place], nn.MaxPool2d) and isinstance(ordered[place - 1], nn.ReLU):
            ordered[place - 1 : place + 1] = [ordered[place], ordered[place - 1]]
    for before, module in itertools.pairwise(ordered):
        if isinstance(module, nn.ReLU) and isinstance(before, _OUTPUT_NOT_KEPT):
            module.inplace = True
    return ordered


_OUTPUT_NOT_KEPT = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool2d)
"""Layers whose backward pass does not need their output, which may then be overwritten."""
