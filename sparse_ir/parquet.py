"""Term weights in Parquet: the columns id, indices, values, a row a text; written and read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparse_ir.errors import DataFormatError, MissingDependencyError
from sparse_ir.vectors import TermWeights
from sparse_ir.vocabulary import Vocabulary

_WANTED = "want the columns id, indices (list of integers), values (list of floats)"


class ParquetVectors:
    """A file of vectors, read batch by batch.

    Raises:
        DataFormatError: not Parquet, or without these columns.
        MissingDependencyError: pyarrow is not installed.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        pa, pq = _pyarrow()
        self._path.open("rb").close()  # pyarrow's error of a missing file has no number
        try:
            self._file = pq.ParquetFile(self._path)
        except pa.ArrowInvalid as error:
            raise DataFormatError(f"{path}: no Parquet ({error}); {_WANTED}") from None
        self._require_columns(pa.types, self._file.schema_arrow)

    @property
    def vocabulary(self) -> str:
        """The fingerprint of the model's vocabulary, empty if the file does not say."""
        return self._metadata.get(b"vocabulary", b"").decode()

    @property
    def n_terms(self) -> int:
        """Terms that there could be; where the file does not say, one more than the greatest."""
        said = self._metadata.get(b"n_terms", b"")
        if said.isdigit():
            return int(said)
        batches = self._file.iter_batches(columns=["indices"])
        most = (_numbers(batch.column(0).flatten()).max(initial=0) for batch in batches)
        return int(max(most, default=0)) + 1

    def batches(self, n_terms: int, batch_size: int) -> Iterator[tuple[list[str], TermWeights]]:
        """All rows in order: ids, and (up to ``batch_size``, n_terms) float32 csr_arrays.

        Raises:
            DataFormatError: a row without id, with more terms than weights or fewer, or with a
                term that is not below ``n_terms``.
        """
        pa, _ = _pyarrow()
        first = 0
        names = ["id", "indices", "values"]
        try:
            for batch in self._file.iter_batches(batch_size, columns=names):
                yield self._rows(first, batch.columns, n_terms)
                first += len(batch)
        except pa.ArrowInvalid as error:
            raise DataFormatError(f"{self._path}: cannot be read ({error})") from None

    def _rows(
        self, first: int, columns: Sequence[Any], n_terms: int
    ) -> tuple[list[str], TermWeights]:
        ids, indices, values = columns
        sizes = _numbers(indices.value_lengths())
        same = sizes == _numbers(values.value_lengths())
        terms, weights = _numbers(indices.flatten()), _numbers(values.flatten())
        rows = np.repeat(np.arange(len(sizes)), sizes)
        has_id = np.asarray(ids.is_valid())
        unknown = rows[(terms < 0) | (terms >= n_terms)] if same.all() else rows[:0]
        for wrong, what in (
            (np.flatnonzero(~has_id), "no id"),
            (np.flatnonzero(~same), "indices and values of different lengths"),
            (unknown, f"a term that is not in 0..{n_terms - 1}"),
        ):
            if len(wrong):
                raise DataFormatError(f"{self._path}: row {first + int(wrong[0])} has {what}")
        indptr = np.concatenate(([0], np.cumsum(sizes)))
        matrix = sp.csr_array((weights.astype(np.float32), terms, indptr), (len(sizes), n_terms))
        return [str(one) for one in ids.to_pylist()], matrix

    @property
    def _metadata(self) -> dict[bytes, bytes]:
        return self._file.schema_arrow.metadata or {}

    def _require_columns(self, types: Any, schema: Any) -> None:
        def is_list(name: str, is_number: Any) -> bool:
            kind = schema.field(name).type
            is_any = types.is_list(kind) or types.is_large_list(kind)
            return bool(is_any and is_number(kind.value_type))

        if (
            not {"id", "indices", "values"} <= set(schema.names)
            or not is_list("indices", types.is_integer)
            or not is_list("values", types.is_floating)
        ):
            columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
            raise DataFormatError(f"{self._path}: the columns {columns}; {_WANTED}")


def write_parquet(
    path: Path, ids: Sequence[str], weights: TermWeights, vocabulary: Vocabulary
) -> None:
    """The (n, V) weights and their n ids are in the file, and of which vocabulary they are."""
    pa, pq = _pyarrow()
    offsets = pa.array(weights.indptr.astype(np.int32))
    indices = pa.array(weights.indices.astype(np.int32))
    columns = {
        "id": pa.array(ids, pa.string()),
        "indices": pa.ListArray.from_arrays(offsets, indices),
        "values": pa.ListArray.from_arrays(offsets, pa.array(weights.data)),
    }
    about = {"n_terms": str(len(vocabulary)), "vocabulary": vocabulary.fingerprint}
    pq.write_table(pa.table(columns).replace_schema_metadata(about), path, compression="zstd")


def join_parquet(path: Path, parts: Sequence[Path]) -> None:
    """The rows of all parts are in the file, in order; there is at least one part."""
    _, pq = _pyarrow()
    with pq.ParquetWriter(path, pq.read_schema(parts[0]), compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))


def require_pyarrow() -> None:
    """Returns if Parquet can be read and written.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    _pyarrow()


def _numbers(array: Any) -> Any:
    """As NumPy's; what is missing counts as 0."""
    return array.fill_null(0).to_numpy(zero_copy_only=False)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError("pyarrow", extra="parquet", purpose="Parquet") from None
    return pyarrow, pyarrow.parquet
