"""Finished models on the Hugging Face hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sparse_ir.encoders.checkpoint import HUB_NAME
from sparse_ir.errors import InvalidInputError, MissingDependencyError


def require_hub_name(name: str) -> None:
    """Returns if a model could be uploaded under this name, so that no training is in vain.

    Raises:
        InvalidInputError: not OWNER/NAME.
        MissingDependencyError: the hub's client is not installed.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingDependencyError(
            "huggingface_hub", extra="models", purpose=f"uploading the model {name}"
        )
    if not HUB_NAME.fullmatch(name):
        raise InvalidInputError(f"{name!r} came; want OWNER/NAME, as on the hub")


def push(folder: Path, name: str) -> str:
    """The address at which the folder's model now is; a new repository is private.

    Args:
        folder: Of a finished model.
        name: OWNER/NAME, made if it does not exist.

    Raises:
        InvalidInputError: not such a name, or the hub refuses: the reason is said, and the model
            stays in its folder.
        MissingDependencyError: the hub's client is not installed.
    """
    require_hub_name(name)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        address = api.create_repo(name, private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder)
    except HfHubHTTPError as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InvalidInputError(
            f"the hub refuses {name}: {reason}; the model is whole in {folder}: upload it with "
            f"hf upload {name} {folder}"
        ) from error
    return str(address)
