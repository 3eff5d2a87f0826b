"""TimmNetwork: a network of the timm package, cut at a layer, with what must be known to use it."""

import itertools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tinyscope.errors import InputError, nearest
from tinyscope.models.feature_tap import FeatureTap, drop_unused, tap_layers, unknown_layer

POOLED = "pooled"
"""The layer that every timm network has: what its classifier takes, one vector an image."""


class TimmNetwork(FeatureTap):
    """A timm network with random weights, in evaluation mode, without what its layer does not need.

    Args:
        name: as timm spells it, with or without the tag of published weights.
        layer: `POOLED`, or a name of its `named_modules()`.

    Attributes:
        layers: names at which it is sensibly cut, in order.
        smallest: side in pixels of the smallest image that the layer takes.
        fixed: (H, W) where it takes images of that size only, else None.
        shapes: of the tensors in a file of the whole network's weights, by timm's names.
        settings: timm's `pretrained_cfg`.

    Raises:
        InputError: timm is not installed, or knows no such network; or that has no such layer.
    """

    def __init__(self, name: str, layer: str) -> None:
        network = _timm(name).create_model(name).eval()
        settings: dict[str, Any] = network.pretrained_cfg
        shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        network.reset_classifier(0)
        layers = (*tap_layers(network), POOLED)
        if not layer or (layer != POOLED and layer not in dict(network.named_modules())):
            raise InputError(unknown_layer(layer, layers))
        super().__init__(network, "" if layer == POOLED else layer)
        self.eval()
        self.layers = layers
        self.settings = settings
        self.shapes = shapes
        height, width = settings["input_size"][1:]
        self.fixed = (height, width) if settings["fixed_input_size"] else None
        self.smallest = max(height, width) if self.fixed else self._smallest_image(height)
        drop_unused(self, self._images(self.smallest))

    def forward(self, images: Tensor) -> Tensor:
        """What the layer gives, channels first.

        Args:
            images: (N, 3, H, W), normalized.

        Returns:
            Vectors (N, F), or maps (N, F, h, w); T tokens of F values each come as (N, F, T, 1),
            those that stand for no patch among them.

        Raises:
            InputError: the network takes no images of that size, or the layer gives something else.
        """
        if self.fixed and tuple(images.shape[2:]) != self.fixed:
            height, width = self.fixed
            raise InputError(
                f"{self.settings['architecture']} takes images of {width}x{height} pixels only; "
                f"these are {images.shape[3]}x{images.shape[2]}. Set backbone_size = {height}."
            )
        values = super().forward(images)
        if values.dim() == 3:
            return values.mT.unsqueeze(3)
        if values.dim() == 4 and self._channels_last():
            return values.permute(0, 3, 1, 2)
        if values.dim() not in (2, 4):
            raise InputError(
                f'Layer "{self.layer}" gives neither maps nor vectors, but {tuple(values.shape)}. '
                f"Other layers are: {', '.join(self.layers)}."
            )
        return values

    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """Modules or single parameters of each block, from input to output, as timm groups them."""
        from timm.models import group_parameters

        order = [name for name, _ in self.network.named_children()]
        matcher = (
            self.network.group_matcher(coarse=True)  # type: ignore[operator]
            if hasattr(self.network, "group_matcher")
            else lambda name: order.index(name.split(".")[0]) if "." in name else 0
        )
        groups = group_parameters(self.network, matcher)
        block_of = {f"network.{name}": block for block, names in groups.items() for name in names}
        return _modules_of(block_of)

    def _channels_last(self) -> bool:
        """Whether maps come as (N, h, w, F); such networks say so, but for their convolutions."""
        tapped = self.network.get_submodule(self.layer)
        declared = getattr(self.network, "output_fmt", "NCHW")
        return bool(declared == "NHWC") and not isinstance(tapped, nn.Conv2d)

    def _smallest_image(self, native: int) -> int:
        """The first power of two, or else the side it was trained with, that gives anything."""
        side = 8
        while side < native:
            try:
                with torch.no_grad():
                    if self(self._images(side)).numel():
                        return side
            except Exception:  # networks raise what they like where images are too small
                pass
            side *= 2
        return native

    def _images(self, side: int) -> Tensor:
        return torch.zeros(1, 3, *(self.fixed or (side, side)))


def repository(name: str) -> str | None:
    """Where the hub has the published weights of a timm network: OWNER/NAME, or None.

    Raises:
        InputError: as `TimmNetwork`.
    """
    return _timm(name).get_pretrained_cfg(name).hf_hub_id or None


def converted(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Weights of an older version of timm, or of a network's authors, under today's names.

    Returns:
        Every tensor of the whole network, or None where these are not its weights.
    """
    timm = _timm(name)
    settings = {"state_dict": dict(tensors)}
    try:
        # Each network of timm has a conversion of its own, which only this way of loading applies.
        first, second = (
            timm.create_model(name, pretrained=True, pretrained_cfg_overlay=settings).state_dict()
            for _ in range(2)
        )
    except Exception:  # conversions fail as they like on what is not meant for them
        return None
    # Some pass over what is missing, which then stays random, and not the same twice.
    whole = all(torch.equal(tensor, second[key]) for key, tensor in first.items())
    return dict(first) if whole else None


def _timm(name: str) -> ModuleType:
    """The package, once it is sure that it has a network of that name."""
    try:
        import timm
    except ImportError:
        raise InputError(
            f"Backbone timm:{name} needs timm, which is not installed: "
            'pip install "tinyscope[pretrained]".'
        ) from None
    names = {*timm.list_models(), *timm.list_pretrained()}
    if name not in names:
        # The part before the dot is the network, the rest one of its published weights.
        guess = nearest(name, sorted(names)) or nearest(name.partition(".")[0], sorted(names))
        hint = f'Did you mean "timm:{guess}"? ' if guess else ""
        raise InputError(
            f'timm {timm.__version__} has no "{name}". {hint}To see all: '
            'python -c "import timm; print(*timm.list_pretrained(), sep=chr(10))".'
        )
    return timm


def _modules_of(block_of: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """For each block, in order, the outermost modules whose parameters all belong to it."""
    blocks: dict[int, dict[str, None]] = {block: {} for block in sorted(set(block_of.values()))}
    for name, block in block_of.items():
        parts = name.split(".")
        outer = next(
            module
            for module in itertools.accumulate(parts, "{}.{}".format)
            if {block_of[other] for other in block_of if f"{other}.".startswith(f"{module}.")}
            == {block}
        )
        blocks[block][outer] = None
    return tuple(tuple(modules) for modules in blocks.values())
