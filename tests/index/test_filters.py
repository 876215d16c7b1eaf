"""Filters against a plain Python evaluation of the same conditions."""

from __future__ import annotations

import datetime
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.conditions import And, Comparison, Not, Or
from sparse_ir.index.filters import add_sql_functions, compile_filter
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

ROWS = {
    "a": {"year": 2020, "lang": "en", "tags": ["news", "sport", 7], "open": True},
    "b": {"year": 1999.5, "lang": "de", "tags": [], "open": False, "at": "2024-06-01"},
    "c": {"year": "2021", "lang": 'it\'s "q"', "at": "2024-06-01T01:30:00+02:00"},
    "d": {"lang": None, "by": {"name": "Ada", "born": "1815-12-10"}},
    "e": {"year": -3, "lang": "en", "a.b": 1, "year-of": 7, "at": "2024-05-31T23:30:00.000001Z"},
}
FIELDS = {name for row in ROWS.values() for name in row}


def connect():
    connection = sqlite3.connect(":memory:")
    add_sql_functions(connection)
    connection.execute("CREATE TABLE documents (doc_id TEXT, metadata TEXT)")
    return connection


def select(expression):
    connection = connect()
    connection.executemany(
        "INSERT INTO documents VALUES (?, ?)", [(i, json.dumps(row)) for i, row in ROWS.items()]
    )
    condition, values = compile_filter(expression, FIELDS)
    found = connection.execute(f"SELECT doc_id FROM documents WHERE {condition}", values)
    return "".join(sorted(row[0] for row in found))


def chained(n, joins=(And, Or)):
    """One condition inside so many others."""
    condition = Comparison("year", "==", 2020)
    for i in range(n):
        condition = Not(condition) if i % 3 == 0 else joins[i % 2]((condition,))
    return condition


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("year >= 2020", "a"),
        ("year < 2020", "be"),
        ("year = 2020", "a"),
        ("year == 2020.0", "a"),
        ("year != 2020", "bcde"),
        ("year != 2020 and year != null", "bce"),
        ("year = null", "d"),
        ("lang = null", "d"),
        ("lang in (null, 'de')", "bd"),
        ("year not in (2020, -3)", "bcd"),
        ("not year not in (2020, -3)", "ae"),
        ("year > null", ""),
        ("not year = 2020", "bcde"),
        ("year = '2021'", "c"),
        ("year > '2020'", "c"),
        ("lang = 'en' and year > 0", "a"),
        ("lang = 'de' or lang = 'en' and year < 0", "be"),
        ("(lang = 'de' or lang = 'en') and year < 0", "e"),
        ("lang in ('de', 'en')", "abe"),
        ("year in (2020, -3)", "ae"),
        ("tags contains 'news'", "a"),
        ("lang contains 't'", "c"),
        ("tags contains 7", "a"),
        ("tags contains '7'", ""),
        ("tags not contains 'news'", "bcde"),
        ("at = 2024-06-01", "b"),
        ("at >= 2024-06-01", "bc"),  # no zone here: c is compared by its own clock
        ("at < 2024-06-01", "e"),
        ("at >= 2024-06-01T00:00:00+00:00", "b"),  # b has no zone: it is midnight there
        ("at > 2024-05-31T23:30:00Z", "be"),
        ("at = 2024-05-31T23:30:00Z", "c"),
        ("at <= 2024-05-31T23:30:00Z", "c"),
        ("at in (2024-06-01, 1999-01-01)", "b"),
        ("at != 2024-06-01", "acde"),
        ("year < 2024-06-01", ""),
        ("by.name = 'Ada'", "d"),
        ("by.born < 1900-01-01", "d"),
        ("by.name.first = null", "abcde"),
        ("open = true", "a"),
        ("open = false", "b"),
        ("open = 1", ""),
        ("NOT (open = TRUE OR open = FALSE)", "cde"),
        ("lang = 'it\\'s \"q\"'", "c"),
        ("a.b = 1", "e"),
        ("year-of = 7", "e"),
        ("doc_id = 'd'", "d"),
        ("doc_id in ('a', 'd')", "ad"),
        ({"lang": "en"}, "ae"),
        ({"lang": "en", "year": 2020}, "a"),
        ({"lang": ["de", "en"]}, "abe"),
        ({"lang": []}, ""),
        ({"year": None}, "d"),
        ({"at": datetime.date(2024, 6, 1)}, "b"),
        (Comparison("tags", "==", ["news", "sport", 7]), "a"),
        (Comparison("by", "!=", {"born": "1815-12-10", "name": "Ada"}), "abce"),
        (Comparison("unheard", "==", None), "abcde"),
        (Comparison("unheard", "in", []), ""),
        (Not(And(())), ""),
        (Or((Comparison("year", ">", 0), Comparison("doc_id", "==", "d"))), "abd"),
        ({}, "abcde"),
    ],
)
def test_selects(expression, expected):
    assert select(expression) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("colour = 1", "unknown field 'colour'"),
        ({"colour": 1}, "unknown field 'colour'"),
        ("year >=", "its end came; want a number"),
        ("year", "want one of ="),
        ("year not = 1", "want in or contains"),
        ("at < 2024-13-01", "'2024-13-01' came; want a number"),
        ("year = 1e999", "filter compares 'year' with inf"),
        ("tags contains null", "want a number, a string, a date"),
        ("(" * 500 + "year = 1" + ")" * 500, "at most 100 parentheses"),
        ("year = 1 2", "'2' came; want and, or"),
        ("(year = 1", "want \\)"),
        ("year in (1", "want , or \\)"),
        ("", "want a field name"),
        ("year = en", "'en' came; want a number, a 'quoted string'"),
        ("year = 'open", "cannot read"),
        ("1 = year", "want a field name"),
        ("lang = 'x'; DROP TABLE documents", "cannot read"),
        ({"year": {1}.pop}, "want a number, a string"),
        ({"lang": "\ud800"}, "want a number, a string"),
        ({"year": [[1]]}, "want a list of numbers"),
        (5, "filter is 5; want a string, a mapping or a Condition"),
        (And((5,)), "filter is 5; want a string, a mapping or a Condition"),
        ({1: 2}, "the field 1; want a string"),
        ({"year": {"k": object()}}, "want lists and mappings of plain JSON"),
        ({"year": 10**5000}, "with a number too long to be shown by ==; want a number"),
        ({"year": [10**5000]}, "with a number too long to be shown by in; want a list"),
        ("not (" * 31 + "year = 1" + ")" * 31, "more than 30 of and, or and not inside one anoth"),
        (chained(31), "more than 30 of and, or and not inside one another; want fewer"),
        (chained(100_000), "more than 30 of and, or and not inside one another; want fewer"),
        (Not(Comparison('a"b', "==", 1)), "the field 'a\"b'; want one without double quotes"),
        ("year = 1" + "0" * 5000, "filter compares 'year' with inf"),
        ("year = 1\u0663", "cannot read"),
        ("year = \u0663", "cannot read"),
        ("at < \u0662024-01-01", "cannot read"),
    ],
)
def test_refuses(expression, message):
    with pytest.raises(InvalidInputError, match=message):
        compile_filter(expression, FIELDS)


def test_refuses_what_conditions_cannot_be():
    with pytest.raises(InvalidInputError, match="operator is '~'; want =="):
        Comparison("year", "~", 1)
    for operator, value in [("==", [datetime.date(2024, 1, 1)]), ("!=", {"k": {1, 2}})]:
        with pytest.raises(InvalidInputError, match="want lists and mappings of plain JSON"):
            Comparison("year", operator, value)
    with pytest.raises(InvalidInputError, match="names the field .*; want a string"):
        Comparison("\ud800", "==", 1)
    for operator, value in [("in", 1), ("not in", (1,)), ("<", [1]), (">", {})]:
        with pytest.raises(InvalidInputError, match=f"by {operator}; want"):
            Comparison("year", operator, value)


def test_filters_of_thirty_levels():
    assert select("not (" * 30 + "year in (2020, '2021')" + ")" * 30) == "ac"
    assert select(chained(30)) == "a"
    nots = Comparison("year", "==", 2020)
    for _ in range(30):
        nots = Not(nots)
    assert select(nots) == "a"


def test_conditions_that_sqlite_cannot_parse_are_bad_input(tmp_path):
    """As joins of many conditions inside one another are; how many depends on its release."""
    with IndexWriter.create(tmp_path / "i", n_terms=1) as writer:
        writer.add_vectors([{0: 1.0}], ["a"])
    with closing(Catalog.open_snapshot(tmp_path / "i")) as catalog:
        with pytest.raises(InvalidInputError, match="filter is nested too deeply for SQLite"):
            catalog.matching("NOT " * 2000 + "1", [])
        assert catalog.matching("1", []).tolist() == [0]


def test_long_filters():
    names = [f"x{i}" for i in range(100_000)]
    assert select({"doc_id": [*names, "a"]}) == "a"
    assert select({"year": [*range(10_000, 60_000), 2020]}) == "a"
    assert select(" or ".join(f"year = {i}" for i in range(5_000))) == "a"
    with pytest.raises(InvalidInputError, match="want at most 30000, or one list"):
        select(" or ".join(f"year = {i}" for i in range(15_000)))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([-1.5, 0.0, 1.0, 2.5]),
    st.sampled_from(["", "a", "b", "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T01:00+01:00"]),
    st.sampled_from([datetime.datetime(2024, 1, 1), datetime.date(2023, 1, 1)]),
)
STORED = VALUES.filter(lambda value: not isinstance(value, datetime.date))
COMPARISONS = st.one_of(
    st.builds(
        Comparison, st.just("x"), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), VALUES
    ),
    st.builds(Comparison, st.just("x"), st.sampled_from(["in", "not in"]), st.lists(VALUES)),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
)


def holds(condition, row):
    """Whether it holds, in plain Python."""
    match condition:
        case Not(inner):
            return not holds(inner, row)
        case And(parts):
            return all(holds(one, row) for one in parts)
        case Or(parts):
            return any(holds(one, row) for one in parts)
        case Comparison(field, "!=" | "not in" as operator, value):
            opposite = "==" if operator == "!=" else "in"
            return not holds(Comparison(field, opposite, value), row)
        case Comparison(_, operator, value):
            values = value if operator == "in" else [value]
            operator = "==" if operator == "in" else operator
            return any(compare(row.get("x"), operator, one) for one in values)


def compare(stored, operator, value):
    if isinstance(value, datetime.date):
        if not (isinstance(stored, str) and stored.startswith("2024")):
            return False
        stored = datetime.datetime.fromisoformat(stored.replace("Z", "+00:00"))
        stored = stored.replace(tzinfo=None)
        value = datetime.datetime.fromisoformat(value.isoformat())
    kinds = [int if type(one) is float else type(one) for one in (stored, value)]
    if kinds[0] is not kinds[1] or (value is None and operator != "=="):
        return False
    if operator == "==":
        return stored == value
    return {"<": stored < value, "<=": stored <= value, ">": stored > value}.get(
        operator, stored >= value
    )


@given(CONDITIONS, st.lists(st.one_of(st.just({}), STORED.map(lambda x: {"x": x})), max_size=5))
def test_conditions_mean_what_python_means(condition, rows):
    connection = connect()
    rows = [json.loads(json.dumps(row)) for row in rows]
    connection.executemany(
        "INSERT INTO documents VALUES (?, ?)",
        [(str(i), json.dumps(row)) for i, row in enumerate(rows)],
    )
    sql, values = compile_filter(condition, {"x"})
    found = connection.execute(f"SELECT doc_id FROM documents WHERE {sql}", values).fetchall()
    assert {int(i) for (i,) in found} == {i for i, row in enumerate(rows) if holds(condition, row)}


@given(st.text())
def test_any_text_is_a_filter_or_a_clear_error(text):
    try:
        select(text)
    except InvalidInputError:
        pass


@given(st.text(min_size=1), st.text())
def test_values_never_become_sql(name, value):
    try:
        condition, values = compile_filter({name: value}, {name})
    except InvalidInputError:
        assert any("\ud800" <= one <= "\udfff" for one in name + value) or '"' in name
        return
    if name != "doc_id":
        assert value in values
    connection = connect()
    try:
        connection.execute(
            "INSERT INTO documents VALUES ('x', ?)", [json.dumps({name: value}, ensure_ascii=False)]
        )
        found = connection.execute(f"SELECT 1 FROM documents WHERE {condition}", values).fetchall()
    except (UnicodeEncodeError, sqlite3.OperationalError):
        return  # lone surrogates and NUL are not text for SQLite
    assert found == [(1,)] or "\0" in name + value or "\\" in name


def test_matching_documents_of_an_index(tmp_path):
    names = [f"d{i}" for i in range(5)]
    metadata = [{"größe": i, "n": {"a": i % 2}} for i in range(5)]
    with IndexWriter.create(tmp_path / "i", n_terms=1) as writer:
        writer.add_vectors([{0: 1.0}] * 5, names, metadata=metadata)
        writer.delete(["d3"])
    with Index.open(tmp_path / "i") as index:
        for filter, expected in [
            (None, "d0 d1 d2 d4"),
            ("größe >= 2", "d2 d4"),
            ("n.a = 1", "d1"),
            ({"größe": [4, 0]}, "d0 d4"),
            (Not(Comparison("größe", "<", 4)), "d4"),
            (Comparison("unheard", "==", None), "d0 d1 d2 d4"),
        ]:
            docs = index.matching(filter).tolist()
            assert " ".join(index.doc_ids(docs)[doc] for doc in docs) == expected
        hits = index.search(np.ones((1, 1)), 9, filter=Comparison("unheard", "!=", None))
        assert hits.counts.tolist() == [0]
        with pytest.raises(InvalidInputError, match="unknown field 'unheard'"):
            index.matching("unheard = null")
