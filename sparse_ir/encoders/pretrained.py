"""Networks of transformers from disk: loaded whole and finite, LoRA adapters merged into them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from sparse_ir.encoders.bert import read_bert
from sparse_ir.encoders.hub_layout import adapted_model
from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.options import Precision
from sparse_ir.encoders.precision import choose_device, choose_dtype
from sparse_ir.encoders.text_reader import TextReader
from sparse_ir.errors import InvalidInputError, MissingDependencyError

_DEFAULT_LENGTH = 512
_MOST_PADDING_ROWS = 1024
_NO_LIMIT = 2**31

Kind = Literal["AutoModel", "AutoModelForMaskedLM", "AutoModelForCausalLM"]


def load_network(
    source: str, tokenizer_file: Path | None = None, *, device: str = "auto"
) -> tuple[Any, Any]:
    """(body, tokenizer) for inference, in float32: our own ``Bert`` if it can be.

    Args:
        source: As ``load_pretrained``.
        tokenizer_file: As ``load_pretrained``.
        device: As ``EncoderOptions``.

    Raises:
        InvalidInputError: as ``load_pretrained``.
        MissingDependencyError: as ``load_pretrained``.
    """
    if adapted_model(Path(source)) or not (body := read_bert(Path(source))):
        return load_pretrained("AutoModel", source, tokenizer_file, device=device)
    require_finite(source, dict(body.named_parameters()))
    with _explained(source), quiet_transformers():
        tokenizer = _load_tokenizer(source, tokenizer_file)
    return body.to(choose_device(device)), tokenizer


def load_pretrained(
    kind: Kind,
    source: str,
    tokenizer_file: Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "float32",
) -> tuple[Any, Any]:
    """(model, tokenizer) of transformers, for inference; a LoRA adapter is merged into its model.

    Args:
        kind: A class of transformers.
        source: Folder, of a model or an adapter, or hub name.
        tokenizer_file: A ``tokenizer.json`` outside the folder.
        device: As ``EncoderOptions``.
        precision: As ``EncoderOptions``; large models are better never in float32.

    Raises:
        InvalidInputError: transformers cannot load it, tensors of the kind wanted are missing, or
            a weight is not finite; or an adapter does not fit.
        MissingDependencyError: an adapter, and peft is not installed.
    """
    import transformers  # takes seconds

    place, base = choose_device(device), adapted_model(Path(source)) or source
    with _explained(base), quiet_transformers():
        tokenizer = _load_tokenizer(base, tokenizer_file)
        model, report = getattr(transformers, kind).from_pretrained(
            base, dtype=choose_dtype(precision, place), output_loading_info=True
        )
    _require_whole(base, kind, report)
    if base != source:
        model = _merged(model, source)
    require_finite(source, dict(model.named_parameters()))
    return model.to(place).eval(), tokenizer


def text_reader(
    tokenizer: Any, max_length: int, *, prompt: str = "", lower_case: bool = False
) -> TextReader:
    """A ``TextReader`` that cuts as a tokenizer of transformers does."""
    return TextReader(
        tokenizer.backend_tokenizer,
        max_length,
        prompt=prompt,
        lower_case=lower_case,
        cut_side=tokenizer.truncation_side,
    )


def n_positions(body: Any) -> int:
    """The tokens that the body has positions for."""
    most: int = getattr(body.config, "max_position_embeddings", None) or _NO_LIMIT
    embeddings = getattr(getattr(body, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return most if padding is None else most - padding - 1  # RoBERTa and its kin number from behind


def read_length(most: int, usual: int | None, wanted: int | None) -> int:
    """Tokens to read: what is wanted, else what is usual, as far as there are positions.

    Args:
        most: Tokens that there are positions for.
        usual: None takes 512.
        wanted: By the user; None takes what is usual.

    Raises:
        InvalidInputError: more are wanted than there are positions.
    """
    if wanted is not None and wanted > most:
        raise InvalidInputError(
            f"max_length is {wanted}; this model has {most} positions, so want no more"
        )
    return wanted or min(usual or _DEFAULT_LENGTH, most)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Inside, transformers draws no bar and reports no unused pooler, which helps no user."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()


def require_same_tokens(source: str, tokenizer: Any, n_rows: int) -> int:
    """Returns the number of tokens, of which each has a row in the decoder.

    Decoders are often padded to a round number of rows; what no token stands for is left out.

    Raises:
        InvalidInputError: the tokenizer is another model's.
    """
    n_tokens: int = tokenizer.backend_tokenizer.get_vocab_size()
    if not n_tokens <= n_rows < n_tokens + _MOST_PADDING_ROWS:
        raise InvalidInputError(
            f"{source}: the tokenizer has {n_tokens} tokens, the model {n_rows} terms; "
            "want the tokenizer that the model was trained with"
        )
    return n_tokens


def require_finite(source: str, tensors: Mapping[str, Tensor]) -> None:
    """Returns if every number is finite.

    Raises:
        InvalidInputError: names the tensor that holds another one.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InvalidInputError(
                f"{source}: the tensor {name} holds NaN or infinity; fetch or train it anew"
            )


def _merged(model: Any, adapter: str) -> Any:
    if importlib.util.find_spec("peft") is None:
        raise MissingDependencyError("peft", extra="llm", purpose="a LoRA adapter")
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            return PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidInputError(f"{adapter}: the adapter does not fit: {reason}") from error


@contextmanager
def _explained(source: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, SafetensorError, KeyError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidInputError(f"cannot load the model {source}: {reason}") from error


def _require_whole(source: str, kind: Kind, report: Mapping[str, Any]) -> None:
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if not missing:
        return
    if kind == "AutoModelForMaskedLM":
        raise InvalidInputError(
            f"{source} is a dense model: it has no masked language model's head (no "
            f"{missing[0]}); want a sparse model, or make one with: sparse-ir init-head"
        )
    raise InvalidInputError(f"{source}: the tensor {missing[0]} is missing; fetch it anew")


def _load_tokenizer(source: str, file: Path | None) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if file is None:
        return AutoTokenizer.from_pretrained(source)
    roles = read_object(Path(source) / "tokenizer_config.json")
    return PreTrainedTokenizerFast(tokenizer_file=str(file), **roles)
