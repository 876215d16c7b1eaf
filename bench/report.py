"""Puts the latest results into the README: no number there that no command has written.

python -m bench.report
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import effectiveness, encode, latency

README = Path(__file__).parent.parent / "README.md"
TABLES: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "effectiveness": (effectiveness.RESULTS, effectiveness.table),
    "encode": (encode.RESULTS, encode.table),
    "latency": (latency.RESULTS, latency.table),
}


def main() -> None:
    text = README.read_text()
    for name, (path, table) in TABLES.items():
        result = json.loads(path.read_text().splitlines()[-1])
        body = f"<!-- {name} -->\n{table(result)}\n\n{_source(result, path)}\n<!-- end -->"
        text = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _, b=body: b, text, flags=re.S)
    README.write_text(text)


def _source(result: dict[str, Any], path: Path) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"<sub>{machine['date'][:10]}, {machine['processor']}, {machine['cores']} cores, kernel "
        f"{machine['kernel']}, Python {machine['python']}, {versions}; "
        f"`bench/results/{path.name}`.</sub>"
    )


if __name__ == "__main__":
    main()
