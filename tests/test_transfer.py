import numpy as np
import pytest
import torch
from torch import nn

from tinyscope.errors import InputError
from tinyscope.models.layer_stack import FeatureHead
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import Extractor, TransferNetwork, pooled, resized

BLOCKS = (("0",), ("1", "2"))


def backbone() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5)
    )


def network(**changed) -> TransferNetwork:
    chosen = {"size": None, "pooling": "mean", **changed}
    features = 5 * 6 * 6 if chosen["pooling"] == "flatten" else 5
    return TransferNetwork(backbone(), nn.Linear(features, 3), **chosen)


def images(count=4, side=8) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def trained(net: TransferNetwork) -> set[str]:
    return {name for name, each in net.named_parameters() if each.requires_grad}


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", lambda maps: maps.mean(axis=(2, 3))),
        ("max", lambda maps: maps.max(axis=(2, 3))),
        ("flatten", lambda maps: maps.reshape(len(maps), -1)),
    ],
)
def test_a_map_becomes_a_vector_as_its_pooling_says(pooling, expected):
    maps = images(2, 3)
    np.testing.assert_allclose(pooled(maps, pooling), expected(maps.numpy()), rtol=1e-5)
    vectors = maps[:, :, 0, 0]
    assert pooled(vectors, pooling) is vectors


def test_images_are_brought_to_the_size_of_the_backbone_and_keep_their_aspect():
    wide = torch.randn(2, 3, 8, 16)
    assert resized(wide, 8) is wide
    assert resized(wide, 12).shape == (2, 3, 12, 24)
    assert resized(wide, 4).shape == (2, 3, 4, 8)
    # Going down by two, antialiased: each pixel is a mean of those around it; a constant stays.
    assert torch.allclose(resized(torch.full((1, 1, 8, 8), 3.0), 4), torch.tensor(3.0))
    # Going up is Pillow's bilinear too, which needs no antialiasing then.
    from PIL import Image

    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    expected = np.asarray(Image.fromarray(values).resize((12, 12), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(
        resized(torch.from_numpy(values)[None, None], 12)[0, 0], expected, rtol=1e-5, atol=1e-4
    )


def test_checkerboards_do_not_survive_shrinking():
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)[None, None]
    assert resized(board, 8).abs().max() < 0.2


def test_what_is_frozen_does_not_learn_nor_change_its_averages():
    net = network()
    net.freeze(BLOCKS, unfrozen=0)
    assert trained(net) == {"head.weight", "head.bias"}
    net.train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    assert torch.equal(net(images()), net(images()))  # no dropout either
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert net.head.training


def test_the_last_blocks_are_the_ones_that_learn():
    net = network()
    net.freeze(BLOCKS, unfrozen=1)
    assert trained(net) == {
        "head.weight", "head.bias",
        "backbone.1.weight", "backbone.1.bias", "backbone.2.weight", "backbone.2.bias",
    }  # fmt: skip
    net.train()
    assert net.backbone[1].training
    assert not net.backbone[0].training
    before = net.backbone[2].running_mean.clone()
    assert torch.equal(net(images()), net.eval()(images()))  # batches do not count
    assert torch.equal(net.backbone[2].running_mean, before)
    other = network()
    other.freeze(BLOCKS, unfrozen=2)
    assert trained(other) == {name for name, _ in other.named_parameters()}


def test_what_never_learns_in_a_backbone_does_not_learn_here():
    net = network()
    net.backbone[0].weight.requires_grad_(False)
    net.freeze(BLOCKS, unfrozen=2)
    assert "backbone.0.weight" not in trained(net)
    assert "backbone.0.bias" in trained(net)


def test_more_blocks_than_there_are_cannot_be_unfrozen():
    with pytest.raises(InputError) as told:
        network().freeze(BLOCKS, unfrozen=3)
    assert str(told.value) == "unfrozen_blocks = 3: this backbone has 2 blocks; expected 0 to 2."


def test_an_extractor_gives_what_the_head_is_given():
    net = network(size=8, pooling="flatten").eval()
    wrapped = PixelInput(net, mean=[10.0, 20.0, 30.0], deviation=[2.0, 3.0, 4.0]).eval()
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    with torch.no_grad():
        features = Extractor(wrapped)(pixels)
        assert features.shape == (3, 180)
        torch.testing.assert_close(net.head(features), wrapped(pixels))
        by_hand = (pixels.double() - torch.tensor([10.0, 20, 30])) / torch.tensor([2.0, 3, 4])
        by_hand = resized(by_hand.float().permute(0, 3, 1, 2), 8)
        torch.testing.assert_close(net.backbone(by_hand).flatten(1), features)


def test_grey_images_reach_a_backbone_for_colours():
    wrapped = PixelInput(network(), mean=[10.0, 20.0, 30.0], deviation=[2.0, 3.0, 4.0]).eval()
    grey = torch.randint(0, 256, (3, 8, 8, 1), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(wrapped(grey), wrapped(grey.expand(3, 8, 8, 3)))


def test_a_head_is_a_stack_of_layers_on_vectors():
    head = FeatureHead(["batchnorm", "dense 7 relu", "dropout 0.5"], features=5, classes=3)
    assert [type(each).__name__ for each in head] == [
        "BatchNorm1d", "Linear", "ReLU", "BitDropout", "Linear",
    ]  # fmt: skip
    assert head(torch.randn(4, 5)).shape == (4, 3)


@pytest.mark.parametrize("line", ["conv 8 3x3 same", "maxpool 2", "globalpool"])
def test_a_layer_for_images_is_refused_in_a_head(line):
    with pytest.raises(InputError) as told:
        FeatureHead(["relu", line], features=5, classes=3)
    assert str(told.value) == (
        f'layer 2 ("{line}") needs an image, but the layers before it flatten it.'
    )
