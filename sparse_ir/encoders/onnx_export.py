"""A model as one ONNX graph: token ids in, its greatest terms and their weights out.

The vocabulary is cut in tiles inside the graph too, so that a runtime never holds a logit for every
token; activation comes last, on the few terms that stay.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from sparse_ir.encoders import checkpoint
from sparse_ir.encoders.lookup import TOKENIZER_FILE, LookupEncoder
from sparse_ir.encoders.masked_lm import MaskedLMEncoder
from sparse_ir.encoders.onnx_encoder import GRAPH_FILE, INPUTS, OUTPUTS
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.sparse_head import ACTIVATIONS
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.files import whole_folder

MOST_TERMS = 1024  # of a text; three times what models give on average
_TILES = 8


def export_onnx(
    model: str, output: str | Path, *, top_terms: int | None = None, int8: bool = False
) -> None:
    """A model folder is at ``output`` that encodes with onnxruntime, without torch.

    Args:
        model: As ``load_encoder``.
        output: Folder to be made, or empty.
        top_terms: Terms that the graph gives of a text, the greatest; None gives 1,024. Never more
            than the model keeps.
        int8: Whether matrices are stored and multiplied in 8 bits, quantised text by text: a
            quarter of the size, and faster than float32 on most processors.

    Raises:
        InvalidInputError: no such model, a head that the graph does not know, or something is in
            ``output``.
        MissingDependencyError: onnx, onnxscript or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, extra="onnx", purpose="writing ONNX")
    checkpoint.require_new(Path(output))
    options = EncoderOptions(device="cpu", precision="float32")
    documents = checkpoint.load_document_encoder(model, options)
    queries = checkpoint.load_query_encoder(model, options)
    if not isinstance(documents, MaskedLMEncoder) or documents.head.pooling != "max":
        raise InvalidInputError(f"{model}: want a masked language model pooled by max for ONNX")
    if documents.changes_texts:
        raise InvalidInputError(f"{model} changes texts before the tokenizer; ONNX cannot")
    with whole_folder(Path(output)) as folder:
        folder.mkdir(parents=True)
        documents.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
        most = min(top_terms or MOST_TERMS, documents.top_terms or MOST_TERMS)
        _write_graph(documents, folder / GRAPH_FILE, most, int8)
        activation = {n: name for name, n in ACTIVATIONS.items()}[documents.head.n_logarithms]
        settings = replace(
            checkpoint.model_settings(model),
            body=checkpoint.ONNX_BODY,
            max_length=documents.max_length,
            activation=activation,
        )
        lookup = queries if isinstance(queries, LookupEncoder) else None
        checkpoint.save_model(folder, settings, None, lookup)


def _write_graph(encoder: MaskedLMEncoder, path: Path, top_terms: int, int8: bool) -> None:
    graph = _Graph(encoder, min(top_terms, len(encoder.vocabulary))).eval()
    example = (torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long))
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", min=2)}
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        full = Path(folder) / GRAPH_FILE
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(axes, axes),
            verbose=False,
        )
        assert program is not None  # only the older exporter returns nothing
        program.save(str(full), external_data=False)
        if int8:
            from onnxruntime.quantization import quantize_dynamic

            quantize_dynamic(full, path)
        else:
            shutil.move(full, path)


class _Graph(nn.Module):
    """(B, T) ids and mask -> (B, k) terms and weights, greatest first, 0 where there is none."""

    def __init__(self, encoder: MaskedLMEncoder, top_terms: int) -> None:
        super().__init__()
        self.body = encoder.body
        self._transform = encoder.transform
        self._n_logarithms = encoder.head.n_logarithms
        self._top_terms = top_terms
        self.bias: Tensor
        self.register_buffer("bias", encoder.head.bias.clamp(min=-1e4))
        tiles = encoder.head.embeddings.detach().T.chunk(_TILES, dim=1)
        for i, tile in enumerate(tiles):
            self.register_buffer(f"tile_{i}", tile.contiguous())
        self._n_tiles = len(tiles)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        states = self._transform(self.body(input_ids=ids, attention_mask=mask).last_hidden_state)
        # Padding takes its text's first state: a second copy changes no maximum.
        states = torch.where(mask[..., None] > 0, states, states[:, :1])
        tiles = [getattr(self, f"tile_{i}") for i in range(self._n_tiles)]
        logits = torch.cat([(states @ tile).amax(1) for tile in tiles], dim=1) + self.bias
        weights, terms = logits.topk(self._top_terms, dim=1)
        weights = weights.relu()
        for _ in range(self._n_logarithms):
            weights = weights.log1p()
        return terms, weights
