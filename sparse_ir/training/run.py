"""A run: transformers' Trainer from its first step, or a checkpoint, to its end or Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback, TrainingArguments

from sparse_ir.training.checkpoints import checkpoints, require_place

Progress = Callable[[int], None]
StageProgress = Callable[[str, int], None]
_TOLD = ("ranking", "pressure", "terms", "flops", "teacher_agreement")  # all is in TensorBoard


class Run(Protocol):
    """A trainer of transformers that knows what comes before the first step and after the last."""

    args: Any
    add_callback: Callable[..., Any]
    train: Callable[..., Any]

    def prepare(self, on_stage: StageProgress = lambda stage, n: None) -> None:
        """Everything is ready for the first step of a run that is not resumed.

        Args:
            on_stage: Told of a stage how much more of it is done.
        """
        ...

    def finish(self, on_stage: StageProgress = lambda stage, n: None) -> None:
        """The model is in its output folder.

        Args:
            on_stage: Told of a stage how much more of it is done.
        """
        ...


def train_model(
    trainer: Run,
    *,
    resume: bool = False,
    finish: bool = True,
    on_step: Progress | None = None,
    on_stage: StageProgress = lambda stage, n: None,
    on_log: Callable[[str], None] | None = None,
) -> bool:
    """Whether training came to its end; then the model with its card is in the output folder.

    Ctrl-C ends the step that is under way, saves a checkpoint, and gives False. (Before the first
    step it is what it is elsewhere: there is nothing to save.)

    Args:
        trainer: From ``make_trainer``, or another one that has not run.
        resume: Whether to go on from the last checkpoint.
        finish: False for a run before the last: its checkpoints are all that is wanted.
        on_step: Told after each step that one more is done.
        on_stage: Told of a stage before or after the steps how much more of it is done.
        on_log: Told in a line what was logged.

    Raises:
        InvalidInputError: as ``require_place``.
    """
    work = Path(trainer.args.output_dir)
    require_place(work, resume=resume)
    stop = _StopOnInterrupt(on_step)
    trainer.add_callback(stop)
    if on_log:
        trainer.add_callback(_TellLogs(on_log))
    if not resume:
        trainer.prepare(on_stage)
    before = signal.signal(signal.SIGINT, stop.interrupt)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoints(work)[-1]) if resume else None)
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.interrupted:
        return False
    if finish and trainer.args.process_index == 0:
        trainer.finish(on_stage)
    return True


def n_processes() -> int:
    """Processes that train together, each on its own batches."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def one_device(arguments: TrainingArguments) -> TrainingArguments:
    """The arguments for a process that trains on one GPU; more are for torchrun.

    Left alone, transformers would split each batch over all, which ours cannot be.
    """
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


class _StopOnInterrupt(TrainerCallback):  # type: ignore[misc]
    """Ends training after the step in which Ctrl-C came, with a checkpoint."""

    def __init__(self, on_step: Progress | None) -> None:
        self.interrupted = False
        self._tell = on_step or (lambda n: None)

    def interrupt(self, *_: Any) -> None:
        self.interrupted = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell(1)
        if self.interrupted:
            control.should_save = control.should_training_stop = True


class _TellLogs(TrainerCallback):  # type: ignore[misc]
    """Tells a function what was logged, a line for each time."""

    def __init__(self, on_log: Callable[[str], None]) -> None:
        self._tell = on_log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        told = [name for name in logs or {} if name in _TOLD or name.startswith("eval_")]
        if told and state.is_world_process_zero:
            values = (f"{name.removeprefix('eval_')} {logs[name]:.4g}" for name in told)
            self._tell(f"step {state.global_step}: {', '.join(values)}")
