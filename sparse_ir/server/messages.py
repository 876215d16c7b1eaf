"""What is asked and answered over HTTP; the OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sparse_ir.hits import Leg, Passage
from sparse_ir.retrieval.explanation import WeightedTerm
from sparse_ir.retrieval.highlights import Highlight, Snippet, TermMatch
from sparse_ir.retrieval.hybrid import HybridMode

MOST_HITS = 1000
LONGEST_QUERY = 8192  # characters
LONGEST_ID = 1024
LONGEST_TEXT = 16 * 2**20  # characters: as many as a body may have bytes
MOST_TERMS = 10_000
MOST_TEXTS = 256  # encoded by one request
MOST_DOCUMENTS = 10_000  # added by one request
LONGEST_SNIPPET = 10_000

QueryText = Annotated[str, Field(max_length=LONGEST_QUERY, description="Any text.")]
ModeOrDefault = Annotated[
    HybridMode | None, Field(description="None is hybrid if the index has a dense part.")
]
# A string without any bound may be no text: pydantic lets halves of surrogate pairs pass.
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
DocId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


# asked


class SearchParameters(_Strict):
    """A search, as the parameters of an address."""

    query: QueryText
    k: Annotated[int, Field(ge=1, le=MOST_HITS, description="Hits wanted.")] = 10
    mode: ModeOrDefault = None
    with_text: Annotated[bool, Field(description="Whether hits carry text and metadata.")] = True
    snippet: Annotated[
        int, Field(ge=0, le=LONGEST_SNIPPET, description="Characters of each hit's best part.")
    ] = 0
    explain: Annotated[bool, Field(description="Whether hits carry what each term added.")] = False


class FilteredParameters(SearchParameters):
    """A search with a filter that is written out."""

    filter: Annotated[str | None, Field(examples=["year >= 2020"])] = None


class SearchRequest(SearchParameters):
    """A search."""

    filter: Annotated[
        str | dict[str, JsonValue] | None, Field(examples=["year >= 2020", {"lang": ["en", "fr"]}])
    ] = None


class ExplainRequest(_Strict):
    """Why does this query find this document?"""

    query: QueryText
    doc_id: DocId
    mode: ModeOrDefault = None
    most: Annotated[
        int, Field(ge=1, le=MOST_TERMS, description="Terms of the document, the greatest.")
    ] = 40
    trace: Annotated[
        bool, Field(description="Whether to find where expansions were read; runs the network.")
    ] = False


class EncodeRequest(_Strict):
    """What does the model make of these texts?"""

    texts: Annotated[list[Text], Field(max_length=MOST_TEXTS)]
    role: Literal["document", "query"] = "document"


class NewDocument(_Strict):
    """A document; one with the same doc_id is replaced."""

    doc_id: DocId
    text: Text = ""
    title: Text = ""
    metadata: dict[str, JsonValue] = {}


class AddRequest(_Strict):
    """Documents to add."""

    documents: Annotated[list[NewDocument], Field(max_length=MOST_DOCUMENTS)]


# answered


class Hit(BaseModel):
    """A ranked document."""

    doc_id: str
    score: float
    title: str
    text: str
    metadata: dict[str, Any]
    passage: Passage | None
    legs: dict[str, Leg]
    snippet: Snippet | None = None
    explanation: list[TermMatch] | None = None


class SearchAnswer(BaseModel):
    """Hits, best first, and with ``explain`` what was searched for."""

    hits: list[Hit]
    seconds: float
    query_terms: list[WeightedTerm] | None = None


class ExplainAnswer(BaseModel):
    """Matching terms, most first; the query's, and the document's greatest."""

    doc_id: str
    score: float
    matches: list[TermMatch]
    query_terms: list[WeightedTerm]
    document_terms: list[WeightedTerm]
    highlights: list[Highlight]


class EncodeAnswer(BaseModel):
    """The terms of each text, the greatest first."""

    texts: list[list[WeightedTerm]]


class StoredDocument(BaseModel):
    """A document as it was added."""

    doc_id: str
    text: str
    title: str
    metadata: dict[str, Any]


class AddAnswer(BaseModel):
    """So many documents are committed."""

    committed: int


class DeleteAnswer(BaseModel):
    """So many documents are gone."""

    deleted: int


class InfoAnswer(BaseModel):
    """What is in the index, and how it may be searched."""

    documents: int
    modes: list[str]
    fields: list[str]
    model: str
    language: str
    version: str


class StatusAnswer(BaseModel):
    """Whether the server is up."""

    status: Literal["ok", "ready", "closing"]


class ErrorAnswer(BaseModel):
    """What came, what was wanted, what to do."""

    detail: str
