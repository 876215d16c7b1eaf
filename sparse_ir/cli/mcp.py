"""``sparse-ir mcp``: an index as tools for a language model."""

from __future__ import annotations

from sparse_ir.cli.options import ExistingIndexOption, find_index


def mcp(folder: ExistingIndexOption = None) -> None:
    """Let a language model search an index (MCP, on the standard input and output).

    In a client's configuration: command sparse-ir, arguments mcp --index FOLDER.
    """
    from sparse_ir.integrations.mcp import make_server
    from sparse_ir.retrieval.hybrid import HybridRetriever

    make_server(HybridRetriever.open(find_index(folder))).run("stdio")
