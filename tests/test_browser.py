"""The built site in a real browser: every page, light and dark, on a wide screen and a phone.

Each page is opened over file:// once for each width; the colours are switched on the open page, as
the reader's system does it. All findings are collected in one go, as lists of sentences that name
the page, the mode and the width; each test then looks at one kind. The browser finds no host but
this machine, so a page that asks for more is caught and still nothing is sent.
"""

import gzip
import os
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader

from tools.notebooks import ROOT

SITE = ROOT / "_build/html"
WIDTHS = (1280, 390)
MODES = ("light", "dark")
MEGABYTE = 1_000_000

ARGUMENTS = [
    "--no-sandbox",  # a container's root has no user namespace
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
DEBIAN = "/usr/bin/chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = (
    "There is no browser for these tests: install Debian's (apt install chromium) or "
    "Playwright's (.venv/bin/playwright install chromium)."
)

# The package's own interface reads another form of the results; only the program in it is used.
AXE = Path(
    str(distribution("axe-playwright-python").locate_file("axe_playwright_python/axe.min.js"))
)
# Contrast takes nearly all the time, and the width changes no colour.
AXE_RULES = {
    ("light", 1280): ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
    ("dark", 1280): ["wcag2aa"],
    ("light", 390): ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice", "-contrast"],
    ("dark", 390): [],
}
# A block of code is left out if all its kinds of tokens stand in a block before it: a chapter has
# thousands of them. `preload` would read style sheets again by requests that browsers forbid on
# file://.
RUN_AXE = """async tags => {
  const seen = new Set(), exclude = [...document.querySelectorAll(".highlight")].filter(block => {
    const where = !!block.closest(".cell_output") + "" + !!block.closest(".cell_input");
    const kinds = [...block.querySelectorAll("span")].map(e => where + e.className);
    const known = kinds.length > 0 && kinds.every(kind => seen.has(kind));
    kinds.forEach(kind => seen.add(kind));
    return known;
  });
  const result = await axe.run(exclude.length ? {exclude} : document, {
    runOnly: {type: "tag", values: tags.filter(tag => tag[0] !== "-")},
    rules: {"color-contrast": {enabled: !tags.includes("-contrast")}},
    resultTypes: ["violations"], preload: false,
  });
  // axe does not read MathML, so it takes a heading that is one formula for an empty one.
  const formula = n => document.querySelector(n.target[0])?.matches("th:has(math)");
  for (const v of result.violations) {
    if (v.id === "empty-table-header") v.nodes = v.nodes.filter(n => !formula(n));
  }
  return result.violations.filter(v => v.nodes.length).map(v =>
    `${v.id} (${v.impact}), ${v.nodes.length} times: `
    + v.nodes.slice(0, 3).map(n => n.html.slice(0, 150)).join(" | "));
}"""

SETTLE = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
}"""

# An undefined command is no error for MathJax: it sets its name in red.
RAW_MATH = r"""() => [
  ...[...document.querySelectorAll(".math")].filter(e => !e.querySelector("mjx-container")),
  ...document.querySelectorAll("mjx-merror, [data-mjx-error], mjx-mtext[style*='color: red']"),
].map(e => e.textContent.trim().slice(0, 80))"""

IMAGES = """() => [...document.querySelectorAll("main img, article img")].map(
  e => [e.getAttribute("src").slice(0, 80), e.getAttribute("alt") || ""])"""

# The innermost boxes that stand out say where to look.
SIDEWAYS = """() => {
  const root = document.documentElement, excess = root.scrollWidth - root.clientWidth;
  if (excess <= 0) return [];
  const out = [...document.querySelectorAll("body *")].filter(
    e => e.getBoundingClientRect().right > root.clientWidth + 1);
  return [`${excess} px: ` + out.filter(e => !out.some(o => o !== e && e.contains(o)))
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(" | ")];
}"""

ANCHORS = """() => ({
  links: [...document.querySelectorAll("a[href]")].map(e => e.href),
  ids: [...document.querySelectorAll("[id], a[name]")].map(e => e.id || e.name),
})"""


def find_browser(playwrights_own: str) -> str | None:
    """Debian's Chromium, else one on the PATH, else Playwright's own."""
    found = [DEBIAN, *map(shutil.which, NAMES), playwrights_own]
    return next((path for path in found if path and Path(path).exists()), None)


def no_browser() -> None:
    """Skip, but where the whole must be shown, fail."""
    if os.environ.get("CI_RUN"):
        pytest.fail(NO_BROWSER, pytrace=False)
    pytest.skip(NO_BROWSER)


def machine_made(alt: str) -> bool:
    """Whether an image's text says nothing: none, a file name, one word such as 'image'."""
    return len(alt.split()) < 2 or bool(re.search(r"\.(png|svg|jpe?g|gif)\b", alt))


def local(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def dead_links(links: dict[Path, list[str]], ids: dict[Path, set[str]]) -> list[str]:
    """What the links of the pages do not reach, as the browser has resolved them."""
    dead = set()
    for path, urls in links.items():
        for url in urls:
            target, anchor = local(url), unquote(urlsplit(url).fragment)
            if urlsplit(url).scheme != "file":
                continue
            missing = anchor and target in ids and anchor not in ids[target]
            if not target.is_file() or missing:
                dead.add(f"{path.name}: {url.rsplit('/', 1)[-1]}")
    return sorted(dead)


class Visit:
    """A page that stays open: goes to one address after another and writes down what is wrong."""

    def __init__(self, browser: Browser, width: int) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="light",
            reduced_motion="reduce",  # else colours are measured while they fade
        )
        self.width = width
        self.page: Page = context.new_page()
        self.requests: set[str] = set()
        self.errors: list[str] = []
        self.page.on("request", lambda r: self.requests.add(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def open(self, url: str) -> None:
        self.requests.clear()
        self.errors.clear()
        self.page.emulate_media(color_scheme="light")
        self.page.goto(url)
        self.page.evaluate(SETTLE)

    def outside(self, base: str) -> list[str]:
        inside = (base, "data:", "blob:", "about:")
        return [url for url in sorted(self.requests) if not url.startswith(inside)]

    def weight(self) -> int:
        """Bytes of what the page fetched, each file as a server sends it, packed if that helps."""
        sizes = []
        for path in {local(url) for url in self.requests if url.startswith("file:")}:
            raw = path.read_bytes() if path.is_file() else b""
            sizes.append(min(len(raw), len(gzip.compress(raw, 6))))
        return sum(sizes)

    def dark(self) -> None:
        self.page.emulate_media(color_scheme="dark")
        if self.page.locator("html[data-theme]").count():
            self.page.wait_for_selector("html[data-theme=dark]", timeout=5000)

    def axe(self, mode: str) -> list[str]:
        tags = AXE_RULES[mode, self.width]
        found: list[str] = self.page.evaluate(RUN_AXE, tags) if tags else []
        return found

    def findings(self, base: str) -> dict[str, list[str]]:
        """All that is wrong with the open page, in both modes, by the kind of check."""
        found: dict[str, list[str]] = defaultdict(list)
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        for mode in MODES:
            if mode == "dark":
                self.dark()
            here = {
                "math": self.page.evaluate(RAW_MATH),
                "sideways": self.page.evaluate(SIDEWAYS),
                "axe": self.axe(mode),
                "images": [
                    f"{source}: {alt!r}"
                    for source, alt in self.page.evaluate(IMAGES)
                    if machine_made(alt)
                ],
            }
            # Last, as switching to the dark may fetch and log as well; each is reported once.
            here["requests"] = self.outside(base)
            here["errors"] = list(self.errors)
            self.requests.clear()
            self.errors.clear()
            for kind, what in here.items():
                found[kind] += [f"({mode}, {self.width} px) {thing}" for thing in what]
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        if path is None:
            no_browser()
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


def pages() -> list[Path]:
    """The pages, without the theme's templates and without one that only leads to another."""
    if not (SITE / "index.html").exists():
        pytest.fail("There is no site in _build/html: run 'make book' first.", pytrace=False)
    found = [p for p in SITE.rglob("*.html") if "_static" not in p.parts]
    return sorted(p for p in found if 'http-equiv="Refresh"' not in p.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def audit(browser: Browser) -> dict[str, Any]:
    """The findings about the whole site, by kind, and each page's weight."""
    site: dict[str, Any] = defaultdict(list)
    links, ids, weights = {}, {}, {}
    for width in WIDTHS:
        visit = Visit(browser, width)
        for path in pages():
            name = str(path.relative_to(SITE))
            visit.open(path.as_uri())
            weights[name] = max(visit.weight(), weights.get(name, 0))
            anchors = visit.page.evaluate(ANCHORS)
            links[path], ids[path] = anchors["links"], set(anchors["ids"])
            for kind, found in visit.findings(SITE.as_uri()).items():
                site[kind] += [f"{name} {what}" for what in found]
        visit.page.context.close()
    site["links"] = dead_links(links, ids)
    site["weights"] = weights
    return site


def test_no_request_leaves_the_site(audit):
    assert not audit["requests"], "\n".join(audit["requests"])


def test_no_error_is_logged(audit):
    assert not audit["errors"], "\n".join(audit["errors"])


def test_all_math_is_rendered(audit):
    assert not audit["math"], "\n".join(audit["math"])


def test_every_image_is_described_in_words(audit):
    assert not audit["images"], "\n".join(audit["images"])


def test_no_page_scrolls_sideways(audit):
    assert not audit["sideways"], "\n".join(audit["sideways"])


def test_every_link_and_anchor_leads_somewhere(audit):
    assert not audit["links"], "\n".join(audit["links"])


def test_axe_finds_nothing(audit):
    assert not audit["axe"], "\n".join(audit["axe"])


# What a reader opens: the button, and the width at which it is there.
OPENS = {
    "where to run": (".dropdown-launch-buttons button", 1280),
    "search": ("button.search-button__button", 1280),
    "search on a phone": ("button.search-button__button", 390),
    "all pages": ("button.primary-toggle", 390),
    "this page": ("button.secondary-toggle", 390),
}


@pytest.mark.parametrize("name", OPENS)
def test_what_opens_is_sound_as_well(browser: Browser, name: str):
    button, width = OPENS[name]
    visit = Visit(browser, width)
    try:
        visit.open((SITE / "book/run_times.html").as_uri())
        shut = visit.page.evaluate("document.body.innerText")
        visit.page.locator(button).filter(visible=True).first.click()
        # A menu or a dialog of the page's own: the text that can be seen, or the focus, changes.
        visit.page.wait_for_function(
            "shut => document.body.innerText !== shut || document.querySelector('dialog[open]')",
            arg=shut,
        )
        found = visit.findings(SITE.as_uri())
    finally:
        visit.page.context.close()
    assert {kind: what for kind, what in found.items() if what} == {}


def test_every_page_weighs_less_than_a_megabyte(audit):
    assert len(audit["weights"]) == len(pages()) > 3
    assert min(audit["weights"].values()) > 50_000, "too little was counted"
    assert {name: n for name, n in audit["weights"].items() if n >= MEGABYTE} == {}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def test_a_page_from_a_server_is_as_clean(browser: Browser):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/"
        visit = Visit(browser, 1280)
        try:
            visit.open(base + "book/notation.html")
            found = visit.findings(base)
        finally:
            visit.page.context.close()
            server.shutdown()
            thread.join()
    assert {kind: what for kind, what in found.items() if what} == {}


# --- On paper. ---

# Bars and buttons, and the scripts that are folded below the line that names them.
SCREEN_ONLY = (
    ".bd-header, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-area,"
    " .copybtn, #pst-back-to-top, footer.bd-footer, details.hide > summary, details.below-input"
)


def words(text: str) -> str:
    """Letters and digits alone: a PDF has guessed spaces and look-alikes of signs."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize("mode", MODES)
def test_a_chapter_prints_cleanly(browser: Browser, tmp_path: Path, mode: str):
    visit = Visit(browser, 1280)
    try:
        visit.open((SITE / "book/02_rnn.html").as_uri())
        if mode == "dark":
            visit.dark()
        headings = visit.page.eval_on_selector_all(
            "article :is(h1, h2)", "all => all.map(e => e.firstChild.textContent)"
        )
        visit.page.evaluate(
            "addEventListener('beforeprint', "
            "() => { window.printed = document.documentElement.dataset.theme; })"
        )
        visit.page.pdf(path=tmp_path / "chapter.pdf", format="A4")
        assert visit.page.locator(f"html[data-theme={mode}]").count(), "the theme came back"
        visit.page.emulate_media(media="print", color_scheme=mode)  # type: ignore[arg-type]
        shown = visit.page.eval_on_selector_all(
            SCREEN_ONLY, "all => all.filter(e => e.checkVisibility()).map(e => e.className)"
        )
        printed = visit.page.evaluate("window.printed")
    finally:
        visit.page.context.close()
    assert printed == "light"
    assert shown == []
    with PdfReader(tmp_path / "chapter.pdf") as reader:
        text = words(" ".join(page.extract_text() for page in reader.pages))
        assert 5 <= len(reader.pages) <= 60
    assert len(headings) > 3
    assert [h for h in headings if words(h) not in text] == []


# --- Planted faults are found. ---

PLANTED = {
    "requests": '<script src="http://elsewhere.example/a.js"></script>',
    "errors": "<script>throw Error('planted')</script>",
    "math": r'<span class="math">\(x\)</span>',
    "images": '<article><img src="a.svg" alt="../_images/1f3a.png"></article>',
    "sideways": '<div style="width: 3000px">wide</div>',
    "axe": '<p style="color: #eee; background: #fff">pale</p>',
}
SOUND = """<!doctype html><html lang="en"><head><title>Sound</title></head><body><main>
<h1>Sound</h1><p>A page <img src="a.svg" alt="a small square" width="9"> without faults.</p>%s
</main></body></html>"""
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Visit]:
    wide = Visit(browser, 1280)
    yield wide
    wide.page.context.close()


def examined(visit: Visit, folder: Path, fault: str) -> dict[str, list[str]]:
    (folder / "a.svg").write_text(SQUARE)
    (folder / "a.html").write_text(SOUND % fault)
    visit.open((folder / "a.html").as_uri())
    return {kind: what for kind, what in visit.findings(folder.as_uri()).items() if what}


def test_nothing_is_found_on_a_sound_page(visit: Visit, tmp_path: Path):
    assert examined(visit, tmp_path, "") == {}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_found(visit: Visit, tmp_path: Path, kind: str):
    assert kind in examined(visit, tmp_path, PLANTED[kind])


def test_a_fault_of_the_dark_alone_is_found(visit: Visit, tmp_path: Path):
    style = "@media (prefers-color-scheme: dark) { body { background: #000; color: #222 } }"
    found = examined(visit, tmp_path, f"<style>{style}</style>")
    assert [what.split(")")[0] for what in found["axe"]] == ["(dark, 1280 px"]


def test_planted_dead_links_are_found(visit: Visit, tmp_path: Path):
    path = tmp_path / "a.html"
    examined(
        visit, tmp_path,
        '<a href="#here" id="here">x</a><a href="#gone">x</a><a href="gone.html">x</a>',
    )  # fmt: skip
    anchors = visit.page.evaluate(ANCHORS)
    assert dead_links({path: anchors["links"]}, {path: set(anchors["ids"])}) == [
        "a.html: a.html#gone",
        "a.html: gone.html",
    ]


def test_a_page_is_weighed_as_it_is_fetched(visit: Visit, tmp_path: Path):
    noise = os.urandom(MEGABYTE)  # nothing packs it
    (tmp_path / "b.png").write_bytes(noise)
    (tmp_path / "a.html").write_text('<img src="b.png" alt="noise">' + " " * MEGABYTE)
    visit.open((tmp_path / "a.html").as_uri())
    assert MEGABYTE < visit.weight() < 1.01 * MEGABYTE


def test_the_nearest_browser_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (own := tmp_path / "own").touch()
    (on_path := tmp_path / "chromium").touch()
    (debian := tmp_path / "debian").touch()
    monkeypatch.setattr("shutil.which", {"chromium": str(on_path)}.get)
    monkeypatch.setitem(find_browser.__globals__, "DEBIAN", str(debian))
    for path in (debian, on_path, own):
        assert find_browser(str(own)) == str(path)
        path.unlink()
    assert find_browser(str(own)) is None


@pytest.mark.parametrize(
    ("ci_run", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_no_browser_skips_and_fails_where_all_must_be_shown(monkeypatch, ci_run, outcome):
    monkeypatch.setenv("CI_RUN", ci_run)
    with pytest.raises(outcome, match="apt install chromium"):
        no_browser()
