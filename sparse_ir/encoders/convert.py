"""A model as sentence-transformers and OpenSearch read it: the masked language model made whole.

The folder written is a ``SparseEncoder``: with a ``Router`` if queries need no network, else
siamese. Beside the router's query table lie OpenSearch's ``idf.json`` and
``query_token_weights.txt``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from sparse_ir.encoders import checkpoint
from sparse_ir.encoders.bert import Bert
from sparse_ir.encoders.hub_layout import IDF_FILE, SETTINGS_FILE, TOKEN_WEIGHTS_FILE
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.encoders.masked_lm import MaskedLMEncoder, PredictionTransform
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.pretrained import quiet_transformers
from sparse_ir.encoders.tensor_files import save_network
from sparse_ir.errors import InvalidInputError
from sparse_ir.files import whole_folder

_NEVER = -1e4  # a bias below any logit; their pooling multiplies it by 0, so not -infinity
_ACTIVATIONS = {1: "relu", 2: "log1p_relu"}  # theirs: before the last log1p
_MODULES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Router": "sentence_transformers.base.modules.router.Router",
    "SpladePooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
    "SparseStaticEmbedding": "sentence_transformers.sparse_encoder.modules."
    "sparse_static_embedding.SparseStaticEmbedding",
}


def save_for_sentence_transformers(model: str, output: str | Path) -> None:
    """A ``SparseEncoder`` with the model's weights is in the folder ``output``.

    There a query's token counts once, however often it occurs: that library knows no counts. And no
    terms are dropped by the model's ``prune_ratio``: OpenSearch has it as a setting of its own.

    Args:
        model: As ``load_encoder``.
        output: Folder to be made, or empty.

    Raises:
        InvalidInputError: no such model, a body whose head that library does not know, or something
            is in ``output``.
    """
    checkpoint.require_new(Path(output))
    options = EncoderOptions(device="cpu", precision="float32")
    documents = checkpoint.load_document_encoder(model, options)
    queries = checkpoint.load_query_encoder(model, options)
    if not (
        isinstance(documents, MaskedLMEncoder)
        and isinstance(queries, MaskedLMEncoder | LookupEncoder)
    ):
        raise InvalidInputError(f"{model}: want a model with a masked language model for documents")
    with whole_folder(Path(output)) as folder:
        folder.mkdir(parents=True)
        if isinstance(queries, LookupEncoder):
            _write_router(folder, documents, queries)
        else:
            _write_network(folder, documents)
            _write_pooling(folder / "1_SpladePooling", documents)
            _write_modules(folder, [("", "Transformer"), ("1_SpladePooling", "SpladePooling")])
        config = {
            "model_type": "SparseEncoder",
            "prompts": {"query": queries.prompt, "document": documents.prompt},
            "default_prompt_name": None,
            "max_active_dims": documents.top_terms,
            "similarity_fn_name": "dot",
        }
        _write_json(folder / "config_sentence_transformers.json", config)


def whole_model(encoder: MaskedLMEncoder) -> Any:
    """The encoder's network as a masked language model of transformers.

    Raises:
        InvalidInputError: its body has no such head in transformers.
    """
    if encoder.masked_lm is not None:
        return encoder.masked_lm
    body: Any = encoder.body
    kind = body.config.model_type
    if kind not in _HEADS or not isinstance(encoder.transform, PredictionTransform):
        raise InvalidInputError(
            f"the body is a {kind}; want {' or '.join(_HEADS)} to write it with its head"
        )
    settings = vars(body.config) if isinstance(body, Bert) else body.config.to_dict()
    config = transformers.AutoConfig.for_model(**settings)
    config.architectures = None
    model = getattr(transformers, _HEADS[kind][0])(config)
    model.base_model.load_state_dict(body.state_dict(), strict=False)
    model.tie_weights()
    _, dense, norm, bias = _HEADS[kind]
    transform = encoder.transform
    _assign(model, f"{dense}.weight", transform.weight)
    _assign(model, f"{dense}.bias", transform.bias)
    _assign(model, f"{norm}.weight", transform.norm)
    _assign(model, f"{norm}.bias", torch.zeros_like(transform.norm))
    _assign(model, bias, encoder.head.bias.clamp(min=_NEVER))
    return model.eval()


# transformers' class, and where it keeps the dense layer, the normalisation and the bias
_HEADS = {
    "bert": (
        "BertForMaskedLM",
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder.bias",
    ),
    "distilbert": (
        "DistilBertForMaskedLM",
        "vocab_transform",
        "vocab_layer_norm",
        "vocab_projector.bias",
    ),
}


@torch.no_grad()
def _assign(model: Any, name: str, value: Tensor) -> None:
    model.get_parameter(name).copy_(value)


def _write_router(folder: Path, documents: MaskedLMEncoder, queries: LookupEncoder) -> None:
    table, network, pooling = (
        "query_0_SparseStaticEmbedding",
        "document_0_Transformer",
        "document_1_SpladePooling",
    )
    _write_network(folder / network, documents)
    _write_pooling(folder / pooling, documents)
    queries.save(folder / table)
    _write_json(folder / table / "config.json", {"frozen": True})
    documents.tokenizer.save_pretrained(folder / table)
    _write_token_weights(folder, queries)
    _write_modules(folder, [("", "Router")])
    router = {
        "types": {
            table: _MODULES["SparseStaticEmbedding"],
            network: _MODULES["Transformer"],
            pooling: _MODULES["SpladePooling"],
        },
        "structure": {"query": [table], "document": [network, pooling]},
        "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
    }
    _write_json(folder / "router_config.json", router)


def _write_network(folder: Path, encoder: MaskedLMEncoder) -> None:
    with quiet_transformers():
        save_network(whole_model(encoder), folder)
    encoder.tokenizer.model_max_length = encoder.max_length
    encoder.tokenizer.save_pretrained(folder)
    settings = {
        "transformer_task": "fill-mask",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "token_embeddings",
        "do_lower_case": encoder.lower_case,
    }
    _write_json(folder / SETTINGS_FILE, settings)


def _write_pooling(folder: Path, encoder: MaskedLMEncoder) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "pooling_strategy": encoder.head.pooling,
        "activation_function": _ACTIVATIONS[encoder.head.n_logarithms],
        "embedding_dimension": len(encoder.vocabulary),
    }
    _write_json(folder / "config.json", config)


def _write_token_weights(folder: Path, queries: LookupEncoder) -> None:
    # Those that weigh nothing too: OpenSearch gives 1 to a token that is not named.
    named = dict(zip(queries.vocabulary.terms, queries.weights.tolist(), strict=True))
    _write_json(folder / IDF_FILE, named)
    lines = [f"{token}\t{weight}\n" for token, weight in named.items()]
    (folder / TOKEN_WEIGHTS_FILE).write_text("".join(lines), encoding="utf-8")


def _write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    content = [
        {"idx": i, "name": str(i), "path": path, "type": _MODULES[kind]}
        for i, (path, kind) in enumerate(modules)
    ]
    _write_json(folder / "modules.json", content)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
