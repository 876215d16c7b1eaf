"""The page in a real browser: found, explained, by mouse and by keyboard, light and dark."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading

import pytest

from sparse_ir.server.app import create_app

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra server is not installed")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
KEY = "a-key-of-sixteen-characters"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def serve(live):
    """Serves the index with a key or without; the address."""
    stops = []

    def start(key=None, served=live):
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(served, key=key), log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        stops.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for server, thread in stops:
        server.should_exit = True
        thread.join()


@pytest.fixture
def open_page(browser):
    """Opens an address; afterwards nothing may have failed or been asked of anyone else."""
    opened = []

    def start(address, expected_errors=(), **options):
        page = browser.new_page(**options)
        page.set_default_timeout(120_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
        ours = (address.split("/?")[0], "data:")
        page.on("request", lambda r: r.url.startswith(ours) or page.problems.append(r.url))
        page.goto(address)
        opened.append((page, expected_errors))
        return page

    yield start
    for page, expected in opened:
        page.close()
        assert [p for p in page.problems if not any(e in p for e in expected)] == []


def titles(page):
    return page.locator(".hit h2").all_inner_texts()


def numbers(rows):
    """The last of each row."""
    return [float(row.split()[-1]) for row in rows]


def test_search_and_explain(serve, open_page, client):
    page = open_page(serve())
    page.wait_for_selector("#modes input")
    assert page.inner_text("#about") == "3 documents · words"
    page.fill("#query", "quick animal")
    page.wait_for_selector(".hit")
    asked = {"query": "quick animal", "explain": True}
    answer = client.post("/v1/search", json=asked).json()
    hits, terms = answer["hits"], answer["query_terms"]
    assert titles(page) == [hit["title"] or hit["doc_id"] for hit in hits]
    shown = page.locator("#asked li").all_inner_texts()
    assert [one.split()[0] for one in shown] == [term["term"] for term in terms]
    assert numbers(shown) == pytest.approx([term["weight"] for term in terms], abs=0.0051)
    assert "quick" in page.locator("mark").all_inner_texts()
    page.locator(".why").first.click()
    panel = page.locator(".panel").first
    panel.get_by_text("What the document is about").wait_for()
    rows = panel.locator("section").first.locator("li").all_inner_texts()
    matches = hits[0]["explanation"]
    assert numbers(rows) == pytest.approx([match["product"] for match in matches], abs=0.0051)
    assert any(row.startswith("+ animal") for row in rows)
    outranks = panel.get_by_role("heading", name="Why it is above number 2")
    assert outranks.is_visible()
    lead = re.search(r"It is (\S+) ahead of Fox", panel.inner_text())[1]
    assert float(lead) == pytest.approx(hits[0]["score"] - hits[1]["score"], abs=0.0051)


def test_mode_filter_and_address(serve, open_page):
    address = serve()
    page = open_page(f"{address}/?q=puppy")
    page.wait_for_selector(".hit")
    assert titles(page) == ["b"]
    page.get_by_text("lexical", exact=True).click()
    page.get_by_text("Nothing found.").wait_for()
    assert "mode=lexical" in page.url
    page.fill("#query", "fox")
    page.fill("#filter", "year <= 1")
    page.get_by_text("1 document in").wait_for()
    assert titles(page) == ["Fox"]
    again = open_page(page.url)
    again.wait_for_selector(".hit")
    assert titles(again) == ["Fox"]
    assert again.is_checked("[value=lexical]")


def test_an_index_with_a_dense_part(hybrid_live, serve, open_page):
    page = open_page(f"{serve(served=hybrid_live)}/?q=quick+fox")
    page.wait_for_selector(".hit")
    assert page.is_checked("[value=hybrid]")
    assert "anchored #1, dense #1" in page.locator(".facts").first.inner_text()
    page.locator(".why").first.click()
    page.get_by_text("Fused of anchored #1, dense #1").wait_for()
    page.get_by_text("dense", exact=True).click()
    page.locator(".facts", has_text="anchored #1").wait_for(state="detached")
    page.locator(".why").first.click()
    page.get_by_text("It was found by its dense vector, not by terms.").wait_for()


def test_what_is_wrong_is_said(serve, open_page):
    page = open_page(f"{serve()}/?q=fox", expected_errors=["400 (Bad Request)"])
    page.wait_for_selector(".hit")
    page.fill("#filter", "unknown = 1")
    page.get_by_role("alert").get_by_text("unknown field").wait_for()
    page.fill("#filter", "")
    page.wait_for_selector(".hit")
    assert page.inner_text("#problem") == ""


def test_by_keyboard_alone(serve, open_page):
    page = open_page(serve())
    page.wait_for_selector("#modes input")
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type("fox")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hit")
    page.keyboard.press("Tab")  # the modes
    page.keyboard.press("Tab")  # the filter
    page.keyboard.press("Tab")  # the first hit
    assert page.evaluate("document.activeElement.className") == "why"
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert page.locator(".why").nth(1).get_attribute("aria-expanded") == "true"
    page.locator(".panel").nth(1).get_by_text("What matched").wait_for()
    page.keyboard.press("k")
    assert page.locator(".why").nth(0).evaluate("one => one === document.activeElement")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


def test_everything_has_a_name(serve, open_page):
    """What a screen reader says is there: names of inputs, numbers beside bars."""
    page = open_page(f"{serve()}/?q=quick+animal")
    page.wait_for_selector(".hit")
    for role, name in (
        ("searchbox", "Query"),
        ("textbox", "Filter"),
        ("radio", "anchored"),
        ("button", "Why was Fox found"),
        ("list", "Hits"),
        ("group", "Mode"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, (role, name)
    assert page.get_by_role("status").inner_text().startswith("2 documents in ")
    assert page.get_by_role("img", name="expansions").count() > 0
    assert page.locator(".bar:not([aria-hidden=true])").count() == 0


def test_a_key_is_asked_for(serve, open_page):
    page = open_page(serve(KEY), expected_errors=["401 (Unauthorized)"])
    page.wait_for_selector("#key:not([hidden])")
    page.fill("#secret", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("#modes input")
    page.fill("#query", "fox")
    page.wait_for_selector(".hit")
    assert page.locator("#key").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_in_light_and_dark(serve, open_page, scheme):
    """Text has at least 4.5 : 1 against what is behind it (WCAG 2.2, AA)."""
    page = open_page(f"{serve()}/?q=quick+fox+animal", color_scheme=scheme)
    page.wait_for_selector(".hit")
    page.locator(".why").first.click()
    page.get_by_text("What the document is about").wait_for()
    for selector in (
        ".hit h2",
        ".snippet",
        ".facts",
        ".score",
        ".rank",
        "#about",
        "#status",
        ".panel h3",
        ".panel section > p",
        ".term",
        "#legend span",
        "mark",
    ):
        ink, paper = page.locator(selector).first.evaluate(
            """one => {
              const ink = getComputedStyle(one).color;
              let paper = "rgba(0, 0, 0, 0)";
              for (let at = one; at && paper === "rgba(0, 0, 0, 0)"; at = at.parentElement)
                paper = getComputedStyle(at).backgroundColor;
              const canvas = new OffscreenCanvas(1, 1).getContext("2d");
              return [paper, ink].map((color, i) => {
                canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
                return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
              }).reverse();
            }"""
        )
        assert contrast(ink, paper) >= 4.5, selector
    if folder := os.environ.get("SPARSE_IR_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{scheme}.png", full_page=True)


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(rgb):
    shares = [c / 255 for c in rgb]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
