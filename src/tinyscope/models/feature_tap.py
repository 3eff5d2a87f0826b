"""FeatureTap: a network that ends at one of its own layers, given by name."""

from collections.abc import Iterable
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from tinyscope.errors import InputError, nearest

_DEPTH = 2


class FeatureTap(nn.Module):
    """A network whose output is what one of its layers gives; what lies behind does not run.

    The network itself is shared, not copied, and works as before. Its parameters have the prefix
    `network.` here. A layer that runs several times gives its first output. Several taps of one
    network, and several threads, do not disturb one another. `torch.jit.trace` can follow it,
    `torch.export` only where the layer is "".

    Args:
        network: any module.
        layer: a name of `network.named_modules()`; "" is the whole network.

    Raises:
        InputError: there is no such layer.
    """

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        modules = dict(network.named_modules())
        if layer not in modules or isinstance(modules[layer], _NEVER_CALLED):
            raise InputError(unknown_layer(layer, tap_layers(network)))
        self.network = network
        self.layer = layer
        modules[layer].register_forward_hook(_stop_if_awaited)

    def forward(self, images: Tensor) -> Tensor:
        """The output of the layer.

        Args:
            images: what the network takes.

        Raises:
            InputError: the layer takes no part in the network's forward pass, or gives no tensor.
        """
        values = self._captured(images) if self.layer else self.network(images)
        if not isinstance(values, Tensor):
            raise InputError(
                f'Layer "{self.layer}" gives {type(values).__name__}, no tensor. Other layers are: '
                f"{', '.join(tap_layers(self.network))}."
            )
        return values

    def _captured(self, images: Tensor) -> object:
        before = _AWAITED.set(self.network.get_submodule(self.layer))
        try:
            self.network(images)
        except _Reached as reached:
            return reached.values
        finally:
            _AWAITED.reset(before)
        raise InputError(
            f'Layer "{self.layer}" takes no part in the forward pass. Other layers are: '
            f"{', '.join(tap_layers(self.network))}."
        )


class _Reached(Exception):
    """Ends a forward pass at the layer that is awaited."""

    def __init__(self, values: object) -> None:
        super().__init__()
        self.values = values


_AWAITED: ContextVar[nn.Module | None] = ContextVar("awaited", default=None)
"""The layer at which this thread's forward pass is to end."""


def _stop_if_awaited(module: nn.Module, inputs: object, output: object) -> None:
    if _AWAITED.get() is module:
        raise _Reached(output)


_NEVER_CALLED = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Containers: their entries run, they themselves do not."""


def tap_layers(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers at which a network is sensibly tapped, in their order: two levels deep.

    Containers that do not run by themselves and layers that pass their input on are left out.
    """
    return tuple(
        name
        for name, module in network.named_modules()
        if name
        and name.count(".") < _DEPTH
        and not isinstance(module, (*_NEVER_CALLED, nn.Identity))
    )


def unknown_layer(given: str, layers: Iterable[str]) -> str:
    """The line for a layer that does not exist, with the nearest one and all that do."""
    names = list(layers)
    guess = nearest(given, names)
    hint = f'Did you mean "{guess}"? ' if guess else ""
    return f'Unknown layer "{given}". {hint}Its layers are: {", ".join(names)}.'


def drop_unused(tap: nn.Module, images: Tensor) -> None:
    """Takes the parameters that a network's output does not depend on out of it.

    Of a tapped network, what lies behind its layer; its state has the names that remain.

    Args:
        tap: a `FeatureTap`, or another module that leaves out layers; in evaluation mode.
        images: one batch of any content that the network takes.
    """
    learning = {parameter: parameter.requires_grad for parameter in tap.parameters()}
    for parameter in learning:
        parameter.requires_grad_(True)  # the graph knows no others
    with torch.enable_grad():
        used = _leaves(tap(images))
    for parameter, learns in learning.items():
        parameter.requires_grad_(learns)
    for module in tap.modules():
        own = dict(module.named_parameters(recurse=False))
        for name in [name for name, parameter in own.items() if parameter not in used]:
            module.register_parameter(name, None)
        if own and used.isdisjoint(own.values()):
            for name, _ in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, None)
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.track_running_stats = False  # or it expects a counter in every state


def _leaves(output: Tensor) -> set[Tensor]:
    """The parameters that an output was computed from: the leaves of its graph."""
    leaves, seen, open_nodes = set(), set(), [output.grad_fn]
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(node.variable)
        open_nodes += [before for before, _ in node.next_functions]
    return leaves
