"""Schemathesis tries every address with what the schema allows, and with what it does not."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from sparse_ir.server.app import create_app

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


KEY = "a-key-of-sixteen-characters"
# 400: a filter that is no filter, or names no field, is a string all the same
POSITIVE = ["2xx", "400", "401", "404"]
CONFIG = {"checks": {"positive_data_acceptance": {"expected-statuses": POSITIVE}}}
ADDRESSES = {
    "GET /healthz",
    "GET /metrics",
    "GET /readyz",
    "GET /v1/documents/{doc_id}",
    "DELETE /v1/documents/{doc_id}",
    "GET /v1/info",
    "GET /v1/search",
    "POST /v1/documents",
    "POST /v1/encode",
    "POST /v1/explain",
    "POST /v1/search",
}


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_every_address_keeps_its_word(live, mode):
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json",
        create_app(live, key=KEY, hosts=None),
        config=schemathesis.config.SchemathesisConfig.from_dict(CONFIG),
    )
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.label for operation in operations} == ADDRESSES
    for operation in operations:
        if mode is schemathesis.GenerationMode.NEGATIVE and not (operation.query or operation.body):
            continue  # no way to ask it wrongly

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        def keeps_its_word(case):
            case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"})

        keeps_its_word()
