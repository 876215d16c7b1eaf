"""Other people's sparse models on disk: which files encode documents, and which encode queries.

Read are the layouts of sentence-transformers (a ``SparseEncoder``, siamese or with a ``Router``, of
every version so far), of OpenSearch (``idf.json`` or ``query_token_weights.txt`` beside a masked
language model), and a bare masked language model. Nothing is imported for it, no class is built.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sparse_ir.encoders.json_files import read_json, read_object, read_optional
from sparse_ir.encoders.lookup import TOKENIZER_FILE, LookupEncoder, load_tokenizer
from sparse_ir.encoders.options import require_integer
from sparse_ir.encoders.tensor_files import load_tensors
from sparse_ir.errors import InvalidInputError, MissingDependencyError

MODULES_FILE = "modules.json"
ADAPTER_FILE = "adapter_config.json"  # of peft: what it adapts is named inside
SETTINGS_FILE = "sentence_bert_config.json"
ROUTER_FILES = ("router_config.json", "config.json")  # the second of old models
IDF_FILE = "idf.json"
TOKEN_WEIGHTS_FILE = "query_token_weights.txt"  # a token TAB a weight
_TRANSFORMERS = {"Transformer", "MLMTransformer"}
_TABLES = {"SparseStaticEmbedding", "IDF"}
_ROUTERS = {"Router", "Asym"}
_DENSE = {"Pooling", "Normalize", "Dense", "StaticEmbedding", "WordEmbeddings"}
_ACTIVATIONS = {"relu": "log1p_relu", "log1p_relu": "log1p_log1p_relu"}  # theirs: before the log1p
_CAUSAL = ("ForCausalLM", "LMHeadModel")  # ends of architectures' names
_NO_LIMIT = 10**6  # tokenizers without a limit say 10**30


@dataclass(frozen=True, slots=True)
class Network:
    """A masked language model and how its logits become weights.

    Args:
        folder: Of ``transformers``.
        activation: As ``SparseHead``.
        pooling: ``max`` or ``sum`` over the tokens.
        max_length: Tokens read of a text; None if the files name no limit.
        prompt: Put before every text.
        lower_case: Whether texts are lower-cased before the tokenizer sees them.
        keeps_special: Whether special tokens are terms too.
        top_terms: Terms kept of a text; None keeps all.
    """

    folder: Path
    activation: str = "log1p_relu"
    pooling: str = "max"
    max_length: int | None = None
    prompt: str = ""
    lower_case: bool = False
    keeps_special: bool = True
    top_terms: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One weight a token, and where its tokenizer is."""

    folder: Path
    tokenizer: Path
    source: str = ""
    """A file of weights by token inside the folder; "" for tensors."""
    missing: float = 0.0
    """The weight of tokens that the file does not name."""
    prompt: str = ""
    top_terms: int | None = None


Side = Network | Table


@dataclass(frozen=True, slots=True)
class HubLayout:
    """How a model encodes either side."""

    document: Side
    query: Side


def read_layout(folder: Path) -> HubLayout:
    """How the model in ``folder`` encodes documents and queries.

    Raises:
        InvalidInputError: a dense model, a module that is not known, or a malformed file.
        OSError: a file is missing.
    """
    if (folder / MODULES_FILE).is_file():
        return _sentence_transformers(folder)
    network = _network(folder, None, {})
    for name in (TOKEN_WEIGHTS_FILE, IDF_FILE):
        if (folder / name).is_file():
            query = Table(folder, folder, name, missing=1.0)  # what OpenSearch gives the others
            return HubLayout(replace(network, keeps_special=False), query)
    return HubLayout(network, network)


def is_causal(folder: Path) -> bool:
    """Whether a decoder-only language model is in the folder, or an adapter of one.

    Raises:
        InvalidInputError: a malformed file.
    """
    base = adapted_model(folder)
    if base is not None:
        return not _architecture_of(base).endswith("ForMaskedLM")
    names = read_optional(folder / "config.json").get("architectures") or [""]
    return str(names[0]).endswith(_CAUSAL)


def adapted_model(folder: Path) -> str | None:
    """Folder or hub name of what the LoRA adapter in the folder was made for; None without one.

    Raises:
        InvalidInputError: a malformed file.
    """
    path = folder / ADAPTER_FILE
    if not path.is_file():
        return None
    base = read_object(path).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise InvalidInputError(
            f"{path}: base_model_name_or_path is {base!r}; want the folder or hub name of the "
            "model that is adapted"
        )
    return base


def length_limit(path: Path, name: str) -> int | None:
    """The tokens that a JSON file limits texts to by this name; None if it does not.

    Raises:
        InvalidInputError: not JSON, or something else than a number by this name.
    """
    limit = read_optional(path).get(name) or _NO_LIMIT
    if not isinstance(limit, int | float):
        raise InvalidInputError(f"{path}: {name} is {limit!r}; want a number")
    return int(limit) if limit < _NO_LIMIT else None


def load_table(table: Table) -> LookupEncoder:
    """The query encoder of a table: a token counts once, however often it occurs.

    Raises:
        InvalidInputError: malformed weights, or not one for each token.
        OSError: a file is missing.
    """
    tokenizer = _tokenizer(table.tokenizer)
    weights = _weights_by_token(table, tokenizer) if table.source else _weight_tensor(table.folder)
    return LookupEncoder(
        tokenizer,
        np.maximum(weights, 0),
        counts=False,
        top_terms=table.top_terms,
        prompt=table.prompt,
    )


def _architecture_of(model: str) -> str:
    """The name of its class; "" if the model does not say."""
    from transformers import AutoConfig  # a hub name is found in the cache, or fetched

    try:
        names = AutoConfig.from_pretrained(model).architectures or [""]
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidInputError(f"cannot load the model {model}: {reason}") from error
    return str(names[0])


# sentence-transformers


def _sentence_transformers(folder: Path) -> HubLayout:
    config = read_optional(folder / "config_sentence_transformers.json")
    prompts = {name: text or "" for name, text in (config.get("prompts") or {}).items()}
    top_terms = config.get("max_active_dims")
    if top_terms is not None:
        require_integer(f"{folder}: max_active_dims", top_terms, 1)
    try:
        modules = [(m["type"].rsplit(".", 1)[-1], m["path"]) for m in read_modules(folder)]
        if modules and modules[0][0] in _ROUTERS:
            routes = _routes(folder / modules[0][1])
        else:
            route = [(kind, folder / path) for kind, path in modules]
            routes = {"document": route, "query": route}
        sides = {
            name: _side(folder, route, prompts.get(name, ""), top_terms)
            for name, route in routes.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"{folder}: malformed list of modules ({error!r})") from error
    return HubLayout(sides["document"], sides["query"])


def read_modules(folder: Path) -> list[dict[str, Any]]:
    """The modules of a sentence-transformers folder, in their order."""
    modules: list[dict[str, Any]] = read_json(folder / MODULES_FILE)
    return sorted(modules, key=lambda module: int(module["idx"]))


def _routes(folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """Modules, as (kind, folder), of each side of a router."""
    config = next((read_optional(folder / n) for n in ROUTER_FILES if _has_types(folder / n)), None)
    if config is None:
        raise InvalidInputError(f"{folder} holds no {ROUTER_FILES[0]}; want the router's modules")
    structure, default = config["structure"], config["parameters"].get("default_route")
    routes = {}
    for side in ("document", "query"):
        name = side if side in structure else default
        if name not in structure:
            raise InvalidInputError(f"{folder}: no route for a {side} among {sorted(structure)}")
        routes[side] = [
            # The id of a module is its folder; "" is the router's own, often the repository's root.
            (config["types"][module].rsplit(".", 1)[-1], folder / module)
            for module in structure[name]
        ]
    return routes


def _has_types(path: Path) -> bool:
    return path.is_file() and "types" in read_json(path)


def _side(root: Path, route: list[tuple[str, Path]], prompt: str, top_terms: int | None) -> Side:
    kinds = [kind for kind, _ in route]
    if len(route) == 1 and kinds[0] in _TABLES:
        return replace(_table(root, route[0][1]), prompt=prompt, top_terms=top_terms)
    if len(route) == 2 and kinds[0] in _TRANSFORMERS and kinds[1] == "SpladePooling":
        pooling = read_json(route[1][1] / "config.json")
        network = _network(route[0][1], root, pooling)
        return replace(network, prompt=prompt, top_terms=top_terms)
    if _DENSE & set(kinds) and "SparseAutoEncoder" not in kinds:
        raise InvalidInputError(
            f"{root} is a dense model ({' + '.join(kinds)}); want a sparse one, or make it sparse "
            "with: sparse-ir init-head"
        )
    raise InvalidInputError(
        f"{root} is made of {' + '.join(kinds) or 'nothing'}; want Transformer + SpladePooling or "
        "SparseStaticEmbedding on each side"
    )


def _table(root: Path, folder: Path) -> Table:
    source = str(read_optional(folder / "config.json").get("path") or "")
    has_own = (folder / TOKENIZER_FILE).is_file() or (folder / "vocab.txt").is_file()
    tokenizer = folder if has_own else root
    if source and not (folder / Path(source).name).is_file():
        folder = root  # the file lies in the repository's root, whatever the path says
    return Table(folder, tokenizer, Path(source).name if source else "")


def _network(folder: Path, root: Path | None, pooling: dict[str, Any]) -> Network:
    place = folder / SETTINGS_FILE
    if root is not None and not read_optional(place):
        place = root / SETTINGS_FILE
    limits = (
        length_limit(place, "max_seq_length"),
        length_limit(folder / "tokenizer_config.json", "model_max_length"),
    )
    activation = pooling.get("activation_function", "relu")
    strategy = pooling.get("pooling_strategy", "max")
    if activation not in _ACTIVATIONS or strategy not in ("max", "sum"):
        raise InvalidInputError(
            f"{folder}: pooling is {strategy} of {activation}; want max or sum of "
            f"{' or '.join(_ACTIVATIONS)}"
        )
    return Network(
        folder,
        activation=_ACTIVATIONS[activation],
        pooling=strategy,
        max_length=min((limit for limit in limits if limit), default=None),
        lower_case=bool(read_optional(place).get("do_lower_case", False)),
    )


# tables


def _tokenizer(folder: Path) -> Tokenizer:
    if (folder / TOKENIZER_FILE).is_file():
        return load_tokenizer(folder / TOKENIZER_FILE)
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingDependencyError(
            "transformers", extra="models", purpose=f"a tokenizer without {TOKENIZER_FILE}"
        ) from None
    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer
    return tokenizer


def _weight_tensor(folder: Path) -> NDArray[np.float32]:
    if not (folder / "model.safetensors").is_file() and (folder / "pytorch_model.bin").is_file():
        raise InvalidInputError(
            f"{folder} keeps its weights as a pickle, which is not safe to read; want "
            "model.safetensors: load and save it with sentence-transformers"
        )
    tensors = load_tensors(folder / "model.safetensors")
    if "weight" not in tensors:
        raise InvalidInputError(f"{folder / 'model.safetensors'} holds no tensor 'weight'")
    return tensors["weight"].astype(np.float32)


def _weights_by_token(table: Table, tokenizer: Tokenizer) -> NDArray[np.float32]:
    path = table.folder / table.source
    named = _read_token_weights(path) if path.suffix == ".txt" else read_json(path)
    weights = np.full(tokenizer.get_vocab_size(), table.missing, np.float32)
    for number, added in tokenizer.get_added_tokens_decoder().items():
        if added.special:
            weights[number] = 0
    try:
        for token, weight in named.items():
            at = tokenizer.token_to_id(token)
            if at is not None:
                weights[at] = float(weight)
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{path}: want a JSON object of token: weight ({error})") from error
    return weights


def _read_token_weights(path: Path) -> dict[str, float]:
    weights = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
        token, tab, weight = line.rpartition("\t")
        try:
            weights[token] = float(weight)
        except ValueError:
            tab = ""
        if not tab:
            raise InvalidInputError(f"{path}:{number}: {line!r} came; want token TAB weight")
    return weights
