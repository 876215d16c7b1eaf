"""``sparse-ir quickstart``: real texts, three questions, and why their answers were found."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparse_ir.cli.console import print_hit, print_matches, progress, show, tell

if TYPE_CHECKING:
    from sparse_ir.corpus import Document
    from sparse_ir.retrieval.retriever import SparseRetriever

_FOLDER = Path("quickstart.index")  # its own: in .sparse-ir people have documents of theirs
_LEAST_WORDS, _MOST_WORDS = 20, 70
_SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo"}
# Little of what they ask for is in the words of the answers.
_QUESTIONS = (
    "make a sentence shorter so that it fits on the screen",
    "serialize objects to bytes",
    "measure how fast a snippet runs",
)


def quickstart(
    folder: Annotated[Path, typer.Option("--index", help="Folder of the index.")] = _FOLDER,
) -> None:
    """Index the documentation of Python's standard library and ask it three questions."""
    from sparse_ir.encoders.checkpoint import require_models_extra
    from sparse_ir.retrieval.ingest import ingest
    from sparse_ir.retrieval.retriever import SparseRetriever

    require_models_extra()
    documents = list(standard_library())
    tell(
        f"{len(documents)} docstrings of Python's standard library; encoding takes a minute or two"
    )
    with progress("indexing", total=len(documents)) as advance:
        ingest(
            folder, documents, commit_every=256, on_progress=lambda done, unchanged: advance(done)
        )
    show("Terms marked + stand nowhere in the text: the model added them.")
    with SparseRetriever.open(folder) as retriever:
        for question in _QUESTIONS:
            _ask(retriever, question)
    show(("Now you:", "bold"))
    show(f'  sparse-ir search "your question" --explain --index {folder}')
    show(f'  sparse-ir search "sort a list" --filter "kind = \'function\'" --index {folder}')
    show("  sparse-ir index your-documents.jsonl --index my-index")


def standard_library() -> Iterator[Document]:
    """Docstrings of the standard library's modules, classes and functions; nothing is imported."""
    from sparse_ir.corpus import Document

    root = Path(sysconfig.get_paths()["stdlib"])
    seen: set[str] = set()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        parts = path.relative_to(root).with_suffix("").parts
        if any(part in _SKIPPED or (part.startswith("_") and part != "__init__") for part in parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        for name, kind, text in _docstrings(module, path):
            if name in seen or text in seen or not len(text.split()) >= _LEAST_WORDS:
                continue
            seen.update((name, text))
            shortened = " ".join(text.split()[:_MOST_WORDS])
            yield Document(name, shortened, metadata={"module": module, "kind": kind})


def _docstrings(module: str, path: Path) -> Iterator[tuple[str, str, str]]:
    """(name, kind, docstring) of the public things in a source file."""
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # the library carries a few templates that are no programs
        return
    yield from _docstring(tree, module, "module")
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _docstring(node, f"{module}.{node.name}", "class")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from _docstring(node, f"{module}.{node.name}", "function")


def _docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str, kind: str
) -> Iterator[tuple[str, str, str]]:
    if text := ast.get_docstring(node):
        yield name, kind, text


def _ask(retriever: SparseRetriever, question: str) -> None:
    show((f"\n{question}?", "bold"))
    hits = retriever.search(question, k=3)
    for rank, hit in enumerate(hits):
        print_hit(rank + 1, hit, retriever.snippet(question, hit))
        matches = retriever.explain(question, hit.doc_id)
        print_matches(sorted(matches, key=lambda match: not match.is_expansion), most=4)
    words = {hit.doc_id for hit in retriever.search(question, k=10, mode="lexical")}
    if missed := [hit.doc_id for hit in hits if hit.doc_id not in words]:
        show((f"     not among BM25's first ten: {', '.join(missed)}", "dim"))
    show()
