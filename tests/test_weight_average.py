"""Stochastic weight averaging, beside means that are taken by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from training_world import FAST, SMALL

from tinyscope.training.trainer import Trainer, train
from tinyscope.training.weight_average import WeightAverage, has_statistics


def test_the_network_ends_with_the_mean_and_its_statistics():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    average, seen = WeightAverage(network), []
    for _ in range(5):
        with torch.no_grad():
            for each in network.parameters():
                each.add_(torch.randn_like(each))
        seen.append([each.detach().clone() for each in network.parameters()])
        average.after_step()
    batches = [torch.randn(50, 4), torch.randn(50, 4)]
    average.take_over(batches, precision="fp32")
    for ours, values in zip(network.parameters(), zip(*seen, strict=True), strict=True):
        assert torch.allclose(ours, torch.stack(values).mean(0), atol=1e-6)
    reached = [network[0](batch).detach() for batch in batches]
    norm = network[1]
    assert torch.allclose(norm.running_mean, torch.stack(reached).mean((0, 1)), atol=1e-6)
    variances = torch.stack([each.var(0) for each in reached])
    assert torch.allclose(norm.running_var, variances.mean(0), atol=1e-6)
    assert norm.momentum == 0.1


def test_a_network_without_norms_looks_at_no_images():
    network = nn.Linear(4, 3)
    average = WeightAverage(network)
    average.after_step()

    def batches():
        raise AssertionError
        yield

    average.take_over(batches(), precision="fp32")
    assert not has_statistics(network)
    assert has_statistics(nn.Sequential(nn.BatchNorm2d(3)))


@pytest.mark.parametrize("recipe", [FAST, replace(FAST, hardest_share=0.5), SMALL])
def test_a_training_ends_with_the_mean_of_its_last_steps(world, monkeypatch, recipe):
    recipe, seen, step = replace(recipe, averaged_steps=0.3), [], Trainer.step

    def watched(self, pixels, labels, number):
        answer = step(self, pixels, labels, number)
        seen.append([each.detach().clone() for each in self.network.parameters()])
        return answer

    monkeypatch.setattr(Trainer, "step", watched)
    network = train(world, recipe).network
    last = zip(*seen[-round(0.3 * len(seen)) :], strict=True)
    for ours, values in zip(network.parameters(), last, strict=True):
        assert torch.allclose(ours, torch.stack(values).mean(0), atol=1e-5)


def test_the_last_rows_figures_are_those_of_the_mean(world):
    made = train(world, replace(FAST, averaged_steps=0.5))
    images = torch.from_numpy(world.validation.images)
    with torch.inference_mode():
        answers = made.network(images).argmax(1).numpy()
    right = (answers == world.validation.labels).mean()
    assert made.history[-1]["val_accuracy"] == pytest.approx(right)


def test_statistics_come_from_images_as_hard_as_those_that_are_learnt_from(world):
    made = Trainer(world, replace(FAST, hardest_share=0.5, averaged_steps=0.5))
    sizes = [len(pixels) for pixels in made._typical(4)]
    assert sizes == [made.recipe.learnt_from(len(labels)) for _, labels in made.batches(5)][:5]
