"""Which collections of the README's table are of an earlier day."""

from __future__ import annotations

from bench import effectiveness


def record(day, *names):
    collections = [{"collection": name} for name in names]
    return {"machine": {"date": f"{day}T00:00:00"}, "collections": collections}


def test_collections_that_are_not_measured_again_keep_their_day(monkeypatch):
    first, second = record("2026-01-01", "a", "b", "c"), record("2026-02-02", "a", "b", "c")
    second["collections"][2]["day"] = "2026-01-01"
    monkeypatch.setattr(effectiveness.records, "read", lambda name: [first, second])
    kept = effectiveness._of_the_record_before()
    assert {name: one["day"] for name, one in kept.items()} == {
        "a": "2026-02-02",
        "b": "2026-02-02",
        "c": "2026-01-01",
    }
    kept["a"] = {"collection": "a"}  # measured again
    assert effectiveness._earlier([*kept.values()]) == {"2026-02-02": ["b"], "2026-01-01": ["c"]}
