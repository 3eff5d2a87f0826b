import pytest
import torch
from torch import nn

from tinyscope.plan.recipe import Recipe
from tinyscope.training.learner import Learner


def test_class_weights_count_whole_in_the_smallest_batch_too():
    """As Keras' class_weight: torch's own mean would divide them out of a single image's loss."""
    recipe = Recipe(model="layer-stack", layers=("flatten",), optimizer="sgd", precision="fp32")
    network = nn.Linear(3, 2, bias=False)
    before = network.weight.detach().clone()
    features, labels = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([1])
    gradients = []
    for weight in (None, torch.tensor([0.5, 4.0])):
        network.load_state_dict({"weight": before})
        learner = Learner(network, recipe, class_weights=weight)
        loss, _ = learner.step(features, labels, rate=1.0, share=1.0)
        by_hand = -(features @ before.T).log_softmax(1)[0, 1] * (1.0 if weight is None else 4.0)
        assert loss.item() == pytest.approx(by_hand.item(), rel=1e-6)
        gradients.append(network.weight.grad.clone())
    assert torch.allclose(gradients[1], 4 * gradients[0])


def test_class_weights_weigh_each_image_whole_where_labels_are_smoothed():
    """By torch's own weights, the part that goes to the rare class would outweigh its own."""
    recipe = Recipe(
        model="layer-stack",
        layers=("flatten",),
        optimizer="sgd",
        precision="fp32",
        label_smoothing=0.2,
    )
    network = nn.Linear(3, 2, bias=False)
    features, labels = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 0, 1])
    shares = (features @ network.weight.detach().T).log_softmax(1)
    target = torch.full((6, 2), 0.1)
    target[range(6), labels] = 0.9
    each = -(target * shares).sum(1) * torch.tensor([0.55, 5.0])[labels]
    learner = Learner(network, recipe, class_weights=torch.tensor([0.55, 5.0]))
    loss, _ = learner.step(features, labels, rate=1.0, share=1.0)
    assert loss.item() == pytest.approx(each.mean().item(), rel=1e-5)
