"""Tests of tinyscope.models.feature_tap."""

import copy
import gc
import threading
import weakref

import pytest
import torch
from torch import Tensor, nn

from tinyscope.errors import InputError
from tinyscope.models.feature_tap import FeatureTap, drop_unused, tap_layers
from tinyscope.models.layer_stack import LayerStack
from tinyscope.models.resnet import ResNet
from tinyscope.models.whitened_cnn import WhitenedCNN


def whitened() -> WhitenedCNN:
    torch.manual_seed(0)
    return WhitenedCNN([8, 12, 16], channels=3, classes=4).eval()


def stack(*layers: str) -> LayerStack:
    return LayerStack(layers, channels=3, classes=4, height=16, width=16).eval()


IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).view(2, 3, 16, 16)


class Bomb(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        raise AssertionError("what lies behind the tap ran")


def test_a_tap_gives_what_the_layer_gives_in_the_whole_network():
    network = whitened()
    seen = []
    network.groups[1].register_forward_hook(lambda *each: seen.append(each[2]))
    network(IMAGES)

    assert torch.equal(FeatureTap(network, "groups.1")(IMAGES), seen[0])
    assert seen[0].shape == (2, 12, 3, 3)


def test_layers_of_any_depth_can_be_tapped_and_the_whole_network_too():
    network = ResNet(1, channels=3, classes=4).eval()

    assert FeatureTap(network, "groups.0.conv_1")(IMAGES).shape == (2, 16, 16, 16)
    assert torch.equal(FeatureTap(network, "")(IMAGES), network(IMAGES))


def test_nothing_behind_the_layer_runs():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), Bomb())
    values = FeatureTap(network, "0")(IMAGES)
    assert values.min() < 0  # the ReLU in place has not run either


def test_the_network_itself_still_runs_to_its_end():
    network = whitened()
    before = network(IMAGES)
    tap = FeatureTap(network, "groups.0")
    tap(IMAGES)

    assert torch.equal(network(IMAGES), before)
    assert torch.equal(tap.network(IMAGES), before)


def test_taps_of_one_network_in_several_threads_do_not_disturb_one_another():
    network = whitened()
    layers = ["groups.0", "groups.2", "whitening", "head", ""]
    expected = {layer: FeatureTap(network, layer)(IMAGES) for layer in layers}
    wrong: list[object] = []
    start = threading.Barrier(len(layers))

    def work(layer: str) -> None:
        tap = FeatureTap(network, layer)
        start.wait()
        try:
            for _ in range(20):
                if not torch.equal(tap(IMAGES), expected[layer]):
                    wrong.append(layer)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(layer,)) for layer in layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_tap_inside_a_tapped_network_ends_only_its_own_part():
    inner = FeatureTap(stack("conv 4 3x3 same", "relu", "flatten"), "0")
    outer = nn.Sequential(inner, nn.Flatten(), nn.LazyLinear(2))
    assert FeatureTap(outer, "1")(IMAGES).shape == (2, 4 * 16 * 16)


def test_a_failing_network_fails_as_it_always_did():
    tap = FeatureTap(nn.Sequential(Bomb(), nn.ReLU()), "1")
    with pytest.raises(AssertionError, match="what lies behind"):
        tap(IMAGES)


def test_gradients_flow_and_those_of_later_layers_stay_none():
    network = whitened()
    FeatureTap(network, "groups.1")(IMAGES).sum().backward()

    assert network.groups[0].convolutions[0].weight.grad is not None
    assert network.groups[2].convolutions[0].weight.grad is None


def test_parameters_have_the_networks_names_behind_a_prefix():
    network = whitened()
    assert list(FeatureTap(network, "groups.1").state_dict()) == [
        f"network.{name}" for name in network.state_dict()
    ]


def test_a_copy_of_a_tap_taps_its_own_network():
    tap = FeatureTap(whitened(), "groups.1")
    twin = copy.deepcopy(tap)
    with torch.no_grad():
        twin.network.whitening.weight.zero_()

    assert not torch.equal(twin(IMAGES), tap(IMAGES))


def test_values_on_the_way_are_freed_without_the_collector():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU())
    held = []
    network[0].register_forward_hook(lambda *each: held.append(weakref.ref(each[2])))
    gc.disable()
    try:
        with torch.no_grad():
            FeatureTap(network, "1")(IMAGES)
        assert held[0]() is None
    finally:
        gc.enable()


def test_layers_that_run_are_listed_two_levels_deep_in_order():
    assert tap_layers(whitened()) == (
        "whitening",
        "groups",
        "groups.0",
        "groups.1",
        "groups.2",
        "head",
    )
    network = nn.ModuleDict({"parts": nn.ModuleList([nn.ReLU(), nn.Identity()])})
    assert tap_layers(network) == ("parts.0",)


def test_a_layer_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(InputError) as caught:
        FeatureTap(whitened(), "group.1")
    assert str(caught.value) == (
        'Unknown layer "group.1". Did you mean "groups.1"? Its layers are: whitening, groups, '
        "groups.0, groups.1, groups.2, head."
    )

    with pytest.raises(InputError) as caught:
        FeatureTap(whitened(), "groups.1.norms")  # a list of layers, which does not run itself
    assert str(caught.value).startswith('Unknown layer "groups.1.norms". Did you mean "groups')


def test_a_layer_that_takes_no_part_is_told():
    network = stack("conv 4 3x3 same", "flatten")
    network.spare = nn.ReLU()
    network.forward = lambda images: network[1](network[0](images))

    with pytest.raises(InputError) as caught:
        FeatureTap(network, "spare")(IMAGES)
    assert str(caught.value) == (
        'Layer "spare" takes no part in the forward pass. Other layers are: 0, 1, 2, spare.'
    )


def test_a_layer_that_gives_no_tensor_is_told():
    class Pair(nn.Module):
        def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
            return values, values

    with pytest.raises(InputError) as caught:
        FeatureTap(nn.Sequential(Pair()), "0")(IMAGES)
    assert str(caught.value) == 'Layer "0" gives tuple, no tensor. Other layers are: 0.'


def test_parameters_that_the_layer_does_not_need_are_dropped_with_their_statistics():
    network = whitened()
    tap = FeatureTap(network, "groups.1")
    before = tap(IMAGES)
    kept = [name for name in tap.state_dict() if ".groups.2." not in name and ".head." not in name]

    drop_unused(tap, IMAGES[:1])

    assert list(tap.state_dict()) == kept
    assert "network.whitening.weight" in kept  # it does not learn, but it is needed
    assert not network.whitening.weight.requires_grad
    assert not network.groups[0].norms[0].weight.requires_grad
    assert network.groups[0].norms[0].bias.requires_grad
    assert torch.equal(tap(IMAGES), before)


def test_a_layer_in_the_middle_of_a_block_keeps_what_comes_before_it_only():
    network = ResNet(1, channels=3, classes=4).eval()
    tap = FeatureTap(network, "groups.1.conv_1")

    drop_unused(tap, IMAGES[:1])

    left = {name for name in tap.state_dict() if name.startswith("network.groups.1")}
    assert left == {"network.groups.1.conv_1.weight"}
