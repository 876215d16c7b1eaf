"""Dense queries of an index without a network: a table distilled on the index's own texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparse_ir.encoders.checkpoint import require_models_extra
from sparse_ir.encoders.dense_table import DenseTable, Vectors, distil
from sparse_ir.errors import IndexFormatError, InvalidInputError
from sparse_ir.files import standing_folder
from sparse_ir.index.params import DensePart
from sparse_ir.index.reader import Index, dense_part
from sparse_ir.sentences import CLAUSE_END

FOLDER = "dense_query"  # inside an index
_MOST_WORDS = 32  # of a stretch that stands for a query
_TOGETHER = 512  # texts encoded between reports of progress
_NEAREST, _MOST_ASKED = 10, 500


@dataclass(frozen=True, slots=True)
class Report:
    """What the table is worth.

    Args:
        n_texts: That it was fitted on.
        cosine: With the network's vectors, on texts held out.
        cosine_of_tokens: The same, had the table held the tokens' own vectors.
        overlap: Share of the ten documents nearest to a held-out text by the network that are
            among the ten by the table.
        n_bytes: Of the table.
    """

    n_texts: int
    cosine: float
    cosine_of_tokens: float
    overlap: float
    n_bytes: int


def distil_queries(
    path: str | Path,
    *,
    n_texts: int = 20_000,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda n: None,
) -> Report:
    """The index at ``path`` holds a table of dense queries, which searches use from now on.

    Args:
        path: Folder of an index of text with a dense part.
        n_texts: Titles and stretches of the documents that it is fitted on, at most, >= 20.
        seed: Of their draw.
        on_progress: Told how many more texts or tokens were encoded.

    Raises:
        InvalidInputError: no dense part, or too few texts.
        MissingDependencyError: torch or transformers is not installed.
    """
    with Index.open(path) as index:
        part = dense_part(index.settings)
        if part is None or not part.model:
            raise InvalidInputError(
                f"{path} has no dense part made by a model; add one with: sparse-ir index --dense"
            )
        texts = _stretches(index, n_texts, seed)
    require_models_extra()
    from sparse_ir.encoders.dense_encoder import DenseEncoder, load_dense_encoder

    encoder = load_dense_encoder(part.model, "query")
    if not isinstance(encoder, DenseEncoder):
        raise InvalidInputError(
            f"{part.model} is a decoder-only model, whose vectors are no sums over tokens; "
            "want an encoder, as sentence-transformers has them"
        )
    tokenizer = encoder.tokenizer.backend_tokenizer
    tokens = [tokenizer.decode([number]) for number in range(tokenizer.get_vocab_size())]
    vectors = np.concatenate(
        [
            encoder.encode(some, batch_size=64, on_progress=on_progress)
            for some in _chunks([*tokens, *texts])
        ]
    )
    found = distil(
        tokenizer, vectors[: len(tokens)], texts, vectors[len(tokens) :], part.fingerprint
    )
    found.table.save(Path(path) / FOLDER)
    held = found.held_out[:_MOST_ASKED]
    overlap = _overlap(path, found.predicted[:_MOST_ASKED], vectors[len(tokens) + held])
    n_bytes = 2 * len(tokens) * encoder.dimension
    return Report(len(texts), found.cosine, found.cosine_of_tokens, overlap, n_bytes)


def load_table(path: Path, part: DensePart) -> DenseTable | None:
    """The table of the index at ``path``; None if it has none.

    Raises:
        IndexFormatError: it is of another dense model.
    """
    if not standing_folder(path / FOLDER).is_dir():
        return None
    table = DenseTable.load(path / FOLDER)
    if table.fingerprint != part.fingerprint or table.dimension != part.dimension:
        raise IndexFormatError(
            f"{path / FOLDER} was distilled from another dense model than the index's; "
            "make it anew with: sparse-ir distil-queries"
        )
    return table


def _overlap(path: str | Path, by_table: Vectors, by_network: Vectors) -> float:
    with Index.open(path) as index:
        found, wanted = (index.dense.search(one, _NEAREST).docs for one in (by_table, by_network))
    shares = [np.isin(one, other).mean() for one, other in zip(wanted, found, strict=True)]
    return float(np.mean(shares))


def _stretches(index: Index, n: int, seed: int) -> list[str]:
    """Titles, sentences and beginnings of sentences, of documents drawn at random."""
    draw = np.random.default_rng(seed)
    docs = index.matching()
    chosen = np.sort(draw.choice(docs, min(n, len(docs)), replace=False)).tolist()
    per_document = -(-n // max(len(chosen), 1))
    texts: dict[str, None] = {}
    for start in range(0, len(chosen), _TOGETHER):
        for document in index.documents(chosen[start : start + _TOGETHER]).values():
            sentences = CLAUSE_END.split(document.text)
            taken = draw.permutation(len(sentences))[:per_document]
            stretches = [sentences[i].split() for i in taken]
            lengths = draw.integers(3, _MOST_WORDS + 1, len(stretches))
            made = [" ".join(one[:k]) for one, k in zip(stretches, lengths, strict=True)]
            texts |= dict.fromkeys(text for text in [document.title, *made] if text)
    return [*texts][:n]


def _chunks(texts: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _TOGETHER):
        yield texts[start : start + _TOGETHER]
