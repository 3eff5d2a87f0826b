import math

import numpy as np
import pytest
import torch
from scipy.linalg import polar
from scipy.optimize import linprog
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tinyscope.models.whitened_cnn import MeanLinear
from tinyscope.plan.recipe import Recipe
from tinyscope.training.muon import COEFFICIENTS, Muon, flop, orthogonalised
from tinyscope.training.optimizers import build_optimizer

SHAPES = [(16, 144), (144, 16), (24, 24), (1, 9), (9, 1), (64, 65)]


def random_matrix(rows: int, columns: int, *, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def with_singular_values(values: np.ndarray, columns: int) -> np.ndarray:
    """float64 (R, C) of random singular vectors, C at least R."""
    random = np.random.default_rng(0)
    left, _ = np.linalg.qr(random.normal(size=(len(values), len(values))))
    right, _ = np.linalg.qr(random.normal(size=(columns, len(values))))
    return left @ np.diag(values) @ right.T


def iterated(matrix: np.ndarray) -> np.ndarray:
    """The iteration as it is published, on X itself, in float64."""
    values = matrix.astype(np.float64)
    tall = len(values) > values.shape[1]
    values = values.T if tall else values
    values = values / (1.01 * np.linalg.norm(values))
    for a, b, c in COEFFICIENTS:
        square = values @ values.T
        values = a * values + (b * square + c * square @ square) @ values
    return values.T if tall else values


def best_quintic(least: float, most: float) -> tuple[np.ndarray, float]:
    """a, b and c of the a x + b x^3 + c x^5 nearest to 1 on least … most, and how far it is off."""
    places = np.geomspace(least, most, 3000)
    powers = np.stack([places, places**3, places**5], axis=1)
    off = np.ones((len(places), 1))
    found = linprog(
        [0, 0, 0, 1],
        A_ub=np.block([[powers, -off], [-powers, -off]]),
        b_ub=np.concatenate([np.ones(len(places)), -np.ones(len(places))]),
        bounds=[(None, None)] * 3 + [(0, None)],
    )
    return found.x[:3], found.x[3]


def test_each_steps_polynomial_is_the_best_for_what_those_before_it_leave() -> None:
    least, most = 0.03, 1.0
    for coefficients in COEFFICIENTS:
        best, off = best_quintic(least, most)
        np.testing.assert_allclose(coefficients, best, rtol=1e-3)
        least, most = 1 - off, 1 + off
    assert (least, most) == pytest.approx((0.964, 1.036), abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_steps_on_the_square_equal_those_on_the_matrix_itself(shape: tuple[int, int]) -> None:
    matrix = random_matrix(*shape)
    [found] = orthogonalised([matrix])
    assert found.shape == shape
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), iterated(matrix.numpy()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (64, 576), (256, 300)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_matrix_comes_near_the_orthogonal_one_that_scipy_finds(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    # All singular values of these lie above 0.03 of the norm, but for the nearly square one's.
    matrix = random_matrix(*shape)
    [found] = orthogonalised([matrix], dtype=dtype)
    nearest, _ = polar(matrix.double().numpy())
    off = np.linalg.norm(found.double().numpy() - nearest) / np.linalg.norm(nearest)
    assert off < (0.25 if shape == (256, 300) else 0.04)


@pytest.mark.parametrize("shape", [*SHAPES, (256, 2304)])
@pytest.mark.parametrize("rank", [1, 4, 1000])
def test_bfloat16_adds_no_more_than_its_own_digits(shape: tuple[int, int], rank: int) -> None:
    """Of few directions too, where one holds all of the norm and rounding fills the others."""
    rows, columns = shape
    matrix = random_matrix(*shape)
    if rank < min(shape):
        matrix = random_matrix(rows, rank) @ random_matrix(rank, columns, seed=1)
    [exact], [rounded] = orthogonalised([matrix]), orthogonalised([matrix], dtype=torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() / exact.norm() < 0.15
    assert torch.linalg.matrix_norm(rounded, 2) < 1.1


@pytest.mark.parametrize("spread", [1, 3, 10])
def test_singular_values_come_near_one_and_their_vectors_stay(spread: float) -> None:
    values = np.geomspace(spread, 1, 20)
    matrix = with_singular_values(values, 50)
    [found] = orthogonalised([torch.from_numpy(matrix)])
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    between = left.T @ found.double().numpy() @ right.T
    assert (np.diag(between) > 0.95).all()
    assert (np.diag(between) < 1.05).all()
    if spread > 1:  # equal singular values leave their vectors open
        np.testing.assert_allclose(between - np.diag(np.diag(between)), 0, atol=1e-3)
    nearest = left @ right
    assert np.linalg.norm(found.numpy() - nearest, 2) < 0.05


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_length_of_a_matrix_does_not_matter(scale: float) -> None:
    matrix = random_matrix(8, 30)
    [plain], [scaled] = orthogonalised([matrix]), orthogonalised([scale * matrix])
    torch.testing.assert_close(scaled, plain, rtol=1e-3, atol=1e-4)


def test_a_matrix_of_zeros_stays_one_and_harms_no_other() -> None:
    matrix = random_matrix(4, 9)
    none, some = orthogonalised([torch.zeros(4, 9), matrix])
    assert torch.equal(none, torch.zeros(4, 9))
    torch.testing.assert_close(some, orthogonalised([matrix])[0])


def test_matrices_of_many_shapes_together_give_what_each_gives_alone() -> None:
    shapes = [(8, 20), (30, 8), (8, 8), (12, 50), (8, 90), (12, 12), (50, 12)]
    matrices = [random_matrix(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    before = [matrix.clone() for matrix in matrices]
    for matrix, found in zip(matrices, orthogonalised(matrices), strict=True):
        assert found.shape == matrix.shape
        np.testing.assert_allclose(found.numpy(), iterated(matrix.numpy()), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(one, other) for one, other in zip(before, matrices, strict=True))
    assert orthogonalised([]) == []


@pytest.mark.parametrize("shape", [(64, 24, 3, 3), (256, 64, 3, 3), (300, 20), (24, 3, 2, 2)])
def test_the_operations_are_those_that_torch_counts(shape: tuple[int, ...]) -> None:
    counter = FlopCounterMode(display=False)
    with counter:
        orthogonalised([torch.ones(shape[0], math.prod(shape[1:]))])
    assert flop(shape) == counter.get_total_flops()


def kernels_step(
    kernel: Tensor, gradients: list[Tensor], *, momentum: float, rate: float
) -> Tensor:
    """Some steps of one optimizer on one kernel."""
    parameter = nn.Parameter(kernel.clone(memory_format=torch.preserve_format))
    optimizer = Muon(
        [{"params": [parameter], "lr": rate, "momentum": momentum, "orthogonal": True}]
    )
    for gradient in gradients:
        parameter.grad = gradient.clone(memory_format=torch.preserve_format)
        optimizer.step()
    return parameter.detach()


def by_hand(
    kernel: np.ndarray, gradients: list[np.ndarray], *, momentum: float, rate: float
) -> np.ndarray:
    """The same in float64: Nesterov's momentum, rows of norm 1 on average, the published steps."""
    moving = np.zeros_like(kernel, dtype=np.float64)
    for gradient in gradients:
        moving = momentum * moving + gradient
        ahead = gradient + momentum * moving
        rows = (kernel.reshape(len(kernel), -1) ** 2).sum(1)
        kernel = kernel / np.sqrt(rows.mean())
        turned = iterated(ahead.reshape(len(kernel), -1)).reshape(kernel.shape)
        kernel = kernel - rate * turned
    return kernel


@pytest.mark.parametrize(
    "shape", [(16, 8, 3, 3), (8, 16, 3, 3), (60, 4, 3, 3), (12, 30), (5, 1, 2, 2)]
)
def test_steps_are_those_worked_out_by_hand(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    kernel, *gradients = (torch.randn(shape) for _ in range(5))
    found = kernels_step(kernel, gradients, momentum=0.6, rate=0.24)
    expected = by_hand(
        kernel.double().numpy(), [each.numpy() for each in gradients], momentum=0.6, rate=0.24
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-3, atol=2e-3)


LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (8, 16, 3, 3), (8, 1, 3, 3), (8, 4, 1, 1)])
@pytest.mark.parametrize("kernels_layout", LAYOUTS)
@pytest.mark.parametrize("gradients_layout", LAYOUTS)
def test_a_step_is_the_same_whether_kernels_and_gradients_lie_channels_last_or_not(
    shape: tuple[int, ...],
    kernels_layout: torch.memory_format,
    gradients_layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    kernel, *gradients = (torch.randn(shape) for _ in range(4))
    plain = kernels_step(kernel, gradients, momentum=0.6, rate=0.24)
    laid_out = kernels_step(
        kernel.contiguous(memory_format=kernels_layout),
        [each.contiguous(memory_format=gradients_layout) for each in gradients],
        momentum=0.6,
        rate=0.24,
    )
    assert laid_out.is_contiguous(memory_format=kernels_layout)
    torch.testing.assert_close(laid_out, plain, rtol=1e-3, atol=1e-4)


def test_before_a_step_a_kernels_rows_are_brought_to_norm_one_on_average() -> None:
    kernel = 7 * torch.randn(6, 5, 3, 3)
    found = kernels_step(kernel, [torch.randn(6, 5, 3, 3)], momentum=0.6, rate=0.0)
    assert found.flatten(1).square().sum(1).mean().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(found / found.norm(), kernel / kernel.norm())


def test_a_kernel_without_a_gradient_stays_and_so_does_one_that_is_zero() -> None:
    still, zero = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.zeros(3, 4))
    zero.grad = torch.zeros(3, 4)
    group = {"params": [still, zero], "lr": 0.1, "momentum": 0.5, "orthogonal": True}
    Muon([group]).step()
    assert torch.equal(still, torch.ones(3, 4))
    assert torch.equal(zero, torch.zeros(3, 4))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.85])
def test_what_is_no_kernel_moves_as_in_torchs_nesterov_sgd_of_a_converted_rate(
    momentum: float,
) -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(4, 5)) for _ in range(2))
    mine = Muon([{"params": [ours], "lr": 0.3, "momentum": momentum, "orthogonal": False}])
    reference = torch.optim.SGD(
        [theirs], 0.3 * (1 - momentum), momentum=momentum, nesterov=momentum > 0
    )
    for _ in range(10):
        gradient = torch.randn(4, 5)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        reference.step()
        assert torch.equal(ours.grad, gradient)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_rate_is_what_one_gradient_moves_a_parameter_by_in_all() -> None:
    for momentum in (0.0, 0.5, 0.9):
        parameter = nn.Parameter(torch.zeros(1))
        group = {"params": [parameter], "lr": 0.3, "momentum": momentum, "orthogonal": False}
        optimizer = Muon([group])
        for step in range(400):
            parameter.grad = torch.tensor([1.0 if step == 0 else 0.0])
            optimizer.step()
        assert parameter.item() == pytest.approx(-0.3, rel=1e-4)


def test_the_recipe_shares_parameters_out_among_kernels_head_and_offsets() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 2)
    )
    network[1].weight.requires_grad_(False)
    recipe = Recipe(
        optimizer="muon",
        learning_rate=0.2,
        head_learning_rate=3.0,
        offset_learning_rate=0.4,
        momentum=0.6,
        sgd_momentum=0.8,
    )
    optimizer = build_optimizer(recipe, network)
    assert isinstance(optimizer, Muon)
    names = {id(each): name for name, each in network.named_parameters()}
    found = [
        (
            [names[id(each)] for each in group["params"]],
            group["lr"],
            group["initial_lr"],
            group["momentum"],
            group["orthogonal"],
        )
        for group in optimizer.param_groups
    ]
    assert found == [
        (["0.weight", "3.weight"], 0.2, 0.2, 0.6, True),
        # The head takes 8 inputs: 3 / 8^2 and 0.4 / (2 x 8).
        (["4.weight"], 0.046875, 0.046875, 0.8, False),
        (["0.bias", "1.bias", "3.bias", "4.bias"], 0.025, 0.025, 0.8, False),
    ]


def test_beside_a_head_whose_outputs_are_means_the_recipes_rates_are_taken_as_they_are() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), MeanLinear(8, 2))
    recipe = Recipe(optimizer="muon", head_learning_rate=3.0, offset_learning_rate=0.4)
    kernels, head, offsets = build_optimizer(recipe, network).param_groups
    assert [each is network[2].weight for each in head["params"]] == [True]
    assert (kernels["lr"], head["lr"], offsets["lr"]) == (0.1, 3.0, 0.4)


def test_the_same_function_learns_the_same_whether_its_head_adds_up_or_takes_the_mean() -> None:
    torch.manual_seed(0)
    mean, plain = MeanLinear(8, 3), nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        plain.weight.copy_(mean.weight / 8)
    before = plain.weight.detach().clone()
    recipe = Recipe(optimizer="muon", head_learning_rate=0.5)
    optimizers = [build_optimizer(recipe, each) for each in (mean, plain)]
    for _ in range(5):
        values, labels = torch.randn(16, 8), torch.arange(16) % 3
        for network, optimizer in zip((mean, plain), optimizers, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(values), labels, reduction="sum").backward()
            optimizer.step()
    torch.testing.assert_close(mean.weight / 8, plain.weight)
    assert not torch.allclose(plain.weight, before, atol=0.01)


def test_a_network_of_a_head_alone_and_one_without_are_optimized_too() -> None:
    recipe = Recipe(optimizer="muon")
    [head] = build_optimizer(recipe, nn.Linear(3, 2, bias=False)).param_groups
    assert (head["lr"], head["orthogonal"]) == (0.5, False)  # of 3 inputs: 4.5 / 3^2
    [kernels] = build_optimizer(recipe, nn.Conv2d(3, 2, 1, bias=False)).param_groups
    assert (kernels["lr"], kernels["orthogonal"]) == (0.1, True)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_kernels_are_orthogonalised_in_the_recipes_precision(precision: str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 16, 3, bias=False)
    recipe = Recipe(optimizer="muon", learning_rate=0.2, momentum=0.0, precision=precision)
    optimizer = build_optimizer(recipe, layer)
    layer.weight.grad = torch.randn_like(layer.weight)
    before = layer.weight.detach() * 4 / layer.weight.detach().norm()
    optimizer.step()
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    gradient = layer.weight.grad.permute(0, 2, 3, 1)  # as channels-last kernels lie
    [turn] = orthogonalised([gradient.flatten(1)], dtype=dtype)
    expected = before - 0.2 * turn.view_as(gradient).permute(0, 3, 1, 2)
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-4, atol=1e-5)
