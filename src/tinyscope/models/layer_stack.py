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
import re
from collections.abc import Sequence

import torch
from torch import nn

from tinyscope.errors import InputError
from tinyscope.models.bit_dropout import BitDropout
from tinyscope.models.fast_layers import ChannelsLastFlatten, Conv2dSame
from tinyscope.models.max_pool import MaxPool2x2

_COUNT = "([1-9][0-9]{0,4})"


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
        where = f'layer {number} ("{line}")'
        modules = _layer(line, shape, where)
        shape = _shape_after(modules, shape, where)
        built += modules
    if len(shape) != 1:
        raise InputError(
            f'The layers end in {_spelled(shape)}; "flatten" or "globalpool" has to come '
            "before the classes."
        )
    built.append(nn.Linear(shape[0], classes))
    return _pool_before_relu(built)


def _layer(line: str, shape: tuple[int, ...], where: str) -> list[nn.Module]:
    """The modules of one line."""
    text = " ".join(line.split())
    if match := re.fullmatch(
        rf"conv {_COUNT} {_COUNT}x{_COUNT}(?: stride {_COUNT})? (same|valid)( batchnorm)?( relu)?",
        text,
    ):
        _needs_image(shape, where)
        out, kernel, kernel_width, stride = (int(part or 1) for part in match.groups()[:4])
        if kernel != kernel_width:
            raise InputError(f"{where}: a kernel is as high as it is wide.")
        bias = match[6] is None
        modules: list[nn.Module] = [
            Conv2dSame(shape[0], out, kernel, stride, bias=bias)
            if match[5] == "same"
            else nn.Conv2d(shape[0], out, kernel, stride, bias=bias)
        ]
        modules += [nn.BatchNorm2d(out)] * (not bias)
        return modules + [nn.ReLU()] * bool(match[7])
    if match := re.fullmatch(rf"dense {_COUNT}( batchnorm)?( relu)?", text):
        if len(shape) != 1:
            raise InputError(f'{where}: "flatten" or "globalpool" has to come before it.')
        out, bias = int(match[1]), match[2] is None
        modules = [nn.Linear(shape[0], out, bias=bias)]
        modules += [nn.BatchNorm1d(out)] * (not bias)
        return modules + [nn.ReLU()] * bool(match[3])
    if match := re.fullmatch(rf"(maxpool|avgpool) {_COUNT}", text):
        _needs_image(shape, where)
        side = int(match[2])
        if match[1] == "avgpool":
            return [nn.AvgPool2d(side)]
        return [MaxPool2x2() if side == 2 else nn.MaxPool2d(side)]
    if match := re.fullmatch(r"dropout (0?\.[0-9]+)", text):
        if float(match[1]) > 0.99:
            raise InputError(f"{where}: at most 0.99 of the values can be dropped.")
        return [BitDropout(float(match[1]))]
    if text == "globalpool":
        _needs_image(shape, where)
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if text == "batchnorm":
        return [nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])]
    if text == "relu":
        return [nn.ReLU()]
    if text == "flatten":
        return [ChannelsLastFlatten()]
    raise InputError(
        f"{where} is no layer. Expected one of: conv 32 3x3 [stride 2] same|valid [batchnorm] "
        "[relu], dense 512 [batchnorm] [relu], maxpool 2, avgpool 2, globalpool, batchnorm, relu, "
        "dropout 0.25, flatten."
    )


def _needs_image(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 3:
        raise InputError(f"{where} needs an image, but the layers before it flatten it.")


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
