"""Stochastic weight averaging: the mean of a network's weights over the last steps."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn

from tinyscope.evaluation.predict import forward

STATISTICS_BATCHES = 5
"""Batches that norms' statistics are taken from anew, of an epoch that is not learnt from."""


class WeightAverage:
    """The mean of a network's weights over the steps of a training in which it is told of them.

    Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization" (arXiv
    1803.05407). Differs: every step counts, not one an epoch.

    Args:
        network: whose weights are averaged; a copy of it is kept.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._mean = AveragedModel(network, multi_avg_fn=get_swa_multi_avg_fn())

    def after_step(self) -> None:
        """Takes the network's weights into the mean."""
        self._mean.update_parameters(self._network)

    def take_over(self, batches: Iterable[Tensor], *, precision: str) -> None:
        """Gives the network the mean of its weights, and its norms the statistics of that mean.

        Args:
            batches: pixels (n, H, W, C), or features (n, F), that norms' statistics are taken from;
                not looked at where there are no norms.
            precision: "bf16" or "fp32", of the arithmetic.
        """
        with torch.no_grad():
            means = self._mean.module.parameters()
            for parameter, mean in zip(self._network.parameters(), means, strict=True):
                parameter.copy_(mean)
        update_bn(batches, _InPrecision(self._network, precision))

    def state(self) -> dict[str, Tensor]:
        """Everything, by name."""
        return dict(self._mean.state_dict())

    def restore(self, state: dict[str, Tensor]) -> None:
        """Goes on from what `state` gave."""
        self._mean.load_state_dict(state)


def has_statistics(network: nn.Module) -> bool:
    """Whether norms of a network answer by statistics of a training's images."""
    return any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in network.modules())


class _InPrecision(nn.Module):
    def __init__(self, network: nn.Module, precision: str) -> None:
        super().__init__()
        self.network, self._precision = network, precision

    def forward(self, pixels: Tensor) -> Tensor:
        return forward(self.network, pixels, precision=self._precision)
