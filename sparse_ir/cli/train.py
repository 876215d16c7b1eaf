"""``sparse-ir train``: a model from a configuration file."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import progress, stages, tell
from sparse_ir.cli.options import require_train_extra


def train(
    config: Annotated[
        Path, typer.Argument(help="TOML file; see sparse_ir/models/mini/training.toml.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload the finished model as OWNER/NAME.")
    ] = None,
) -> None:
    """Train a sparse model on your own text.

    Ctrl-C saves a checkpoint; --resume goes on from it. The model folder holds a model card with
    data, settings and measured results.
    """
    from sparse_ir.encoders.checkpoint import require_models_extra, require_new

    require_models_extra()
    require_train_extra()
    from sparse_ir.training.config import read_config
    from sparse_ir.training.hub import push, require_hub_name

    experiment = read_config(config)
    if push_to_hub:
        require_hub_name(push_to_hub)

    # What follows takes seconds to import; a mistake in the file is said before.
    from sparse_ir.training.checkpoints import checkpoints, is_finished, require_place
    from sparse_ir.training.run import train_model
    from sparse_ir.training.trainer import make_trainer

    sys.path.append(str(config.parent))  # where teachers of the kind ``callable`` may be
    runs = experiment.each_run()
    require_place(runs[0].work, resume=resume)  # before the teachers read, which takes minutes
    if not resume:
        require_new(experiment.model.output)
    for number, run in enumerate(runs):
        if resume and is_finished(run) and run is not runs[-1]:
            continue
        with progress("texts read") as advance:
            earlier = [before.work for before in runs[:number]]
            trainer = make_trainer(run, earlier=earlier, on_progress=advance)
        begun = resume and (number == 0 or bool(checkpoints(run.work)))
        name = "training" if len(runs) == 1 else f"training, run {number + 1} of {len(runs)}"
        with stages(**{name: run.optimizer.steps}) as advance_stage:
            finished = train_model(
                trainer,
                resume=begun,
                finish=False,
                on_step=partial(advance_stage, name),
                on_stage=advance_stage,
                on_log=tell,
            )
        if not finished:
            tell(f"stopped; go on with: sparse-ir train {config} --resume")
            raise typer.Exit(130)
    if trainer.args.process_index:
        return  # the first process finishes, and tells
    with stages() as advance:
        trainer.finish(advance)
    output, measured = experiment.model.output, trainer.measured
    if measured.get("selection", 0) < 0:
        budget = experiment.selection
        tell(
            f"no checkpoint is within the budget: the best has {measured['terms']:.0f} terms of "
            f"{budget.max_terms:g}, FLOPS {measured['flops']:.2f} of {budget.max_flops:g}"
        )
    if push_to_hub:
        tell(f"uploaded to {push(output, push_to_hub)}")
    tell(f"model in {output}; try: sparse-ir index SOURCE --model {output}")
