"""An index of text: made with a model, a language and more, and never to be used with others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparse_ir.encoders.analyzer import DEFAULT_TITLE_WEIGHT, TITLE_WEIGHT, Analyzer
from sparse_ir.encoders.checkpoint import lasting_name, model_settings
from sparse_ir.encoders.encoder import load_encoder
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.params import BuildParams, DensePart
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.dense_part import not_that_model
from sparse_ir.retrieval.neighbours import DEFAULT_WEIGHT, PRUNES, SETTING, checked_weight
from sparse_ir.retrieval.retriever import QUERY_ENCODER

_BEFORE = {SETTING: 0, TITLE_WEIGHT: 1}  # of indexes made before there was such a setting


def open_writer(
    path: str | Path,
    model: str = "mini",
    language: str = "english",
    *,
    passages: bool = True,
    neighbour_weight: float | None = None,
    title_weight: int | None = None,
    params: BuildParams | None = None,
    dense: DensePart | None = None,
) -> IndexWriter:
    """A writer of the index of text at ``path``; it is made, with the model's queries, if missing.

    Raises:
        InvalidInputError: it was built with another model, language, neighbour or title weight, or
            the other way with passages.
    """
    path = Path(path)
    wanted = _settings(model, language, passages, neighbour_weight, title_weight)
    if not Catalog.exists(path):
        queries = load_encoder(model, role="query")
        beside = {QUERY_ENCODER: queries.save} if isinstance(queries, LookupEncoder) else {}
        return IndexWriter.create(
            path,
            n_terms=len(queries.vocabulary),
            vocabulary=queries.vocabulary.fingerprint,
            params=params or BuildParams(precision="float32"),  # BM25 is to be exact
            dense=dense,
            settings={
                SETTING: DEFAULT_WEIGHT,
                TITLE_WEIGHT: DEFAULT_TITLE_WEIGHT,
                PRUNES: model_settings(model).prune_ratio > 0,
            }
            | wanted,
            beside=beside,
        )
    writer = IndexWriter.open(path)
    try:
        _require_same(path, writer.settings, wanted)
    except BaseException:
        writer.close()
        raise
    return writer


def require_fit(
    path: Path,
    model: str,
    language: str,
    *,
    passages: bool,
    neighbour_weight: float | None,
    title_weight: int | None,
) -> None:
    """Returns if ``open_writer`` takes this for the index of text at ``path``.

    Raises:
        InvalidInputError: as ``open_writer``.
    """
    with Index.open(path) as index:
        if "model" in index.settings:
            wanted = _settings(model, language, passages, neighbour_weight, title_weight)
            _require_same(path, index.settings, wanted)


def _settings(
    model: str,
    language: str,
    passages: bool,
    neighbour_weight: float | None,
    title_weight: int | None,
) -> dict[str, Any]:
    settings, asked, analyzer = model_settings(model), dict[str, Any](), Analyzer(language)
    if neighbour_weight is not None:
        asked[SETTING] = checked_weight(neighbour_weight)
    if title_weight is not None:
        analyzer = Analyzer(language, title_weight)
        asked[TITLE_WEIGHT] = analyzer.title_weight
    return asked | {
        "model": lasting_name(model),
        "model_fingerprint": settings.fingerprint,
        "anchor_weight": settings.anchor_weight,
        "collection_idf": settings.collection_idf,
        "language": analyzer.language,
        "passages": passages,
    }


def _require_same(path: Path, has: Mapping[str, Any], wanted: dict[str, Any]) -> None:
    for name in ("model_fingerprint", "language", "passages", SETTING, TITLE_WEIGHT):
        own = has.get(name, _BEFORE.get(name))
        if name in wanted and own != wanted[name]:
            what = (
                not_that_model(has.get("model"), wanted["model"])
                if name == "model_fingerprint"
                else f"{name} {own!r}, not {wanted[name]!r}"
            )
            raise InvalidInputError(
                f"{path} was built with {what}; use that one, or another folder"
            )
