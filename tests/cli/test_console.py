"""What people and logs see of progress and of paths."""

from __future__ import annotations

from sparse_ir.cli import console


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
