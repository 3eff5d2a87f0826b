from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinyscope.data.bundled import digits
from tinyscope.data.dataset import ImageDataset, Preprocessing, Splits
from tinyscope.errors import InputError
from tinyscope.models import whitened_cnn, zoo
from tinyscope.models.fast_layers import WhitenedConv2d
from tinyscope.models.views import with_views
from tinyscope.models.whitened_cnn import MeanLinear, WhitenedCNN
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.recipe_book import recipe as recipe_named
from tinyscope.shipping.classifier import load_classifier
from tinyscope.shipping.model_folder import save_model
from tinyscope.training import untrained as untrained_module
from tinyscope.training.trainer import train
from tinyscope.training.untrained import untrained

LEAST_VARIANCE = 5e-4


def correlated(count: int, side: int, channels: int) -> np.ndarray:
    """Random walks along both axes, the channels mixed: neighbours are alike, as in photos."""
    random = np.random.default_rng(0)
    steps = random.normal(size=(count, side, side, channels))
    walks = steps.cumsum(1).cumsum(2) @ random.normal(size=(channels, channels))
    return (128 + 40 * walks / walks.std()).clip(0, 255).astype(np.uint8)


def as_splits(images: np.ndarray, classes: int = 3) -> Splits:
    labels = np.arange(len(images)) % classes
    names = tuple(f"c{number}" for number in range(classes))
    return Splits("made", ImageDataset(images, labels.astype(np.int64), names, "train", "made"))


def built(recipe: Recipe, data: Splits) -> tuple[WhitenedCNN, Tensor]:
    """The recipe's network for that data, and the data's training images as it takes them."""
    torch.manual_seed(0)
    wrapped, _ = untrained(data, recipe)
    assert isinstance(wrapped.network, WhitenedCNN)
    return wrapped.network, wrapped.normalized(torch.from_numpy(data.train.images))


def patches_of(images: Tensor) -> np.ndarray:
    """float64 (places, C*2*2): every 2x2 patch of (N, C, H, W), by numpy's windows."""
    windows = np.lib.stride_tricks.sliding_window_view(images.double().numpy(), (2, 2), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1] * 4)


def network(
    widths: Sequence[int] = (16, 24, 32),
    *,
    depth: int = 2,
    folded: bool = False,
    channels: int = 3,
    classes: int = 7,
) -> WhitenedCNN:
    torch.manual_seed(0)
    return WhitenedCNN(widths, depth=depth, folded=folded, channels=channels, classes=classes)


RECIPE = Recipe(model="whitened-cnn", widths=(8, 16, 16), precision="fp32")

IMAGES = {
    "digits": lambda: digits(),
    "colour walks": lambda: as_splits(correlated(600, 16, 3)),
    "grey walks": lambda: as_splits(correlated(600, 12, 1)),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_whitened_patches_of_training_images_have_a_covariance_of_about_one(kind: str) -> None:
    data = IMAGES[kind]()
    whitened, images = built(RECIPE, data)
    with torch.no_grad():
        values = whitened.whitening(images)
    half = values.shape[1] // 2
    rows = values[:, :half].permute(0, 2, 3, 1).reshape(-1, half).double().numpy()
    covariance = rows.T @ rows / len(rows)
    # A direction of variance v comes out with v / (v + 5e-4): 1 but for the weakest ones.
    variances = np.linalg.eigvalsh(patches_of(images).T @ patches_of(images) / len(rows))
    assert variances.min() > LEAST_VARIANCE
    assert np.median(np.diag(covariance)) > 0.99
    np.testing.assert_allclose(
        np.diag(covariance), np.sort(variances / (variances + LEAST_VARIANCE))[::-1], atol=1e-3
    )
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-3)


@pytest.mark.parametrize("kind", IMAGES)
def test_the_filters_are_numpys_principal_directions_the_strongest_first(kind: str) -> None:
    whitened, images = built(RECIPE, IMAGES[kind]())
    filters = whitened.whitening.weight.detach().flatten(1).double().numpy()
    filters = filters[: len(filters) // 2]
    patches = patches_of(images)
    _, scales, directions = np.linalg.svd(patches / len(patches) ** 0.5, full_matrices=False)
    expected = directions / np.sqrt(scales**2 + LEAST_VARIANCE)[:, None]
    signs = np.sign((filters * expected).sum(1))
    np.testing.assert_allclose(filters * signs[:, None], expected, rtol=1e-3, atol=2e-3)
    lengths = np.linalg.norm(filters, axis=1)
    assert (np.diff(lengths) > 0).all(), "the stronger a direction, the less it is blown up"


@pytest.mark.parametrize("kind", IMAGES)
def test_a_folded_network_whitens_with_the_same_filters_of_one_sign(kind: str) -> None:
    data = IMAGES[kind]()
    whitened, _ = built(RECIPE, data)
    folded, _ = built(RECIPE.changed({"model": "whitened-cnn-folded"}), data)
    assert whitened.whitening is not None
    filters = whitened.whitening.weight.detach()
    first = folded.groups[0].convolutions[0]
    assert torch.equal(first.filters, filters[: len(filters) // 2])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("seen", [False, True])
def test_every_filter_comes_with_both_signs_and_is_not_trained(channels: int, seen: bool) -> None:
    whitened = network(channels=channels)
    if seen:
        images = torch.from_numpy(correlated(50, 9, channels)).permute(0, 3, 1, 2)
        whitened.initialise_from((images - 128.0) / 40)
    filters = whitened.whitening.weight
    assert filters.shape == (8 * channels, channels, 2, 2)
    assert torch.equal(filters[: 4 * channels], -filters[4 * channels :])
    assert not filters.requires_grad
    assert whitened.whitening.bias is None


def test_directions_without_any_variance_are_not_blown_up() -> None:
    # The same value in all pixels: 1 direction of 12 has a variance, the others have none.
    values = torch.randn(200, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    whitened = network()
    whitened.initialise_from(values.expand(200, 3, 8, 8))
    filters = whitened.whitening.weight.flatten(1)
    assert filters.isfinite().all()
    torch.testing.assert_close(filters[1:12].norm(dim=1), torch.full((11,), LEAST_VARIANCE**-0.5))
    torch.testing.assert_close(filters[0].abs(), filters[0].abs().mean().expand(12))


def test_without_images_the_filters_are_the_pixels_of_a_patch() -> None:
    filters = network(channels=3).whitening.weight.flatten(1)
    assert torch.equal(filters, torch.cat([torch.eye(12), -torch.eye(12)]))


def test_two_thousand_images_at_most_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(WhitenedCNN, "initialise_from", lambda self, some: seen.append(len(some)))
    # Every image, every second one, every third one.
    for count in (1, 2000, 2001, 4000, 5000):
        untrained(as_splits(np.zeros((count, 8, 8, 1), np.uint8), 2), RECIPE)
    assert seen == [1, 2000, 1001, 2000, 1667]


def test_fewer_large_images_are_looked_at_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the images' area: 64 of 256 by 256 have as many pixels."""
    pieces: list[int] = []
    products = whitened_cnn._products

    def noted(images: torch.Tensor) -> torch.Tensor:
        pieces.append(len(images))
        return products(images)

    monkeypatch.setattr(whitened_cnn, "_products", noted)
    monkeypatch.setattr(untrained_module, "_PIXELS_TO_START_FROM", 9 * 256 * 256)
    untrained(as_splits(np.zeros((18, 256, 256, 1), np.uint8), 2), RECIPE)
    assert pieces == [3, 3, 3]


def test_a_backbone_is_for_studies() -> None:
    with pytest.raises(InputError) as told:
        untrained(as_splits(np.zeros((4, 8, 8, 1), np.uint8), 2), recipe_named("transfer"))
    assert str(told.value) == (
        'model = "transfer" begins with a backbone, which only a study loads: use tinyscope.run, '
        "or another recipe."
    )


def folded_first(images: Tensor, *, outputs: int = 20) -> WhitenedConv2d:
    """A folded network's first convolution, its filters those of the images, (N, C, H, W)."""
    whitened = network((outputs,), folded=True, channels=images.shape[1])
    whitened.initialise_from(images)
    first = whitened.groups[0].convolutions[0]
    assert isinstance(first, WhitenedConv2d)
    return first


def in_two_steps(first: WhitenedConv2d, images: Tensor) -> Tensor:
    """What a folded convolution is for: patches of a bordered image are whitened, then convolved.

    The border is one pixel and a half; what is more than an even number of places is left out.
    """
    values = F.conv2d(F.conv2d(F.pad(images, (1, 1, 1, 1)), first.filters), first.weight)
    high, wide = ((side - 1) // 2 * 2 for side in images.shape[2:])
    return values[:, :, :high, :wide]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(3, 4), (8, 9), (16, 16), (21, 32)])
def test_a_folded_convolution_gives_what_whitening_and_convolution_give(
    channels: int, size: tuple[int, int]
) -> None:
    images = torch.randn(40, channels, *size, dtype=torch.float64).cumsum(2).cumsum(3)
    first = folded_first(images.float()).double()
    found, expected = first(images), in_two_steps(first, images)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)
    into_kernel = [
        torch.autograd.grad(values.sin().sum(), first.weight)[0] for values in (found, expected)
    ]
    torch.testing.assert_close(*into_kernel)


def test_in_bfloat16_a_folded_kernel_is_made_in_float32_still() -> None:
    first = folded_first(torch.randn(40, 3, 8, 8))
    exact = first.on_pixels()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(first.on_pixels(), exact)
        assert first(torch.randn(2, 3, 8, 8)).dtype == torch.bfloat16


@pytest.mark.parametrize(("into", "out"), [(24, 64), (24, 24), (24, 8)])
def test_a_new_kernel_passes_its_inputs_through(into: int, out: int) -> None:
    [group] = WhitenedCNN((out,), channels=into // 8, classes=2).groups
    values = torch.randn(2, into, 4, 6)
    first, second = group.convolutions
    passed = min(into, out)
    torch.testing.assert_close(first(values)[:, :passed], values[:, :passed])
    values = torch.randn(2, out, 5, 6)
    torch.testing.assert_close(second(values), values)


def test_the_rest_of_a_new_kernel_is_torchs_own_random_start() -> None:
    torch.manual_seed(0)
    [group] = WhitenedCNN((200,), channels=3, classes=2).groups
    others = group.convolutions[0].weight[24:].detach()
    limit = (24 * 9) ** -0.5
    assert 0.98 * limit < others.abs().max() <= limit
    assert others.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)


def written_out(whitened: WhitenedCNN, images: Tensor, *, depth: int) -> Tensor:
    """The network from its state alone, layer by layer as in the paper, in training mode."""
    state = whitened.state_dict()

    def norm(values: Tensor, name: str) -> Tensor:
        mean = values.mean((0, 2, 3), keepdim=True)
        variance = values.var((0, 2, 3), unbiased=False, keepdim=True)
        return (values - mean) / (variance + 1e-3).sqrt() + state[f"{name}.bias"][:, None, None]

    def silu(values: Tensor) -> Tensor:
        return values * torch.sigmoid(values)

    values = images
    for number in range(len(whitened.groups)):
        name = f"groups.{number}"
        kernel = state[f"{name}.convolutions.0.weight"]
        if number:
            values = F.conv2d(values, kernel, padding=1)
        elif whitened.whitening is None:
            patches = F.conv2d(F.pad(values, (1, 1, 1, 1)), state[f"{name}.convolutions.0.filters"])
            values = F.conv2d(patches, kernel)
        else:
            values = F.conv2d(silu(F.conv2d(values, state["whitening.weight"])), kernel, padding=1)
        values = values.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        values = silu(norm(values, f"{name}.norms.0"))
        kept = values
        for place in range(1, depth):
            values = F.conv2d(values, state[f"{name}.convolutions.{place}.weight"], padding=1)
            values = norm(values, f"{name}.norms.{place}")
            if depth > 2 and place == depth - 1:
                values = values + kept
            values = silu(values)
    values = values.flatten(2).max(2).values
    return values @ state["head.weight"].T / values.shape[1]


@pytest.mark.parametrize("inputs", [1, 3, 64])
def test_the_heads_outputs_are_means_over_its_weighed_inputs(inputs: int) -> None:
    head = MeanLinear(inputs, 4)
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    values = torch.randn(5, inputs)
    with torch.no_grad():
        weighed = values[:, None] * head.weight  # (5, 4, inputs)
        torch.testing.assert_close(head(values), weighed.mean(2))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (19, 33)])
def test_the_network_computes_what_its_layers_written_out_do(
    depth: int, size: tuple[int, int], folded: bool
) -> None:
    whitened = network(depth=depth, folded=folded)
    for module in whitened.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)  # at 0 their absence would not show
    images = torch.randn(6, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(
            whitened(images), written_out(whitened, images, depth=depth), rtol=1e-3, atol=1e-4
        )


def test_norms_have_an_offset_no_scale_and_quick_statistics() -> None:
    whitened = network().train()
    norms = [each for each in whitened.modules() if isinstance(each, nn.BatchNorm2d)]
    assert len(norms) == 6
    assert all(each.bias.requires_grad and not each.weight.requires_grad for each in norms)
    seen: list[Tensor] = []
    norms[0].register_forward_hook(lambda module, args, out: seen.append(args[0]))
    whitened(torch.randn(8, 3, 16, 16))
    torch.testing.assert_close(norms[0].running_mean, 0.4 * seen[0].detach().mean((0, 2, 3)))


def test_what_is_trained_are_kernels_offsets_and_the_head() -> None:
    # Kernels 24*16*9 + 16*16*9 + 16*24*9 + 24*24*9 + 24*32*9 + 32*32*9, offsets 2 * (16 + 24 + 32),
    # a head of 32*7 without bias.
    whitened = network()
    trained = sum(each.numel() for each in whitened.parameters() if each.requires_grad)
    kernels = 24 * 16 + 16 * 16 + 16 * 24 + 24 * 24 + 24 * 32 + 32 * 32
    assert trained == 9 * kernels + 2 * (16 + 24 + 32) + 32 * 7


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("side", [3, 8, 9, 13, 24, 32, 64, 96])
def test_images_of_any_size_are_taken_by_any_number_of_groups(side: int, folded: bool) -> None:
    for groups in range(1, 6):
        whitened = network([8] * groups, folded=folded).eval()
        with torch.no_grad():
            logits = whitened(torch.randn(2, 3, side, side + 1))
        assert logits.shape == (2, 7)
        assert logits.isfinite().all()


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("side", [8, 15, 96])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model", ["whitened-cnn", "whitened-cnn-folded"])
def test_a_step_reaches_every_trained_parameter_for_any_classes(
    classes: int, side: int, channels: int, model: str
) -> None:
    torch.manual_seed(0)
    whitened = zoo.build(
        model,
        widths=(8, 12),
        depth=3,
        channels=channels,
        classes=classes,
        height=side,
        width=side,
    )
    logits = whitened(torch.randn(4, channels, side, side))
    assert logits.shape == (4, classes)
    F.cross_entropy(logits, torch.arange(4) % classes).backward()
    for name, parameter in whitened.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_the_same_seed_gives_the_same_weights_and_reset_gives_new_ones() -> None:
    first, second = network(), network()
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    second.reset()
    assert torch.equal(first.whitening.weight, second.whitening.weight)
    assert not torch.equal(first.head.weight, second.head.weight)
    into, *_ = (each.convolutions[0].weight for each in first.groups[1:])
    other, *_ = (each.convolutions[0].weight for each in second.groups[1:])
    assert torch.equal(into[:16], other[:16]), "what passes through"
    assert not torch.equal(into[16:], other[16:])


@pytest.mark.parametrize("views", ["one", "mirrored", "mirrored-and-moved"])
@pytest.mark.parametrize(("depth", "channels"), [(2, 3), (3, 1)])
def test_a_saved_network_answers_with_the_same_shape_filters_and_views(
    tmp_path: Path, views: str, depth: int, channels: int
) -> None:
    data = as_splits(correlated(40, 11, channels))
    shape = {"depth": depth, "widths": [8, 12]}
    recipe = RECIPE.changed({**shape, "horizontal_flip": True, "test_views": views})
    torch.manual_seed(0)
    wrapped, _ = untrained(data, recipe)
    wrapped.eval()
    save_model(
        tmp_path,
        wrapped,
        recipe=recipe,
        class_names=data.train.class_names,
        preprocessing=Preprocessing(11, 11, channels),
        card={},
    )
    loaded = load_classifier(tmp_path)
    pixels = torch.from_numpy(data.train.images)
    with torch.inference_mode():
        assert torch.equal(loaded.network(pixels), with_views(wrapped, views)(pixels))


def strokes(count: int) -> Splits:
    """White lines of one pixel on black in four directions, as handwriting has them."""
    random = np.random.default_rng(0)
    images, labels = np.zeros((count, 28, 28, 1), np.uint8), np.arange(count) % 4
    along = np.arange(-6, 7)
    for image, label in zip(images, labels, strict=True):
        row, column = random.integers(9, 19, 2)
        down, across = [(0, 1), (1, 0), (1, 1), (1, -1)][label]
        image[row + down * along, column + across * along] = 255
    names = ("across", "down", "falling", "rising")
    parts = {
        split: ImageDataset(images[rows], labels[rows], names, split, "strokes")
        for split, rows in (("train", slice(0, -80)), ("validation", slice(-80, None)))
    }
    return Splits("strokes", **parts)


def test_strokes_on_a_flat_ground_are_learnt() -> None:
    """Channels of the last group hardly vary there, and norms must not blow that up."""
    recipe = recipe_named("standard").changed(
        {
            "horizontal_flip": False,
            "alternating_flip": False,
            "test_views": "one",
            "widths": [12, 16, 16],
            "training_sizes": [],
            "hardest_share": 1.0,
            "batch_size": 32,
            "epochs": 5,
            "precision": "fp32",
        }
    )
    trained = train(strokes(320), recipe)
    assert trained.stopped == "all epochs"
    assert trained.history[-1]["val_accuracy"] > 0.9
