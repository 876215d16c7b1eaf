"""Where and in which numbers a network runs: the device, and bfloat16 where it pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch

from sparse_ir.encoders.options import Precision
from sparse_ir.errors import InvalidInputError

# With AMX bfloat16 is about 10 times as fast, with AVX-512 BF16 about 2, with less no faster
# where it was tried: in between, so that every run on one machine chooses alike, and an index is
# never half in one and half in the other.
_WORTH = 1.4
_EMULATED = 0.1  # .03 on a processor that knows AVX2; few rows do not fill AMX, but come near 1


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
    """Whether products in bfloat16 are faster on this processor; False on others than CPUs."""
    return device.type == "cpu" and _is_faster()


@cache
def _is_faster() -> bool:
    """Measures one product of the shape that encoding spends its time on, about 50 ms.

    One thread and its own CPU time: other work on the machine must not change the answer. A few
    rows come first: where bfloat16 is emulated, all would take seconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _ratio(n_rows=16) > _EMULATED and _ratio(n_rows=1024) > _WORTH
    finally:
        torch.set_num_threads(threads)


def _ratio(n_rows: int) -> float:
    """How many times as long a product in float32 takes as in bfloat16."""
    left, right = torch.ones(n_rows, 384), torch.ones(384, 1024)
    halves = left.bfloat16(), right.bfloat16()
    with torch.inference_mode():
        return _seconds(lambda: left @ right) / _seconds(lambda: halves[0] @ halves[1])


def _seconds(product: Callable[[], torch.Tensor]) -> float:
    product()
    best = float("inf")
    for _ in range(5):
        start = time.thread_time()
        product()
        best = min(best, time.thread_time() - start)
    return best
