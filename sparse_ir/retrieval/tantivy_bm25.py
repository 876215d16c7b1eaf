"""BM25 by tantivy, an engine after Lucene's model: a second opinion on our own lexical mode.

It shares nothing with it but the formula and what counts as a word: it has other code for words,
stop words and stems, other postings, and document lengths rounded to a byte, as Lucene rounds them.
k1 is 1.2 and b 0.75, fixed by tantivy. Words of one letter are left out, as ours are: kept, they
alone move nDCG@10 by .01 (cisi, cacm); the rounded lengths move it by .003 at most.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError, InvalidInputError, MissingDependencyError
from sparse_ir.files import whole_folder
from sparse_ir.hits import Hit

_FACTS = "sparse_ir.json"
_FIELD = "content"
_ANALYZER = "words"
_WORD = r"\w\w+"
_ANY_WORD = r"\w+"
_LONGEST_WORD = 255
_MEMORY_BYTES = 128_000_000


class TantivyBM25:
    """A retriever; made by ``build`` or ``open``.

    Args:
        folder: Of the index.
        index: tantivy's, its analyser registered.
        analyzer: Turns a query into words.
        facts: What ``build`` wrote down.
    """

    def __init__(
        self,
        folder: Path,
        index: Any,
        analyzer: Any,
        facts: dict[str, Any],
    ) -> None:
        self._folder = folder
        self._index = index
        self._analyzer = analyzer
        self._ids: list[str] = facts["ids"]
        self.terms_a_document: float = facts["terms_a_document"]
        """Different words of a document, on average."""
        self._searcher = index.searcher()

    @classmethod
    def build(
        cls,
        path: str | Path,
        documents: Iterable[Document],
        *,
        language: str = "english",
        on_progress: Callable[[int], None] | None = None,
    ) -> TantivyBM25:
        """A new index of these documents in the folder ``path``, whole or not at all.

        Args:
            path: A folder, which is replaced if it is there.
            documents: Each doc_id once.
            language: One that tantivy stems, in English; ``none`` for plain words.
            on_progress: Told how many more documents were added.

        Raises:
            InvalidInputError: tantivy does not know the language.
            MissingDependencyError: tantivy is not installed.
        """
        tantivy = _tantivy()
        analyzer = _analyzer(language)
        path = Path(path)
        ids, n_terms = [], 0
        with whole_folder(path) as beside:
            beside.mkdir(parents=True)
            index = tantivy.Index(_schema(), path=str(beside))
            index.register_tokenizer(_ANALYZER, analyzer)
            writer = index.writer(_MEMORY_BYTES, 1)
            for row, document in enumerate(documents):
                writer.add_document(tantivy.Document(row=row, content=document.content))
                ids.append(document.doc_id)
                n_terms += len(set(analyzer.analyze(document.content)))
                if on_progress:
                    on_progress(1)
            writer.commit()
            writer.wait_merging_threads()
            mean = n_terms / max(len(ids), 1)
            facts = {"ids": ids, "language": language, "terms_a_document": mean}
            (beside / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> TantivyBM25:
        """The index in the folder ``path``.

        Raises:
            IndexFormatError: it is damaged.
            MissingDependencyError: tantivy is not installed.
            OSError: there is none.
        """
        tantivy = _tantivy()
        path = Path(path)
        text = (path / _FACTS).read_text(encoding="utf-8")
        try:
            facts = json.loads(text)
            index = tantivy.Index.open(str(path))
            analyzer = _analyzer(facts["language"])
        except (ValueError, KeyError) as error:
            raise IndexFormatError(f"{path}: no whole tantivy index ({error}); remove it") from None
        index.register_tokenizer(_ANALYZER, analyzer)
        index.reload()
        return cls(path, index, analyzer, facts)

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first; ties by the order they were added in."""
        if k < 1:
            raise InvalidInputError(f"k is {k}; want an integer >= 1")
        return [self._search(query, k) for query in queries]

    def __len__(self) -> int:
        """Documents."""
        return len(self._ids)

    def words(self, text: str) -> list[str]:
        """The text's words, repeats included, as they are indexed."""
        return list(self._analyzer.analyze(text))

    def document_frequency(self, word: str) -> int:
        """In how many documents a word occurs."""
        return int(self._searcher.doc_freq(_FIELD, word))

    def n_bytes(self) -> int:
        """Size of tantivy's files."""
        files = (path for path in self._folder.iterdir() if path.name != _FACTS)
        return sum(path.stat().st_size for path in files)

    def _search(self, query: str, k: int) -> list[Hit]:
        tantivy, schema = _tantivy(), self._index.schema
        should = [
            (
                tantivy.Occur.Should,
                tantivy.Query.boost_query(
                    tantivy.Query.term_query(schema, _FIELD, word, index_option="freq"), float(n)
                ),
            )
            for word, n in Counter(self.words(query)).items()
        ]
        if not should:
            return []
        found = self._searcher.search(tantivy.Query.boolean_query(should), k, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in found])
        return [Hit(self._ids[row], score) for row, (score, _) in zip(rows, found, strict=True)]


def _tantivy() -> Any:
    try:
        import tantivy
    except ImportError:
        raise MissingDependencyError("tantivy", extra="eval", purpose="this BM25") from None
    return tantivy


def _schema() -> Any:
    builder = _tantivy().SchemaBuilder()
    builder.add_integer_field("row", fast=True, stored=False, indexed=False)
    builder.add_text_field(_FIELD, tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


def _analyzer(language: str) -> Any:
    filters = _tantivy().Filter
    if language == "none":
        return _chain(_ANY_WORD)
    with suppress(ValueError):  # it has no stop words for some languages that it stems
        return _chain(_WORD, filters.stopword(language), filters.stemmer(language))
    try:
        return _chain(_WORD, filters.stemmer(language))
    except ValueError as error:
        raise InvalidInputError(f"tantivy: {error}; want a language that it stems") from None


def _chain(word: str, *filters: Any) -> Any:
    """What the expression matches, lower-cased and put through the filters."""
    tantivy = _tantivy()
    words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(word))
    first = (tantivy.Filter.remove_long(_LONGEST_WORD + 1), tantivy.Filter.lowercase())
    for one in (*first, *filters):
        words = words.filter(one)
    return words.build()
