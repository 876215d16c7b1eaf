"""What a dense model's folder says of itself: sentence-transformers' files, or a bare network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparse_ir.encoders.hub_layout import (
    MODULES_FILE,
    SETTINGS_FILE,
    length_limit,
    read_modules,
)
from sparse_ir.encoders.json_files import read_object, read_optional
from sparse_ir.errors import InvalidInputError

_OLD_NAMES = {  # of the flags that came before "pooling_mode"
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
}
_QUERY_PROMPTS = ("query", "s2p_query")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class DenseLayout:
    """How a dense model encodes.

    Args:
        folder: Of the network and its tokenizer.
        pooling: A name of ``pooling.POOLS``.
        layers: Folders of linear layers behind the pooling, in their order.
        max_length: Tokens read, special ones included; None if the model does not say.
        lower_case: Whether texts are lower-cased first.
        query_prompt: Put before queries.
        document_prompt: Put before documents.
        pools_prompt: Whether the prompt's tokens are pooled with the text's.
    """

    folder: Path
    pooling: str = "mean"
    layers: tuple[Path, ...] = field(default=())
    max_length: int | None = None
    lower_case: bool = False
    query_prompt: str = ""
    document_prompt: str = ""
    pools_prompt: bool = True


def read_dense_layout(folder: Path) -> DenseLayout:
    """How the model in ``folder`` encodes; a bare network is pooled by the mean.

    Raises:
        InvalidInputError: a sparse model, a module that is not known, or a malformed file.
        OSError: a file is missing.
    """
    if not (folder / MODULES_FILE).is_file():
        return DenseLayout(folder, max_length=_length_limit(folder))
    try:
        modules = [(m["type"].rsplit(".", 1)[-1], folder / m["path"]) for m in read_modules(folder)]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{folder}: malformed list of modules ({error!r})") from error
    kinds = [kind for kind, _ in modules]
    inner = [kind for kind in kinds[2:] if kind not in ("Dense", "Normalize")]
    if kinds[:2] != ["Transformer", "Pooling"] or inner:
        raise InvalidInputError(
            f"{folder} is made of {' + '.join(kinds) or 'nothing'}; want a dense model: "
            "Transformer + Pooling, and Dense or Normalize behind them"
        )
    settings = modules[0][1] / SETTINGS_FILE
    pooling_file = modules[1][1] / "config.json"
    pooling = read_object(pooling_file)
    return DenseLayout(
        modules[0][1],
        pooling=_pooling(pooling_file, pooling),
        layers=tuple(path for kind, path in modules if kind == "Dense"),
        max_length=length_limit(settings, "max_seq_length") or _length_limit(modules[0][1]),
        lower_case=bool(read_optional(settings).get("do_lower_case", False)),
        pools_prompt=bool(pooling.get("include_prompt", True)),
        **_prompts(folder / "config_sentence_transformers.json"),
    )


def _pooling(path: Path, config: dict[str, Any]) -> str:
    chosen = [name for flag, name in _OLD_NAMES.items() if config.get(flag)]
    chosen += [mode for mode in [config.get("pooling_mode")] if mode]
    if len(chosen) != 1 or chosen[0] not in _OLD_NAMES.values():
        raise InvalidInputError(
            f"{path}: pooling is {' + '.join(chosen) or 'of an unknown kind'}; "
            f"want one of {', '.join(_OLD_NAMES.values())}"
        )
    return str(chosen[0])


def _prompts(path: Path) -> dict[str, str]:
    prompts: dict[str, Any] = read_optional(path).get("prompts") or {}

    def found(names: tuple[str, ...]) -> str:
        return next((prompts[name] for name in names if prompts.get(name)), "")

    return {"query_prompt": found(_QUERY_PROMPTS), "document_prompt": found(_DOCUMENT_PROMPTS)}


def _length_limit(folder: Path) -> int | None:
    return length_limit(folder / "tokenizer_config.json", "model_max_length")
