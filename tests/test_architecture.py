"""The layers of the house: imports point down, never sideways, and torch stays where it belongs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sparse_ir

ROOT = Path(sparse_ir.__file__).parent
LAYERS = {
    "errors": 0,
    "vectors": 0,
    "vocabulary": 0,
    "corpus": 0,
    "hits": 0,
    "files": 0,
    "lines": 0,
    "parquet": 0,
    "sentences": 0,
    "_native": 1,
    "encoders": 2,
    "index": 2,
    "evaluation": 2,
    "retrieval": 3,
    "export": 3,
    "training": 4,
    "integrations": 4,
    "server": 4,
    "cli": 5,
}
TORCH_FILES = {
    "bert",
    "causal_lm",
    "dense_encoder",
    "convert",
    "head_init",
    "latent_attention",
    "masked_lm",
    "onnx_export",
    "pooling",
    "precision",
    "pretrained",
    "screening",
    "sparse_head",
}
MODULES = sorted(
    path.relative_to(ROOT) for path in ROOT.rglob("*.py") if path.name != "__init__.py"
)


def room(module):
    return Path(module).parts[0].removesuffix(".py")


def imports(path, at_import_time=False):
    """Absolute names imported by a file; with at_import_time only those outside functions."""
    tree = ast.parse((ROOT / path).read_text())
    nodes = list(ast.walk(tree))
    if at_import_time:
        inside = {n for f in nodes if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
        typing_only = {
            n
            for block in nodes
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for n in ast.walk(block)
        }
        nodes = [n for n in nodes if n not in inside | typing_only]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_down(module):
    here = room(module)
    for name in imports(module):
        if not name.startswith("sparse_ir."):
            continue
        there = name.split(".")[1]
        if there == "__version__":
            continue
        assert (
            there == here or LAYERS[there] < LAYERS[here] or LAYERS[here] == 0 == LAYERS[there]
        ), f"{module} imports {name}"
        assert there != "_native" or here == "index", f"{module} imports the native module"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_torch_is_imported_where_models_run(module):
    for name in imports(module, at_import_time=True):
        if name.split(".")[0] in ("torch", "transformers"):
            assert module.stem in TORCH_FILES or room(module) == "training", (
                f"{module} imports {name}"
            )


@pytest.mark.parametrize("module", [m for m in MODULES if room(m) == "cli"], ids=str)
def test_the_command_line_starts_without_libraries(module):
    for name in imports(module, at_import_time=True):
        package = name.split(".")[0]
        assert package not in ("numpy", "scipy", "tokenizers", "torch"), f"{module} imports {name}"
        assert not name.startswith(("sparse_ir.index", "sparse_ir.encoders", "sparse_ir.retrieval"))
