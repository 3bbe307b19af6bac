"""The built site in a real browser: every page, light and dark, on a wide screen and a phone.

Each page is opened over file:// once for each width, read to its end and unfolded; the colours are
switched on the open page, as the reader's system does it. All findings are collected in one go, as
lists of sentences that name the page, the mode and the width; each test then looks at one kind. The
browser finds no host but this machine, so a page that asks for more is caught and still nothing is
sent. The widths and the paper are classes, as xdist gives each class a process of its own.
"""

import gzip
import os
import re
import shutil
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import psutil
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright
from pypdf import PdfReader

from tools.notebooks import ROOT

T = TypeVar("T")

SITE = ROOT / "_build/html"
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
# Whatever is installed comes first, also on GitHub's machines, which bring Chrome: then nothing has
# to be downloaded (.ci/run does so where there is none), and the pages are for any such browser.
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
# Contrast takes nearly all the time. The width changes no colour, and the dark nothing else.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
AXE_RULES: dict[tuple[str, int], dict[str, Any]] = {
    ("light", 1280): {"runOnly": {"type": "tag", "values": TAGS}},
    ("dark", 1280): {"runOnly": {"type": "rule", "values": COLOURS}},
    ("light", 390): {
        "runOnly": {"type": "tag", "values": TAGS},
        "rules": {rule: {"enabled": False} for rule in COLOURS},
    },
}
# A chapter has thousands of tokens of code and hundreds of formulas. A block of code or a formula
# is taken out while axe looks if all its kinds, in the same colours on the same background, were
# there before it, on this page or on another in the same mode. A formula in a link or a heading
# stays, as it may be all of it, and so does one in a box of its own, which may scroll. `preload`
# would read style sheets again by requests that browsers forbid on file://.
RUN_AXE = """async ([rules, known]) => {
  const behind = e => {
    while (e && getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement;
    return e ? getComputedStyle(e).backgroundColor : "";
  };
  const seen = new Set(known), holes = [], repeated = [];
  for (const e of document.querySelectorAll(".highlight, :is(p, li, dd, td) > span.math")) {
    if (e.closest("a, th, summary")) continue;
    const where = [".cell_output", ".cell_input"].map(c => !!e.closest(c)) + behind(e);
    const kinds = [e, ...e.querySelectorAll("pre, span, [style]")].map(part => {
      const style = getComputedStyle(part);
      return [where, part.className, style.color, style.backgroundColor, style.opacity].join();
    });
    if (kinds.every(kind => seen.has(kind))) repeated.push(e);
    kinds.forEach(kind => seen.add(kind));
  }
  for (const e of repeated) {
    const hole = document.createComment("");
    e.replaceWith(hole);
    holes.push([hole, e]);
  }
  const result = await axe.run(document, {
    ...rules, resultTypes: ["violations"], preload: false,
  });
  // axe does not read MathML, so it takes a heading that is one formula for an empty one.
  const formula = n => document.querySelector(n.target[0])?.matches("th:has(math)");
  for (const v of result.violations) {
    if (v.id === "empty-table-header") v.nodes = v.nodes.filter(n => !formula(n));
  }
  holes.forEach(([hole, e]) => hole.replaceWith(e));
  const found = result.violations.filter(v => v.nodes.length).map(v =>
    `${v.id} (${v.impact}), ${v.nodes.length} times: `
    + v.nodes.slice(0, 3).map(n => n.html.slice(0, 150)).join(" | "));
  return [found, [...seen]];
}"""

SETTLE = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
}"""
UNFOLD = "() => document.querySelectorAll('details').forEach(e => { e.open = true; })"
# What unfolds fades in, and colours are measured only after that.
REST = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame();
  await frame();
  const ends = document.getAnimations().filter(
    a => a.playState === "running" && a.effect.getComputedTiming().endTime < Infinity);
  const late = new Promise(done => setTimeout(done, 3000));
  await Promise.race([late, Promise.all(ends.map(a => a.finished.catch(() => 0)))]);
}"""
# Down the page, screen by screen, as some things are fetched when they come into view, and back.
READ = """async () => {
  const go = top => scrollTo({top, behavior: "instant"});
  for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) {
    go(y);
    await new Promise(requestAnimationFrame);
  }
  const coming = [...document.images].filter(e => e.checkVisibility() && !e.complete);
  const all = coming.map(e => new Promise(done => { e.onload = e.onerror = done; }));
  await Promise.race([new Promise(done => setTimeout(done, 3000)), Promise.all(all)]);
  await new Promise(done => setTimeout(done, 100));
  go(0);
}"""

# An undefined command is no error for MathJax: it sets its name in red. A price is one dollar.
RAW_MATH = r"""() => {
  const texts = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const not = "pre, code, script, style, .math, mjx-container";
  while (walk.nextNode()) {
    const raw = /\$[^$\n]+\$|\\[(\[]/.test(walk.currentNode.data);
    if (raw && !walk.currentNode.parentElement.closest(not)) texts.push(walk.currentNode);
  }
  return [
    ...texts,
    ...[...document.querySelectorAll(".math")].filter(e => !e.querySelector("mjx-container")),
    ...document.querySelectorAll("mjx-merror, [data-mjx-error], mjx-mtext[style*='color: red']"),
  ].map(e => e.textContent.trim().slice(0, 80));
}"""

# The logos in the theme's menu stand beside words.
IMAGES = """() => [...document.querySelectorAll("main img:not(.dropdown-menu img)")].map(
  e => [e.getAttribute("src").slice(0, 80), e.getAttribute("alt") || ""])"""

# What is wider than the page, begins left of it or is cut off in its box; `cuts` are the values of
# `overflow` that cut. The innermost boxes say where to look. MathJax cuts off on purpose what it
# writes for screen readers.
SIDEWAYS = """cuts => {
  const root = document.documentElement, excess = root.scrollWidth - root.clientWidth, found = [];
  const quiet = document.createElement("style");
  quiet.textContent = "mjx-assistive-mml { display: none !important }";
  document.head.append(quiet);
  const tell = (what, all) => found.push(`${what}: ` + all.filter(
    e => !all.some(o => o !== e && e.contains(o))).slice(0, 3).map(
    e => e.outerHTML.slice(0, 120)).join(" | "));
  const box = e => e.getBoundingClientRect();
  const seen = [...document.querySelectorAll("body *")].filter(
    e => e.checkVisibility({visibilityProperty: true}));
  if (excess > 0) tell(`${excess} px`, seen.filter(e => box(e).right > root.clientWidth + 1));
  const left = seen.filter(e => e.closest("main") && box(e).width > 1 && box(e).left < -1);
  if (left.length) tell("left of the page", left);
  const cut = seen.filter(e => {
    const {overflowX, overflowY} = getComputedStyle(e);
    return e.clientWidth > 1 && e.textContent.trim() && (
      cuts.includes(overflowX) && e.scrollWidth > e.clientWidth + 2 ||
      cuts.includes(overflowY) && e.scrollHeight > e.clientHeight + 2);
  });
  if (cut.length) tell("cut off", cut);
  quiet.remove();
  return found;
}"""
ON_SCREEN = ["hidden", "clip"]
ON_PAPER = ["hidden", "clip", "auto", "scroll"]

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
    """Whether an image's text says nothing: none, a file name, a word or two such as 'a figure'."""
    return len(alt.split()) < 4 or bool(re.search(r"\.(png|svg|jpe?g|gif)\b", alt))


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
    """A page that stays open: goes to one address after another and writes down what is wrong.

    ``seen`` is what axe has seen, by mode, where other visits have been before this one.
    """

    def __init__(
        self, browser: Browser, width: int, seen: dict[str, list[str]] | None = None
    ) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="light",
            reduced_motion="reduce",  # else colours are measured while they fade
        )
        self.width = width
        self.page: Page = context.new_page()
        self.requests: set[str] = set()
        self.errors: list[str] = []
        self.seen = {mode: [] for mode in MODES} if seen is None else seen
        self.page.on("request", lambda r: self.requests.add(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def open(self, url: str, unfold: bool = True) -> None:
        self.requests.clear()
        self.errors.clear()
        self.page.emulate_media(color_scheme="light")
        self.page.goto(url)
        self.page.evaluate(SETTLE)
        if unfold:
            self.page.evaluate(UNFOLD)
        self.page.evaluate(READ)
        self.page.evaluate(REST)

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
        self.page.evaluate(REST)

    def axe(self, mode: str) -> list[str]:
        if (mode, self.width) not in AXE_RULES:
            return []
        rules = AXE_RULES[mode, self.width]
        found: list[str]
        found, seen = self.page.evaluate(RUN_AXE, [rules, self.seen[mode]])
        # What was found wanting is looked at again wherever it stands.
        self.seen[mode] = self.seen[mode] if found else seen
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
                "sideways": self.page.evaluate(SIDEWAYS, ON_SCREEN),
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


class Silent(Exception):
    """The browser does not answer any more."""


class Reader:
    """Looks at pages in a browser, and once more in a new one when that no longer answers.

    Chromium has been seen to fall silent on a page that it had read many times. Playwright then
    waits for ever, unless the browser ends. A page on which two of them fall silent fails.
    """

    patience = 120.0  # seconds for a page; the longest takes ten

    def __init__(self, launch: Callable[[], Browser]) -> None:
        self._launch = launch
        self._browser = launch()

    def look(
        self, width: int, work: Callable[[Visit], T], seen: dict[str, list[str]] | None = None
    ) -> T:
        """Return what `work` does with a new page."""
        with suppress(Silent):
            return self._once(width, work, seen)
        return self._once(width, work, seen)

    def _once(self, width: int, work: Callable[[Visit], T], seen: dict[str, list[str]] | None) -> T:
        late = Event()
        timer = Timer(self.patience, lambda: (late.set(), end_browsers()))
        timer.start()
        try:
            visit = Visit(self._browser, width, seen)
            done = work(visit)
            visit.page.context.close()
            return done
        except Error as error:
            if not late.is_set():
                raise
            self._browser = self._launch()
            raise Silent(f"no answer in {self.patience:g} s") from error
        finally:
            timer.cancel()

    def close(self) -> None:
        self._browser.close()


def end_browsers() -> None:
    """End the browsers that this process has started."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "--remote-debugging-pipe" in child.cmdline():  # the first of a browser's processes
                child.kill()


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        if path is None:
            no_browser()
        opened = Reader(partial(playwright.chromium.launch, executable_path=path, args=ARGUMENTS))
        yield opened
        opened.close()


def pages() -> list[Path]:
    """The pages, without the theme's templates and without one that only leads to another."""
    if not (SITE / "index.html").exists():
        pytest.fail("There is no site in _build/html: run 'make book' first.", pytrace=False)
    found = [p for p in SITE.rglob("*.html") if "_static" not in p.parts]
    return sorted(p for p in found if 'http-equiv="Refresh"' not in p.read_text(encoding="utf-8"))


class Pages:
    """What is asked of every page at one width."""

    width: int

    @pytest.fixture(scope="class")
    @classmethod
    def audit(cls, reader: Reader) -> dict[str, Any]:
        """The findings about the whole site, by kind, and each page's weight."""
        site: dict[str, Any] = defaultdict(list)
        links, ids, weights = {}, {}, {}
        seen: dict[str, list[str]] = {mode: [] for mode in MODES}
        for path in pages():
            name = str(path.relative_to(SITE))

            def read(visit: Visit, path: Path = path) -> tuple[int, Any, dict[str, list[str]]]:
                visit.open(path.as_uri())
                weight, anchors = visit.weight(), visit.page.evaluate(ANCHORS)
                return weight, anchors, visit.findings(SITE.as_uri())

            weights[name], anchors, findings = reader.look(cls.width, read, seen)
            links[path], ids[path] = anchors["links"], set(anchors["ids"])
            for kind, found in findings.items():
                site[kind] += [f"{name} {what}" for what in found]
        site["links"] = dead_links(links, ids)
        site["weights"] = weights
        return site

    def test_no_request_leaves_the_site(self, audit):
        assert not audit["requests"], "\n".join(audit["requests"])

    def test_no_error_is_logged(self, audit):
        assert not audit["errors"], "\n".join(audit["errors"])

    def test_all_math_is_rendered(self, audit):
        assert not audit["math"], "\n".join(audit["math"])

    def test_every_image_is_described_in_words(self, audit):
        assert not audit["images"], "\n".join(audit["images"])

    def test_no_page_scrolls_sideways_and_nothing_is_cut_off(self, audit):
        assert not audit["sideways"], "\n".join(audit["sideways"])

    def test_every_link_and_anchor_leads_somewhere(self, audit):
        assert not audit["links"], "\n".join(audit["links"])

    def test_axe_finds_nothing(self, audit):
        assert not audit["axe"], "\n".join(audit["axe"])

    def test_every_page_weighs_less_than_a_megabyte(self, audit):
        weights = audit["weights"]
        assert len(weights) == len(pages()) > 3
        assert min(weights.values()) > 50_000, "too little was counted"
        heaviest = sorted(weights.items(), key=lambda pair: -pair[1])[:3]
        assert heaviest[0][1] < MEGABYTE, f"the heaviest pages, in bytes: {heaviest}"


class TestOnAWideScreen(Pages):
    width = 1280


class TestOnAPhone(Pages):
    width = 390


# What a reader opens: the button, and the width at which it is there.
OPENS = {
    "where to run": (".dropdown-launch-buttons button", 1280),
    "search": ("button.search-button__button", 1280),
    "search on a phone": ("button.search-button__button", 390),
    "all pages": ("button.primary-toggle", 390),
    "this page": ("button.secondary-toggle", 390),
}


@pytest.mark.parametrize("name", OPENS)
def test_what_opens_is_sound_as_well(reader: Reader, name: str):
    button, width = OPENS[name]

    def opened(visit: Visit) -> dict[str, list[str]]:
        visit.open((SITE / "book/run_times.html").as_uri())
        shut = visit.page.evaluate("document.body.innerText")
        visit.page.locator(button).filter(visible=True).first.click()
        # A menu or a dialog of the page's own: the text that can be seen, or the focus, changes.
        visit.page.wait_for_function(
            "shut => document.body.innerText !== shut || document.querySelector('dialog[open]')",
            arg=shut,
        )
        return visit.findings(SITE.as_uri())

    found = reader.look(width, opened)
    assert {kind: what for kind, what in found.items() if what} == {}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("words", ["循环", "神经网络", "vanishing"])
def test_the_search_finds_parts_of_words_in_chinese_too(reader: Reader, words: str):
    def search(visit: Visit) -> None:
        visit.page.goto((SITE / "search.html").as_uri() + f"?q={words}")
        visit.page.wait_for_selector("#search-results li a", timeout=10_000)

    reader.look(1280, search)


@pytest.mark.parametrize("name", ["notation", "02_rnn"])
def test_a_page_from_a_server_is_as_clean(reader: Reader, name: str):
    def read(visit: Visit) -> dict[str, list[str]]:
        visit.open(f"{base}book/{name}.html")
        return visit.findings(base)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/"
        try:
            found = reader.look(1280, read)
        finally:
            server.shutdown()
            thread.join()
    assert {kind: what for kind, what in found.items() if what} == {}


# --- On paper. ---

# Bars and buttons, and the scripts that are folded below the line that names them.
SCREEN_ONLY = (
    ".bd-header, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-area,"
    " .copybtn, #pst-back-to-top, footer.bd-footer, details.hide > summary, details.below-input"
)


# Simplified characters that are also radicals, for which a PDF takes the sign of the radical:
# the table of equals in Unicode leaves these out.
RADICALS = str.maketrans("⻓⻔⻋⻅⻆⻉⻛⻜⻢⻥⻦⻬⻮⻰", "长门车见角贝风飞马鱼鸟齐齿龙")


def words(text: str) -> str:
    """Letters and digits alone: a PDF has guessed spaces and look-alikes of signs."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text.translate(RADICALS)))


def turns(text: str) -> bool:
    """Whether it holds letters written from right to left: a PDF gives them in its own order."""
    return any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)


# A4 between margins of 1 cm, in pixels; a part that nearly fills a page need not stay whole.
PAPER = {"width": 718, "height": 1047}
WHOLE = 0.9 * PAPER["height"]
# Letters on a page without a figure; less is a page left empty by what did not fit on it.
EMPTY = 200
# A table of single letters and digits is tall, with little on each line.
LINES = 12

# The texts of what is to stay whole, and of what is folded on the screen but not on paper. The
# formulas of a paragraph stand elsewhere in the text of a PDF, so that one with any is left out.
PARTS = """whole => {
  const texts = (all, test) => [...document.querySelectorAll(all)].filter(
    e => !e.closest("details.below-input, summary") && test(e)).map(e => e.textContent);
  return {
    whole: texts("article pre", e => e.getBoundingClientRect().height < whole),
    folded: texts("article details:not([open]) :is(p, pre)", e => !e.querySelector(".math")),
    headings: [...document.querySelectorAll("article :is(h1, h2)")].map(
      e => e.firstChild.textContent),
  };
}"""
TO_PRINT = sorted(
    str(path.relative_to(ROOT / "book").with_suffix(""))
    for folder in ("book", "book/solutions")
    for path in (ROOT / folder).glob("[0-9]*.ipynb")
)


class TestOnPaper:
    @pytest.mark.parametrize(
        ("name", "mode"), [*((name, "light") for name in TO_PRINT), ("02_rnn", "dark")]
    )
    def test_a_page_prints_cleanly(self, reader: Reader, tmp_path: Path, name: str, mode: str):
        def printed(visit: Visit) -> tuple[Any, ...]:
            visit.open((SITE / f"book/{name}.html").as_uri(), unfold=False)
            if mode == "dark":
                visit.dark()
            visit.page.evaluate(
                "addEventListener('beforeprint', "
                "() => { window.printed = document.documentElement.dataset.theme; })"
            )
            margin = dict.fromkeys(("top", "right", "bottom", "left"), "1cm")
            visit.page.pdf(path=tmp_path / "a.pdf", format="A4", margin=margin)  # type: ignore[arg-type]
            assert visit.page.locator(f"html[data-theme={mode}]").count(), "the theme came back"
            visit.page.emulate_media(media="print", color_scheme=mode)  # type: ignore[arg-type]
            visit.page.set_viewport_size(PAPER)  # type: ignore[arg-type]
            shown = visit.page.eval_on_selector_all(
                SCREEN_ONLY, "all => all.filter(e => e.checkVisibility()).map(e => e.className)"
            )
            parts = visit.page.evaluate(PARTS, WHOLE)
            sideways = visit.page.evaluate(SIDEWAYS, ON_PAPER)
            return visit.page.evaluate("window.printed"), shown, parts, sideways

        theme, shown, parts, sideways = reader.look(1280, printed)
        assert theme == "light"
        assert shown == []
        assert sideways == []
        with PdfReader(tmp_path / "a.pdf") as pdf:
            raw = [sheet.extract_text() for sheet in pdf.pages]
            bare = [len(sheet.images) == 0 for sheet in pdf.pages]
        sheets = [words(text) for text in raw]
        assert 5 <= len(sheets) <= 60
        assert min(len(texts) for texts in parts.values()) > 3
        text = "".join(sheets)
        assert [t for t in parts["headings"] + parts["folded"] if words(t) not in text] == []
        whole = [t for t in parts["whole"] if not turns(t)]
        halved = [t for t in whole if not any(words(t) in sheet for sheet in sheets)]
        assert halved == [], "broken over two pages"
        small = [i for i, text in enumerate(sheets[:-1]) if bare[i] and len(text) < EMPTY]
        empty = [i for i in small if raw[i].count("\n") < LINES]
        assert empty == [], "pages with next to nothing on them, counted from 0"


# --- Planted faults are found. ---

CODE = '<div class="highlight"%s><pre><span class="k">if</span></pre></div>'
PALE = "color: #eee; background: #fff"
PLANTED = [
    ("requests", '<script src="http://elsewhere.example/a.js"></script>'),
    (
        "requests",
        '<p style="height: 9000px">long</p><img loading="lazy" alt="" src="http://a.example/b.png">',
    ),
    ("errors", "<script>throw Error('planted')</script>"),
    ("math", r'<span class="math">\(x\)</span>'),
    ("math", "<p>The state $x_t$ is raw.</p>"),
    ("math", r"<p>So is \(a\).</p>"),
    ("math", r"<p>\[ a = b \]</p>"),
    ("images", '<article><img src="a.svg" alt="../_images/1f3a.png"></article>'),
    ("images", '<article><img src="a.svg" alt="a small square"></article>'),
    ("sideways", '<div style="width: 3000px">wide</div>'),
    ("sideways", '<details><summary>more</summary><p style="width: 3000px">wide</p></details>'),
    ("sideways", '<p style="position: relative; left: -50px">left</p>'),
    (
        "sideways",
        '<p style="width: 5rem; overflow: hidden; white-space: nowrap">Cut off at once</p>',
    ),
    ("axe", f'<p style="{PALE}">pale</p>'),
    ("axe", f'<details><summary>more</summary><p style="{PALE}">pale</p></details>'),
    ("axe", CODE % "" + CODE % ' style="color: #eee"'),
    ("axe", CODE % "" + CODE % ' style="background: #111"'),
]
SOUND = """<!doctype html><html lang="en"><head><title>Sound</title></head><body><main>
<h1>Sound</h1><p>A page for $5 <img src="a.svg" alt="a small black square" width="9"> without
faults.</p><pre>$a$</pre>%s</main></body></html>"""
SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def examined(reader: Reader, folder: Path, fault: str) -> dict[str, Any]:
    (folder / "a.svg").write_text(SQUARE)
    (folder / "a.html").write_text(SOUND % fault)

    def read(visit: Visit) -> dict[str, Any]:
        visit.open((folder / "a.html").as_uri())
        found: dict[str, Any] = dict(visit.findings(folder.as_uri()))
        anchors = visit.page.evaluate(ANCHORS)
        links, ids = {folder / "a.html": anchors["links"]}, {folder / "a.html": set(anchors["ids"])}
        found["links"] = dead_links(links, ids)
        return {kind: what for kind, what in found.items() if what}

    return reader.look(1280, read)


def test_nothing_is_found_on_a_sound_page(reader: Reader, tmp_path: Path):
    assert examined(reader, tmp_path, "") == {}


@pytest.mark.parametrize(("kind", "fault"), PLANTED)
def test_a_planted_fault_is_found(reader: Reader, tmp_path: Path, kind: str, fault: str):
    assert kind in examined(reader, tmp_path, fault)


def test_a_fault_of_the_dark_alone_is_found(reader: Reader, tmp_path: Path):
    style = "@media (prefers-color-scheme: dark) { body { background: #000; color: #222 } }"
    found = examined(reader, tmp_path, f"<style>{style}</style>")
    assert [what.split(")")[0] for what in found["axe"]] == ["(dark, 1280 px"]


def test_planted_dead_links_are_found(reader: Reader, tmp_path: Path):
    links = '<a href="#here" id="here">x</a><a href="#gone">x</a><a href="gone.html">x</a>'
    assert examined(reader, tmp_path, links)["links"] == [
        "a.html: a.html#gone",
        "a.html: gone.html",
    ]


def test_a_page_is_weighed_as_it_is_fetched(reader: Reader, tmp_path: Path):
    noise = os.urandom(MEGABYTE)  # nothing packs it
    (tmp_path / "b.png").write_bytes(noise)
    (tmp_path / "a.html").write_text('<img src="b.png" alt="noise">' + " " * MEGABYTE)

    def weighed(visit: Visit) -> int:
        visit.open((tmp_path / "a.html").as_uri())
        return visit.weight()

    assert MEGABYTE < reader.look(1280, weighed) < 1.01 * MEGABYTE


def test_a_silent_browser_is_replaced_and_a_silent_page_fails(reader: Reader, monkeypatch):
    monkeypatch.setattr(reader, "patience", 3.0)
    silence = "() => new Promise(() => {})"
    scripts = iter([silence, "1 + 1", silence, silence, "2 + 2"])
    assert reader.look(390, lambda visit: visit.page.evaluate(next(scripts))) == 2
    with pytest.raises(Silent, match="no answer in 3 s"):
        reader.look(390, lambda visit: visit.page.evaluate(next(scripts)))
    assert reader.look(390, lambda visit: visit.page.evaluate(next(scripts))) == 4


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
