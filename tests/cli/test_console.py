"""What people and logs see of progress and of paths."""

from __future__ import annotations

from sparse_ir.cli import console
from sparse_ir.hits import Hit
from sparse_ir.retrieval.highlights import Highlight, Snippet


def test_a_line_is_told_as_it_is(capsys):
    line = f"model in /data/[bold]/{'long ' * 40}x; try: sparse-ir index SOURCE --model [/x]"
    console.tell(line)
    assert capsys.readouterr().err == line + "\n"


def test_a_table_shows_what_looks_like_markup(capsys):
    console.print_table([{"system": "[red]/runs/a", "nDCG@10": ".5"}])
    assert "[red]/runs/a" in capsys.readouterr().out


def test_a_log_sees_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("texts read", total=4000) as advance:
        for now[0] in (30.0, 61.0, 90.0, 122.0):
            advance(1000)
    with console.stages("set [a]: ") as tell_stage:
        tell_stage("documents encoded", 7)
        now[0] += 60
        tell_stage("documents encoded", 7)
    assert capsys.readouterr().err.splitlines() == [
        "texts read: 2,000 of 4,000",
        "texts read: 4,000 of 4,000",
        "set [a]: documents encoded: 14",
    ]


def test_hits_are_shown_as_they_are(capsys):
    text = r"a & b \\\hline \[x] :car: [red] end"
    start = text.index("hline")
    snippet = Snippet(text, 0, (Highlight("text", start, start + 5, ("hline",), 1.0, False),))
    hit = Hit(doc_id="wiki:car:7\\", score=1.5, title="C:\\[bold]\\", text=text)
    console.print_hit(1, hit, snippet)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "  1    1.500  wiki:car:7\\  C:\\[bold]\\"
    assert second == "     " + text


def test_a_snippet_is_one_line_in_which_the_match_stands_out():
    snippet = Snippet("two\n  lines here", 10, (Highlight("text", 6, 11, ("line",), 1.0, False),))
    marked = console._marked(snippet, "0123456789two\n  lines here and more")
    assert marked.plain == "... two lines here ..."
    styled = [(marked.plain[span.start : span.end], span.style) for span in marked.spans]
    assert styled == [("lines", "yellow")]
