"""What a GPU replays is what it computes kernel by kernel; skipped where there is none."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.whitened_cnn import WhitenedCNN
from tinyscope.plan.recipe import Recipe
from tinyscope.training.cuda_graph import CudaGraphPass
from tinyscope.training.material import images_of
from tinyscope.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
RECIPE = Recipe(
    model="whitened-cnn",
    widths=(8, 16, 16),
    optimizer="muon",
    learning_rate=0.05,
    momentum=0.6,
    training_sizes=(0.75, 1.0),
    horizontal_flip=True,
    shift=2,
    epochs=2,
    batch_size=16,
    precision="fp32",
)


def test_a_replay_leaves_the_gradients_that_the_pass_itself_leaves():
    torch.manual_seed(0)
    network = WhitenedCNN((8, 16), channels=3, classes=4).cuda()
    weights = list(network.parameters())

    def compute(images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        return (loss.detach(),)

    replayed = CudaGraphPass(compute, weights)
    for size in (16, 16, 12, 16, 16, 12, 12, 16, 12, 12):
        images = torch.randn(size, 3, 16, 16, device="cuda")
        labels = torch.randint(0, 4, (size,), device="cuda")
        (loss,) = (each.clone() for each in replayed(images, labels))
        found = [None if each.grad is None else each.grad.clone() for each in weights]
        network.zero_grad()
        expected = compute(images, labels)
        torch.testing.assert_close(loss, expected[0], rtol=1e-2, atol=1e-3)
        for mine, each in zip(found, weights, strict=True):
            assert (mine is None) == (each.grad is None)
            if mine is not None:
                assert (mine - each.grad).norm() <= 0.02 * each.grad.norm() + 1e-5
    assert len(replayed._recorded) == 2


@pytest.mark.parametrize(
    "changes", [{}, {"precision": "bf16"}, {"optimizer": "adam", "learning_rate": 1e-3}]
)
def test_a_training_is_recorded_and_learns_as_much(world, changes):
    recipe = RECIPE.changed(changes)
    data = replace(world, validation=None)
    last = []
    for recorded in (False, True):
        trainer = Trainer(data, recipe)
        if not recorded:
            trainer._learner._pass = trainer._learner._forward_and_backward
        done = trainer.run(None, lambda row: None, lambda step, steps: None)
        last.append(done.history[-1]["train_loss"])
    assert trainer._learner._pass._recorded
    assert last[0] == pytest.approx(last[1], rel=0.2)


def test_each_replay_drops_other_values():
    layer = nn.Dropout(0.5)
    weight = torch.ones(1, device="cuda", requires_grad=True)

    def compute(batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        values = layer(batch * weight)
        values.sum().backward()
        return (values.detach(),)

    replayed = CudaGraphPass(compute, [weight])
    batch, labels = torch.ones(1000, device="cuda"), torch.zeros(1, device="cuda")
    answers = [replayed(batch, labels)[0].clone() for _ in range(6)]

    assert replayed._recorded
    assert not torch.equal(answers[-1], answers[-2])
    assert weight.grad == answers[-1].sum()


class ReadsBack(nn.Module):
    """Reads a number back from the GPU, which cannot be recorded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels, 4)

    def forward(self, images: Tensor) -> Tensor:
        values = images.mean((2, 3))
        return self.layer(values) * (1.0 if values.sum().item() > 0 else 0.5)


def test_a_network_that_cannot_be_recorded_is_trained_all_the_same(world):
    material = images_of(replace(world, validation=None), torch.device("cuda"))
    network = PixelInput(ReadsBack(3), mean=[128.0] * 3, deviation=[60.0] * 3)
    recipe = Recipe(epochs=2, batch_size=16, precision="fp32")
    trainer = Trainer(replace(material, begin=lambda _: (network, torch.zeros(3))), recipe)
    done = trainer.run(None, lambda row: None, lambda step, steps: None)

    assert not trainer._learner._pass._recorded
    assert len(done.history) == 2
