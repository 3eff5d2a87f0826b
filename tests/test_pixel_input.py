import numpy as np
import torch
from torch import Tensor, nn

from tinyscope.models.pixel_input import PixelInput


def test_pixels_are_normalized_channel_by_channel_and_turned_into_planes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    mean, deviation = [120.0, 100.0, 3.5], [60.0, 0.5, 80.0]
    out = PixelInput(nn.Identity(), mean=mean, deviation=deviation)(torch.from_numpy(pixels))
    expected = ((pixels - np.array(mean)) / np.array(deviation)).transpose(0, 3, 1, 2)
    assert out.shape == (2, 3, 4, 5)
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_planes_are_in_channels_last_layout_without_a_copy() -> None:
    seen: list[Tensor] = []
    network = PixelInput(nn.Identity(), mean=[0.0] * 3, deviation=[255.0] * 3)
    network.network.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    network(torch.zeros(2, 4, 4, 3, dtype=torch.uint8))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_float_pixels_are_taken_too_and_not_overwritten() -> None:
    pixels = torch.rand(2, 4, 4, 1) * 255
    before = pixels.clone()
    network = PixelInput(nn.Identity(), mean=[10.0], deviation=[2.0])
    torch.testing.assert_close(network(pixels)[:, 0], (before[..., 0] - 10) / 2)
    assert torch.equal(pixels, before)
    whole = pixels.round()
    assert torch.equal(network(whole), network(whole.to(torch.uint8)))


def test_the_normalization_is_stored_with_the_weights_and_not_trained() -> None:
    network = PixelInput(nn.Linear(2, 2), mean=[1.0, 2.0], deviation=[4.0, 8.0])
    state = network.state_dict()
    assert state["mean"].tolist() == [1.0, 2.0]
    assert state["scale"].tolist() == [0.25, 0.125]
    assert {name for name, _ in network.named_parameters()} == {"network.weight", "network.bias"}
    other = PixelInput(nn.Linear(2, 2), mean=[0.0, 0.0], deviation=[1.0, 1.0])
    other.load_state_dict(state)
    assert torch.equal(other.mean, network.mean)
    assert torch.equal(other.scale, network.scale)


def test_what_the_network_is_given_can_be_had_without_it() -> None:
    seen: list[Tensor] = []
    network = PixelInput(nn.Identity(), mean=[100.0, 90.0, 80.0], deviation=[60.0, 50.0, 40.0])
    network.network.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    pixels = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    network(pixels)
    assert torch.equal(network.normalized(pixels), seen[0])
