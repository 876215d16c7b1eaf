"""Where and in which numbers a network runs: the device, and bfloat16 where it pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch

from sparse_ir.encoders.options import Precision
from sparse_ir.errors import InvalidInputError

_WORTH = 1.5  # bfloat16 must be so much faster to be worth its rounding; with AMX it is about 10


def choose_device(wanted: str) -> torch.device:
    """The device of this name; ``auto`` is a GPU if there is one.

    Raises:
        InvalidInputError: torch knows no such device here.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).split("\n", 1)[0]
        raise InvalidInputError(
            f"device is {wanted!r}; want auto, cpu, or one that is here ({reason})"
        ) from error
    return device


def choose_dtype(wanted: Precision, device: torch.device) -> torch.dtype:
    """The type of the numbers that are multiplied."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if bfloat16_pays(device) else torch.float32


def bfloat16_pays(device: torch.device) -> bool:
    """Whether products in bfloat16 are much faster on this processor; False on others than CPUs."""
    return device.type == "cpu" and _is_faster()


@cache
def _is_faster() -> bool:
    """Measures one product of the shape that encoding spends its time on, about 50 ms."""
    left, right = torch.ones(1024, 384), torch.ones(384, 1024)
    halves = left.bfloat16(), right.bfloat16()
    with torch.inference_mode():
        return _seconds(lambda: left @ right) > _WORTH * _seconds(lambda: halves[0] @ halves[1])


def _seconds(product: Callable[[], torch.Tensor]) -> float:
    product()
    best = float("inf")
    for _ in range(7):  # the fastest: others may be using the processor
        start = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - start)
    return best
