"""Initial weights by name, Keras' and torch's defaults among them."""

from collections.abc import Callable

from torch import Tensor, nn


def _he_normal(kernel: Tensor) -> None:
    nn.init.kaiming_normal_(kernel, mode="fan_in", nonlinearity="relu")


_ZERO_OUTPUT = "zero-output"
INITIALIZERS: dict[str, Callable[[Tensor], object] | None] = {
    "he-normal": _he_normal,  # He et al. 2015, arXiv 1502.01852, section 2.2; not truncated
    _ZERO_OUTPUT: _he_normal,  # and the last dense layer at zero
    "glorot-uniform": nn.init.xavier_uniform_,  # Glorot and Bengio 2010; Keras' default
    "torch": None,  # what the layers of torch come with
}


def initialize(network: nn.Module, name: str) -> None:
    """Gives every convolution and dense layer new kernels, and zero biases, in place.

    By "zero-output" the last dense layer's kernel is zero too, as Kolesnikov et al. 2020 ("Big
    Transfer", arXiv 1912.11370) begin with where a pretrained network learns on: a random one sends
    gradients back that mean nothing, and spoils what the network knows.

    Args:
        network: any module; norms keep scale 1 and offset 0.
        name: a key of `INITIALIZERS`; "torch" leaves kernels and biases as they were made.
    """
    fill = INITIALIZERS[name]
    if fill is None:
        return
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fill(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if name == _ZERO_OUTPUT:
        for last in [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]:
            nn.init.zeros_(last.weight)
