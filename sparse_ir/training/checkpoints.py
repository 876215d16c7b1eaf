"""Checkpoints of a training on the disk: which there are, which count, and their mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from sparse_ir.errors import InvalidInputError
from sparse_ir.training.config import OptimizerTable, TrainConfig
from sparse_ir.training.student import Student


def is_finished(run: TrainConfig) -> bool:
    """Whether it has its last checkpoint."""
    found = checkpoints(run.work)
    return bool(found) and step_of(found[-1]) == run.optimizer.steps


def checkpoints(work: Path) -> list[Path]:
    """The whole checkpoints in a work folder, oldest first; what a kill left of one is none."""
    # transformers writes this file last.
    folders = (file.parent for file in work.glob("checkpoint-*/trainer_state.json"))
    return sorted(folders, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which it was saved."""
    return int(checkpoint.name.split("-")[1])


def origin_of(folders: Sequence[Path], n_runs: int) -> str:
    """What the mean of these checkpoints is, in words."""
    if len(folders) == 1:
        return f"It is the checkpoint of step {step_of(folders[0])}."
    mean = f"It is the mean of {len(folders)} checkpoints"
    return f"{mean} of {n_runs} runs, each on data drawn anew." if n_runs > 1 else f"{mean}."


def average_checkpoints(student: Student, folders: Sequence[Path]) -> None:
    """The student's tensors are the mean of those of the checkpoints.

    Source: Izmailov et al. 2018, "Stochastic Weight Averaging", arXiv:1803.05407.
    """
    student.load_state_dict(mean_state(load_file(f / "model.safetensors") for f in folders))


def mean_state(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over one state or more, of which one at a time is held."""
    total: dict[str, Tensor] = {}
    for n, state in enumerate(states, 1):
        for name, tensor in state.items():
            total[name] = total[name] + tensor.float() if n > 1 else tensor.float()
    return {name: tensor / n for name, tensor in total.items()}


def last_due(work: Path, table: OptimizerTable) -> list[Path]:
    """The last checkpoints of a run that are averaged: those of its steps, not of Ctrl-C."""
    due = [
        folder
        for folder in checkpoints(work)
        if (step := step_of(folder)) % table.save_every == 0 or step == table.steps
    ]
    return due[-table.average_last :]


def require_place(work: Path, *, resume: bool) -> None:
    """Returns if a training can go on from what is in ``work``, or begin there.

    Raises:
        InvalidInputError: there is no checkpoint to resume from; or there is one that would be
            mixed with this training's.
    """
    if resume and not checkpoints(work):
        raise InvalidInputError(f"{work} holds no checkpoint; start without --resume")
    if not resume and checkpoints(work):
        raise InvalidInputError(
            f"{work} holds checkpoints of another training; go on with --resume, or remove them"
        )
