"""The built site, read as files: nothing from elsewhere, no dead link, no image without words."""

import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_notebook

from book._ext.unrolled_site import copy_exercises, mend
from tools.exercises import worked_in
from tools.notebooks import METADATA, ROOT

SITE = ROOT / "_build/html"

# Elements that make the browser fetch something by itself, and the attribute that says what.
FETCHED = {
    "script": ["src"], "link": ["href"], "img": ["src", "srcset"], "source": ["src", "srcset"],
    "iframe": ["src"], "video": ["src", "poster"], "audio": ["src"], "object": ["data"],
    "embed": ["src"], "input": ["src"],
}  # fmt: skip
# A <link> that only names a page fetches nothing.
NAMED = {"canonical", "next", "prev", "search", "index", "license", "author"}


class Page(HTMLParser):
    """What a page fetches, where it links, which anchors it has and which images lack an alt."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.nameless: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {k: v or "" for k, v in attrs}
        self.anchors |= {values[k] for k in ("id", "name") if k in values}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.nameless.append(values.get("src", "?"))
        if tag == "link" and values.get("rel") in NAMED:
            return
        self.fetched += [values[k] for k in FETCHED.get(tag, []) if values.get(k)]


def is_elsewhere(url: str) -> bool:
    return bool(urlsplit(url).netloc)


@cache
def pages() -> dict[Path, Page]:
    if not (SITE / "index.html").exists():
        pytest.fail("There is no site in _build/html: run 'make book' first.", pytrace=False)
    paths = [p for p in SITE.rglob("*.html") if "_static" not in p.parts]  # the theme's templates
    return {p: Page(p.read_text(encoding="utf-8")) for p in sorted(paths)}


def dead_links(site: dict[Path, Page]) -> list[str]:
    """Internal links, and local files, that lead nowhere."""
    dead = []
    for path, page in site.items():
        for url in page.links + page.fetched:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            missing = anchor and target in site and anchor not in site[target].anchors
            if not target.exists() or missing:
                dead.append(f"{path.name}: {url}")
    return dead


def test_there_are_pages():
    assert len(pages()) > 3


def test_nothing_comes_from_another_host():
    found = [u for page in pages().values() for u in page.fetched if is_elsewhere(u)]
    assert found == []


def test_styles_fetch_nothing_from_another_host():
    assert pages()
    sheets = SITE.rglob("*.css")
    found = [p.name for p in sheets if "url(http" in p.read_text(encoding="utf-8").replace('"', "")]
    assert found == []


def test_every_image_has_an_alternative_text():
    assert [f"{p.name}: {src}" for p, page in pages().items() for src in page.nameless] == []


def test_every_internal_link_leads_somewhere():
    assert dead_links(pages()) == []


def test_no_thebe():
    assert [p.name for p in pages() if "thebe" in p.read_text(encoding="utf-8").lower()] == []


def test_formulas_are_rendered_by_the_site_itself():
    used = [u for page in pages().values() for u in page.fetched if "mathjax" in u.lower()]
    assert used, "no page loads MathJax"
    mathjax = SITE / "_static/mathjax"
    assert (mathjax / "tex-chtml.js").is_file()
    assert list((mathjax / "output/chtml/fonts/woff-v2").glob("*.woff"))


def test_the_search_index_names_every_chapter():
    index = pages() and (SITE / "searchindex.js").read_text(encoding="utf-8")
    for path in [*ROOT.glob("book/[0-9]*.ipynb"), *ROOT.glob("book/solutions/*.ipynb")]:
        assert f'"{path.parent.relative_to(ROOT)}/{path.stem}"' in index


def test_every_solution_page_folds_its_answers_and_carries_its_exercise():
    assert pages()
    for path in ROOT.glob("book/solutions/*.ipynb"):
        html = (SITE / f"book/solutions/{path.stem}.html").read_text(encoding="utf-8")
        answers = nbformat.read(path, as_version=4).cells
        folded = [c for c in answers if "hide-input" in c.metadata.get("tags", [])]
        assert len(BeautifulSoup(html, "html.parser").select("details.hide")) == len(folded) > 0
        for page in (html, (SITE / f"book/{path.stem}.html").read_text(encoding="utf-8")):
            assert f'exercises/{path.name}">' in page
        stored = ROOT / f"exercises/{path.name}"
        # Whoever works in an exercise does not have the site built again at each step.
        if not worked_in(stored):
            assert (SITE / f"exercises/{path.name}").read_bytes() == stored.read_bytes()


def test_the_site_carries_the_exercises_that_have_a_page_and_nothing_else(tmp_path: Path):
    for name in (
        "book/solutions/01_a.ipynb", "exercises/01_a.ipynb", "exercises/01_a (1).ipynb",
        "exercises/.OTTER_LOG", "exercises/.ipynb_checkpoints/01_a.ipynb",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    builder = SimpleNamespace(format="html")
    app = SimpleNamespace(srcdir=tmp_path, outdir=tmp_path / "out", builder=builder)
    for contents in ("old", "new"):  # a second build finds the copies of the first
        (tmp_path / "exercises/01_a.ipynb").write_text(contents)
        copy_exercises(app, None)
        copied = {p.name: p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file()}
        assert copied == {"01_a.ipynb": contents}
    assert [p.name for p in (tmp_path / "out/exercises").iterdir()] == ["01_a.ipynb"]


# --- The launch buttons of every kind, in a small book with another address. ---

SMALL_BOOK = """
title: Small
only_build_toc_files: true
execute: {{execute_notebooks: "off"}}
repository: {{url: "https://github.com/ada/course", branch: main}}
launch_buttons:
  notebook_interface: jupyterlab
  binderhub_url: https://binder.example
  jupyterhub_url: https://hub.example
  colab_url: https://colab.example
sphinx:
  local_extensions: {{unrolled_site: "{extensions}"}}
"""


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of a chapter and its solutions, built with this book's own extension."""
    root = tmp_path_factory.mktemp("small")
    (root / "book/solutions").mkdir(parents=True)
    (root / "_config.yml").write_text(SMALL_BOOK.format(extensions=ROOT / "book/_ext"))
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: index\n"
        "chapters: [{file: book/01_a, sections: [{file: book/solutions/01_a}]}]\n"
    )
    (root / "index.md").write_text("# Small\n")
    for name in ("book/01_a.ipynb", "book/solutions/01_a.ipynb"):
        nb = new_notebook(cells=[new_markdown_cell("# Title")], metadata=METADATA)
        nbformat.write(nb, root / name)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "-W", "."]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return root / "_build/html"


@pytest.mark.parametrize(
    ("page", "opened"),
    [("book/01_a", "book/01_a.ipynb"), ("book/solutions/01_a", "exercises/01_a.ipynb")],
)
def test_a_launch_button_opens_the_chapter_or_the_exercise(small_book: Path, page, opened):
    html = BeautifulSoup((small_book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    links = [str(a["href"]) for a in html.select(".dropdown-launch-buttons a[href]")]
    assert [unquote(link) for link in links] == [
        f"https://binder.example/v2/gh/ada/course/main?urlpath=lab/tree/{opened}",
        "https://hub.example/hub/user-redirect/git-pull?repo=https://github.com/ada/course"
        f"&urlpath=lab/tree/course/{opened}&branch=main",
        f"https://colab.example/github/ada/course/blob/main/{opened}",
    ]


# --- The reader of pages finds what is planted. ---


def test_planted_faults_are_found(tmp_path: Path):
    html = (
        '<link rel="stylesheet" href="https://cdn.example/a.css"><link rel="next" href="b.html">'
        '<script src="//cdn.example/a.js"></script><img src="c.png" alt=" ">'
        '<a href="#here">x</a><a href="#gone">x</a><a href="gone.html">x</a><p id="here">'
    )
    path = tmp_path / "a.html"
    path.write_text(html)
    page = Page(html)
    assert [u for u in page.fetched if is_elsewhere(u)] == [
        "https://cdn.example/a.css",
        "//cdn.example/a.js",
    ]
    assert page.nameless == ["c.png"]
    assert dead_links({path: page}) == ["a.html: #gone", "a.html: gone.html", "a.html: c.png"]


@pytest.mark.parametrize(
    ("upstream", "meant"),
    [
        (
            '<div id="pst-primary-sidebar" class="a">',
            '<div id="pst-primary-sidebar" role="navigation" aria-label="Site" class="a">',
        ),
        (
            '<a href="a">A</a><details open="open"><summary><span class="toctree-toggle">',
            '<a href="a">A</a><details open="open"><summary aria-label="Pages under A">'
            '<span class="toctree-toggle">',
        ),
        ('<div role="doc-biblioentry">', '<div role="listitem">'),
        ('<th class="head"><p></p></th><th></th>', '<td class="head"></td><td></td>'),
        ("<th>a</th><thead></thead>", "<th>a</th><thead></thead>"),
        (
            '<span class="math notranslate nohighlight">\\(a\\)</span>, and',
            '<span class="together"><span class="math notranslate nohighlight">\\(a\\)</span>,'
            "</span> and",
        ),
    ],
)
def test_markup_that_fails_a_reader_is_mended(upstream: str, meant: str):
    assert mend(upstream) == mend(meant) == meant


def test_the_site_is_light():
    assert pages()
    assert list((SITE / "_static").rglob("*.map")) == []
    assert (SITE / "_static/scripts/fontawesome.js").stat().st_size < 100


MARKUP = re.compile(r"\|-{3}|\|—\||```|\{(?:cite|eq|ref)[:\w]*\}|\$\$|\\\w+\{|\*\*")


def raw_markup(html: str) -> list[str]:
    """Marks of Markdown, MyST or TeX that a reader should never see as text."""
    page = BeautifulSoup(html, "html.parser")
    # A signature is code as well: `**how` in it takes any other argument.
    for element in page.select("pre, code, script, style, .math, dt.sig"):
        element.decompose()
    return MARKUP.findall(page.get_text())


def test_no_markup_is_shown_as_text():
    found = {str(p.relative_to(SITE)): raw_markup(p.read_text(encoding="utf-8")) for p in pages()}
    assert {name: marks for name, marks in found.items() if marks} == {}


@pytest.mark.parametrize("mark", ["| a |\n|---|", "|—|—|", "{cite:p}`x`", "$$", "**b**", r"\frac{"])
def test_markup_shown_as_text_is_found(mark):
    assert raw_markup(f"<p>before {mark} after</p>")
    assert not raw_markup(f"<p>before <code>{mark}</code> <span class='math'>{mark}</span></p>")
