"""Where and in which numbers a network runs: the device, and bfloat16 where it pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch

from sparse_ir.encoders.options import Precision
from sparse_ir.errors import InvalidInputError

# With AMX bfloat16 is about 10 times as fast, with AVX-512 BF16 at most 2: in between, so that
# every run on one machine chooses alike, and an index is never half in one and half in the other.
_WORTH = 4.0


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
    """Measures one product of the shape that encoding spends its time on, about 50 ms.

    One thread and its own CPU time: other work on the machine must not change the answer.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        left, right = torch.ones(1024, 384), torch.ones(384, 1024)
        halves = left.bfloat16(), right.bfloat16()
        with torch.inference_mode():
            slow, fast = _seconds(lambda: left @ right), _seconds(lambda: halves[0] @ halves[1])
        return slow > _WORTH * fast
    finally:
        torch.set_num_threads(threads)


def _seconds(product: Callable[[], torch.Tensor]) -> float:
    product()
    best = float("inf")
    for _ in range(5):
        start = time.thread_time()
        product()
        best = min(best, time.thread_time() - start)
    return best
