"""``sparse-ir convert``: a model in the layout of others."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sparse_ir.cli.console import tell
from sparse_ir.cli.options import ModelOption


class Layout(str, Enum):
    """Who reads it."""

    sentence_transformers = "sentence-transformers"
    onnx = "onnx"


def convert(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to be made.")],
    to: Annotated[Layout, typer.Option(help="Who is to read it.")] = Layout.sentence_transformers,
    model: ModelOption = "mini",
    int8: Annotated[
        bool, typer.Option("--int8", help="ONNX: matrices in 8 bits, a quarter of the size.")
    ] = False,
) -> None:
    """Write a model for sentence-transformers and OpenSearch, or as ONNX.

    ONNX: pooling and the choice of terms are inside the graph, and --model FOLDER encodes with
    onnxruntime, without torch.
    """
    from sparse_ir.encoders.checkpoint import model_settings, require_models_extra, require_new

    require_models_extra()
    require_new(output)  # said before torch is imported
    if to is Layout.onnx:
        from sparse_ir.encoders.onnx_export import export_onnx

        export_onnx(model, output, int8=int8)
    else:
        from sparse_ir.encoders.convert import save_for_sentence_transformers

        save_for_sentence_transformers(model, output)
        if ratio := model_settings(model).prune_ratio:
            tell(
                f"in it no terms are dropped; {model} drops those below {ratio:g} of a text's "
                f"greatest weight (OpenSearch: prune_type max_ratio, prune_ratio {ratio:g})"
            )
    tell(f"{model} for {to.value} in {output}")
