from __future__ import annotations

from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError

from sparse_ir.errors import InvalidInputError
from sparse_ir.training.hub import push, require_hub_name


class Api:
    """What was asked of the hub."""

    def __init__(self, refuses=False):
        self.asked = []
        self.refuses = refuses

    def create_repo(self, name, *, private, exist_ok):
        self.asked.append(("create", name, private, exist_ok))
        return f"https://hub.example/{name}"

    def upload_folder(self, *, repo_id, folder_path):
        if self.refuses:
            response = SimpleNamespace(headers={}, request=None)
            raise HfHubHTTPError("403 Forbidden\nmore", response=response)
        self.asked.append(("upload", repo_id, sorted(p.name for p in folder_path.iterdir())))


def test_a_repository_is_made_and_filled(monkeypatch, tmp_path):
    (tmp_path / "model.json").write_text("{}")
    api = Api()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    assert push(tmp_path, "me/mini") == "https://hub.example/me/mini"
    assert api.asked == [("create", "me/mini", True, True), ("upload", "me/mini", ["model.json"])]


def test_a_refusal_says_why_and_where_the_model_is(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Api(refuses=True))
    with pytest.raises(InvalidInputError, match=f"403 Forbidden; the model is whole in {tmp_path}"):
        push(tmp_path, "me/mini")


@pytest.mark.parametrize("name", ["mini", "me/mini/again", "me/mi ni"])
def test_names_are_checked_before_anything_is_done(name):
    with pytest.raises(InvalidInputError, match=name):
        require_hub_name(name)
