"""What is replayed on a CPU is what the pass itself computes, bit for bit."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models.layer_stack import LayerStack
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.resnet import ResNet
from tinyscope.models.whitened_cnn import WhitenedCNN
from tinyscope.plan.recipe import Recipe
from tinyscope.training import replayed_pass
from tinyscope.training.recorder import Recorder
from tinyscope.training.replayed_pass import ReplayedPass
from tinyscope.training.trainer import Trainer

LAYERS = (
    "conv 8 3x3 same batchnorm relu",
    "maxpool 2",
    "dropout 0.25",
    "conv 8 3x3 valid relu",
    "avgpool 2",
    "flatten",
    "dense 16 batchnorm relu",
    "dropout 0.4",
)
CHANNELS_LAST = torch.channels_last


class OddWays(nn.Module):
    """Noise that hangs on no tensor, a constant ramp, sums in place, a copy that is used twice."""

    def forward(self, values: Tensor) -> Tensor:
        ramp = torch.arange(values.shape[1]).div(10)
        total = torch.zeros(values.shape)
        total += torch.rand(values.shape) + ramp
        second = torch.empty(values.shape)
        copy = values.float().clone()
        second.copy_(copy)
        return total + copy * second


NETWORKS = {
    "layers": lambda: LayerStack(LAYERS, channels=3, classes=4, height=16, width=16),
    "whitened": lambda: WhitenedCNN((8, 16), channels=3, classes=4),
    "deep whitened": lambda: WhitenedCNN((8, 16), channels=3, classes=4, depth=3),
    "residual": lambda: ResNet(1, channels=3, classes=4),
    "torch's dropout and mean": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Dropout(0.5),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ),
    "odd ways": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4), OddWays()),
}


def loss_pass(network: nn.Module, *, precision: str = "fp32", smoothing: float = 0.0):
    def compute(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        loss.backward()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    return compute


def batch_of(size: int, number: int, side: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    images = torch.randn(size, 3, side, side, generator=generator)
    labels = torch.randint(0, 4, (size,), generator=generator)
    return images.contiguous(memory_format=CHANNELS_LAST), labels


def trained(network: nn.Module, compute, *, steps: int) -> list[Tensor]:
    """Losses of a few steps of SGD, and all that the network then holds."""
    torch.manual_seed(5)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        answers = compute(*batch_of(12 if step % 4 else 9, step))
        losses += [each.clone() for each in answers]
        optimizer.step()
    return [*losses, *(each.clone() for each in network.state_dict().values())]


def same_with_replays(make, *, steps: int, **how) -> dict:
    """Compares two trainings to the bit; the replays that the second one has in the end."""
    ends = []
    for replayed in (False, True):
        torch.manual_seed(0)
        network = make().to(memory_format=CHANNELS_LAST)
        compute = loss_pass(network, **how)
        if replayed:
            compute = ReplayedPass(compute, list(network.parameters()))
        ends.append(trained(network, compute, steps=steps))
    for mine, expected in zip(*ends, strict=True):
        assert torch.equal(mine, expected)
    return compute._replays


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_replayed_is_the_same_to_the_bit(name, precision):
    replays = same_with_replays(NETWORKS[name], steps=24, precision=precision, smoothing=0.1)
    assert len(replays) == 2


def test_a_replay_leaves_out_a_third_of_the_operations_at_least():
    torch.manual_seed(0)
    network = NETWORKS["layers"]().to(memory_format=CHANNELS_LAST)
    compute = loss_pass(network, precision="bf16")
    replayed = ReplayedPass(compute, list(network.parameters()))
    for step in range(3):
        replayed(*batch_of(12, step))
    (replay,) = replayed._replays.values()

    batch = batch_of(12, 0)
    with Recorder() as recorder:
        compute(*batch)
    assert 20 < len(replay._program) <= len(recorder.operations) * 2 / 3


def test_answers_and_gradients_are_those_of_the_batch_given():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    compute = loss_pass(network)
    replayed = ReplayedPass(compute, list(network.parameters()))
    for step in range(8):
        images, labels = batch_of(6, step)
        loss, right = replayed(images, labels)
        expected = F.cross_entropy(network(images), labels)
        gradient = torch.autograd.grad(expected, network[1].weight)[0]
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(network[1].weight.grad, gradient)
        assert right == (network(images).argmax(1) == labels).sum()
    assert replayed._replays


class ReadsBack(nn.Module):
    """Reads a number back, by which Python decides."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        values = images.mean((2, 3))
        return self.layer(values) * (1.0 if values.sum().item() > 0 else 0.5)


class Counts(nn.Module):
    """Scales by a number of Python's that changes from pass to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return self.layer(images.mean((2, 3))) * self.passes


class MakesTensors(Counts):
    """Adds numbers that Python makes a tensor of, others in each pass."""

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return self.layer(images.mean((2, 3))) + torch.tensor([0.0, 0.0, 0.0, self.passes])


class MakesNumbers(Counts):
    """Adds a number that Python makes a tensor of, another one in each pass."""

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return self.layer(images.mean((2, 3))) * torch.tensor(1.0 + self.passes)


class Alternates(Counts):
    """Has one operation more in every other pass."""

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        answer = self.layer(images.mean((2, 3)))
        return answer.relu() if self.passes % 2 else answer


@pytest.mark.parametrize(
    "network_class", [ReadsBack, Counts, MakesTensors, MakesNumbers, Alternates]
)
def test_a_network_that_does_not_do_the_same_each_time_is_computed_as_usual(network_class):
    replays = same_with_replays(network_class, steps=12)
    assert not replays


def test_a_replay_that_gives_something_else_is_dropped_and_leaves_no_trace(monkeypatch):
    run = replayed_pass._Replay.run

    def spoilt(self, batch, labels):
        answers = run(self, batch, labels)
        answers[0].add_(1)
        return answers

    monkeypatch.setattr(replayed_pass._Replay, "run", spoilt)
    replays = same_with_replays(NETWORKS["layers"], steps=12)
    assert not replays


def test_passes_that_would_hold_too_much_are_computed_as_usual(monkeypatch):
    network = NETWORKS["layers"]()
    replayed = ReplayedPass(loss_pass(network), list(network.parameters()))
    monkeypatch.setattr(replayed_pass, "_MOST_BYTES", 1000)
    for step in range(5):
        replayed(*batch_of(12, step))
    assert not replayed._replays
    assert not replayed._recorded


def test_a_recorder_lets_go_of_what_is_too_much():
    with Recorder(most_bytes=1000) as recorder:
        values = torch.ones(100)
        assert len(recorder.operations) > 0
        values = values + torch.ones(200, 1)
    assert recorder.operations == []


def test_a_parameter_that_gets_no_gradient_gets_none_in_a_replay():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.used(images.mean((2, 3)))

    network = Unused()
    replayed = ReplayedPass(loss_pass(network), list(network.parameters()))
    for step in range(5):
        replayed(*batch_of(12, step))
    assert replayed._replays
    assert network.idle.weight.grad is None
    assert network.used.weight.grad is not None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bf16"},
        {"optimizer": "muon", "learning_rate": 0.05},
        {"class_weights": "balanced"},
    ],
)
def test_a_training_on_a_cpu_is_replayed_and_ends_in_the_same_weights(world, changes):
    recipe = Recipe(
        model="layer-stack",
        layers=LAYERS,
        epochs=2,
        batch_size=8,
        horizontal_flip=True,
        precision="fp32",
    ).changed(changes)
    data = replace(world, validation=None)
    ends = []
    for replayed in (False, True):
        trainer = Trainer(data, recipe)
        if not replayed:
            trainer._learner._pass = trainer._learner._forward_and_backward
        done = trainer.run(None, lambda row: None, lambda step, steps: None)
        ends.append([*done.network.state_dict().values()])
    assert isinstance(trainer.network, PixelInput)
    assert trainer._learner._pass._replays
    for mine, expected in zip(ends[1], ends[0], strict=True):
        assert torch.equal(mine, expected)
