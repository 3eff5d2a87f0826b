"""Random changes of whole batches at once, on any device."""

import math
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def flip_and_shift(
    images: Tensor,
    *,
    horizontal_flip: bool,
    vertical_flip: bool,
    shift: int,
    generator: Generator,
    mirrored: Tensor | None = None,
) -> Tensor:
    """Images mirrored with probability 1/2 and moved by up to `shift` pixels along each axis.

    Both are a choice of rows and columns, so one indexing does them together. What a shift uncovers
    is filled by reflection at the border (the border itself not repeated).

    Args:
        images: (N, H, W, C) of any dtype.
        horizontal_flip: whether left and right are exchanged in half of the images.
        vertical_flip: whether top and bottom are.
        shift: in pixels, at most, either way; each distance is as likely as the others.
        generator: source of randomness, on the CPU.
        mirrored: bool (N,) on the CPU, the images whose left and right are exchanged, where that is
            not left to chance.

    Returns:
        A new tensor of the same shape and dtype.
    """
    count, height, width, channels = images.shape

    def places(length: int, flip: bool, chosen: Tensor | None = None) -> Tensor:
        along = torch.arange(length).expand(count, length)
        if shift:
            along = along + torch.randint(-shift, shift + 1, (count, 1), generator=generator)
            along = _reflected(along, length)
        if flip:
            if chosen is None:
                chosen = torch.randint(0, 2, (count,), generator=generator, dtype=torch.bool)
            along = torch.where(chosen[:, None], length - 1 - along, along)
        return along

    rows, columns = places(height, vertical_flip), places(width, horizontal_flip, mirrored)
    rows = rows + height * torch.arange(count)[:, None]
    pixels = (rows[:, :, None] * width + columns[:, None, :]).flatten().to(images.device)
    # Whole pixels of one long list: a quarter of the time of an indexing by image, row and column.
    return images.reshape(-1, channels).index_select(0, pixels).view(images.shape)


def _reflected(places: Tensor, length: int) -> Tensor:
    """Places outside 0 … length-1, mirrored at the ends until they are inside."""
    if length == 1:
        return torch.zeros_like(places)
    period = 2 * (length - 1)
    places = places.remainder(period)
    return torch.minimum(places, period - places)


def rotate_and_zoom(
    images: Tensor, *, rotation: float, zoom: float, generator: Generator
) -> Tensor:
    """Images turned by up to `rotation` degrees and scaled by 1 ± `zoom`, about their middle.

    Bilinear; what comes in from outside is the image's reflection.

    Args:
        images: (N, H, W, C) of 0 … 255, any dtype.
        rotation: degrees, at most, either way.
        zoom: share, at most, in 0 … 0.9.
        generator: source of randomness, on the CPU.

    Returns:
        float32 (N, H, W, C).
    """
    count, height, width = images.shape[:3]
    draws = 2 * torch.rand((2, count), generator=generator) - 1
    angle = draws[0] * math.radians(rotation)
    scale = 1 / (1 + draws[1] * zoom)  # grid_sample asks where a pixel comes from
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    aspect = height / width  # its coordinates run from -1 to 1 along either axis
    zero = torch.zeros(count)
    matrix = torch.stack(
        [
            torch.stack([cosine, -sine * aspect, zero], dim=1),
            torch.stack([sine / aspect, cosine, zero], dim=1),
        ],
        dim=1,
    ).to(images.device)
    planes = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrix, list(planes.shape), align_corners=False)
    moved = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    return moved.permute(0, 2, 3, 1).contiguous()


def cutout(images: Tensor, *, side: int, fill: Tensor, generator: Generator) -> Tensor:
    """Images with a square blanked around a random pixel (DeVries and Taylor, arXiv 1708.04552).

    Args:
        images: (N, H, W, C) of 0 … 255.
        side: of the square, in pixels; parts that fall outside the image are cut off.
        fill: float (C,), the colour of the square; in uint8 images without its fraction.
        generator: source of randomness, on the CPU.

    Returns:
        A new tensor of the same shape and dtype.
    """
    count, height, width = images.shape[:3]

    def inside(length: int) -> Tensor:
        start = torch.randint(0, length, (count, 1), generator=generator) - side // 2
        along = torch.arange(length)[None, :]
        return (along >= start) & (along < start + side)

    blank = (inside(height)[:, :, None] & inside(width)[:, None, :]).to(images.device)
    return torch.where(blank[..., None], fill.to(images.device, images.dtype), images)


def shrunk(images: Tensor, share: float) -> Tensor:
    """Images of a share of their size, antialiased (each pixel a mean of those it covers).

    Args:
        images: (N, H, W, C) of 0 … 255, any dtype; where the share is 1, features too.
        share: of either side, above 0 and at most 1; sides are rounded, to 3 pixels at least.

    Returns:
        float32 (N, h, w, C); the images themselves where nothing shrinks.
    """
    if share == 1:
        return images
    count, height, width, channels = images.shape
    size = _size(height, width, share)
    if size == (height, width):
        return images
    if max(height, width) > _WIDEST_AS_PRODUCTS:
        planes = images.permute(0, 3, 1, 2).float()
        smaller = F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
        return smaller.permute(0, 2, 3, 1)
    rows, of_pixels = _matrices((height, width, channels), size, images.device)
    fewer = torch.matmul(rows, images.float().reshape(count, height, width * channels))
    return (fewer.flatten(0, 1) @ of_pixels).view(count, *size, channels)


def shrinking_flop(shape: Sequence[int], share: float) -> int:
    """Floating-point operations of the products in `shrunk`, for one image (H, W, C)."""
    height, width, channels = shape
    high, wide = size = _size(height, width, share)
    if size == (height, width) or max(height, width) > _WIDEST_AS_PRODUCTS:
        return 0
    return 2 * high * width * channels * (height + wide * channels)


_WIDEST_AS_PRODUCTS = 64
"""Pixels of a side up to which two products of matrices take less time than torch's interpolation
on the CPUs that were measured: two thirds of it, with AMX a third. On a GPU nobody measured."""


def _size(height: int, width: int, share: float) -> tuple[int, int]:
    high, wide = (min(side, max(3, round(share * side))) for side in (height, width))
    return high, wide


@cache
def _matrices(
    shape: tuple[int, int, int], size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """What shrinks images (H, W, C): float32 (h, H) for rows, (W C, w C) for pixels in a row."""
    height, width, channels = shape
    columns = torch.kron(_weights(width, size[1]).T.contiguous(), _eye(channels))
    return _weights(height, size[0]).to(device), columns.to(device)


def _weights(length: int, fewer: int) -> Tensor:
    """How much each of so many pixels counts in each of fewer: float32 (fewer, length)."""
    pixels = _eye(length)[None, None]
    size = (fewer, length)
    weights = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
    return weights[0, 0]


def _eye(size: int) -> Tensor:
    return torch.eye(size, device="cpu")  # whatever device is in force where this is first asked
