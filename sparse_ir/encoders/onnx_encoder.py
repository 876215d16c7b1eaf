"""OnnxEncoder: documents encoded by onnxruntime, without torch, from what ``onnx_export`` wrote."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sparse_ir.encoders.batches import batches
from sparse_ir.encoders.lookup import (
    TOKENIZER_FILE,
    TermSpan,
    load_tokenizer,
    vocabulary_of,
)
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.pruning import prune
from sparse_ir.encoders.text_reader import TextReader
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.vectors import TermWeights

GRAPH_FILE = "model.onnx"
INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("terms", "weights")


class OnnxEncoder:
    """Encodes texts by a graph that ends in its greatest terms.

    Args:
        session: An ``onnxruntime.InferenceSession``.
        tokenizer: With the special tokens that the graph expects.
        max_length: Tokens read of a text, special ones included.
        options: Of which ``top_terms`` and ``prune_ratio`` count here.
    """

    precision = "onnx"

    def __init__(
        self, session: Any, tokenizer: Tokenizer, *, max_length: int, options: EncoderOptions
    ) -> None:
        self.max_length = max_length
        self.vocabulary = vocabulary_of(tokenizer)
        self._session = session
        self._reader = TextReader(tokenizer, max_length)
        self.room = self._reader.room
        """Tokens of a text that are read, special ones left out."""
        self._options = options
        most = session.get_outputs()[0].shape[1]
        self.top_terms: int | None = most if isinstance(most, int) else None
        """Terms that the graph gives of a text at most, where it says so."""

    @classmethod
    def load(cls, folder: Path, max_length: int, options: EncoderOptions) -> OnnxEncoder:
        """The encoder whose graph and tokenizer are in ``folder``.

        Raises:
            InvalidInputError: not a graph that onnxruntime reads.
            MissingDependencyError: onnxruntime is not installed.
        """
        try:
            import onnxruntime
            from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidProtobuf
        except ImportError:
            raise MissingDependencyError(
                "onnxruntime", extra="onnx", purpose="encoding with an ONNX model"
            ) from None
        settings = onnxruntime.SessionOptions()
        settings.enable_mem_pattern = False  # it would plan memory for every shape of a batch anew
        settings.intra_op_num_threads = int(os.environ.get("RAYON_NUM_THREADS", "0"))
        path = folder / GRAPH_FILE
        path.stat()  # a missing file is an OSError
        try:
            session = onnxruntime.InferenceSession(
                str(path), settings, providers=["CPUExecutionProvider"]
            )
        except (Fail, InvalidProtobuf) as error:
            raise InvalidInputError(f"{path} is no ONNX graph: {error}") from error
        if tuple(one.name for one in session.get_outputs()) != OUTPUTS:
            raise InvalidInputError(f"{path} does not end in {', '.join(OUTPUTS)}; export it anew")
        tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
        return cls(session, tokenizer, max_length=max_length, options=options)

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> TermWeights:
        """(n, V) float32 csr_array, in the order of the texts; arguments as ``MaskedLMEncoder``."""
        tokens = self._reader.read(texts)
        order: list[int] = []
        parts = [sp.csr_array((0, len(self.vocabulary)), dtype=np.float32)]
        for batch in batches(tokens, batch_size, on_cpu=True):
            order += batch
            parts.append(self._batch([tokens[i] for i in batch]))
            if on_progress:
                on_progress(len(batch))
        return sp.vstack(parts, format="csr")[np.argsort(order)]

    @property
    def n_cut(self) -> int:
        """Texts so far of which not all tokens were read."""
        return self._reader.n_cut

    def own_terms(self, text: str) -> set[int]:
        """The terms that the text contains."""
        return self._reader.own_terms(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where in the text each of its tokens begins and ends, special ones left out."""
        return self._reader.token_spans(text)

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        return self._reader.term_spans(text)

    def _batch(self, tokens: Sequence[Sequence[int]]) -> TermWeights:
        ids, mask = _padded(tokens)
        terms, weights = self._session.run(
            list(OUTPUTS), dict(zip(INPUTS, (ids, mask), strict=True))
        )
        rows, columns = np.nonzero(weights > 0)
        data, indices = weights[rows, columns], terms[rows, columns]
        shape = (len(tokens), len(self.vocabulary))
        matrix = sp.coo_array((data, (rows, indices)), shape=shape).tocsr()
        matrix.sort_indices()
        return prune(
            matrix, top_terms=self._options.top_terms, prune_ratio=self._options.prune_ratio or 0.0
        )


def _padded(tokens: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """((B, T) ids, (B, T) mask); what stands in the padding does not matter."""
    longest = max(2, *(len(one) for one in tokens), 2)
    ids = np.ones((len(tokens), longest), np.int64)
    mask = np.zeros((len(tokens), longest), np.int64)
    for row, one in enumerate(tokens):
        ids[row, : len(one)], mask[row, : len(one)] = one, 1
    return ids, mask
