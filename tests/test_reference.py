"""The reference page against the package itself, which the page is built without importing."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag

import unrolled
from book._ext import unrolled_reference
from tools.notebooks import ROOT

PAGE = ROOT / "_build/html/book/reference.html"
CHAPTERS = {int(path.name[:2]): path for path in sorted((ROOT / "book").glob("[0-9]*.ipynb"))}
MODULES = re.findall(
    r"^```\{unrolled-module\} (\w+)$",
    (ROOT / "book/reference.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
# The grader and its checks are for the exercises alone, which tell how to use them.
LEFT_OUT = {"checks", "grade"}
CHAPTER = re.compile(r'\bChapter\s+(\d+)(?:,\s+"([^"]+)")?')


@cache
def objects() -> dict[str, Any]:
    """Every public function and class of the modules on the page, by the anchor it should have."""
    found = {}
    for name in MODULES:
        module = importlib.import_module(f"unrolled.{name}")
        for key, value in vars(module).items():
            if key.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            # What a package offers is defined in its modules.
            imported = hasattr(module, "__path__") and key in module.__all__
            if value.__module__ == module.__name__ or imported:
                found[f"unrolled.{name}.{key}"] = value
    return found


@cache
def soup(path: Path) -> BeautifulSoup:
    if not path.exists():
        pytest.fail("There is no site in _build/html: run 'make book' first.", pytrace=False)
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def entries(page: BeautifulSoup) -> dict[str, Tag]:
    """The entries of a page by their anchors: what Sphinx makes of an object."""
    return {str(dt["id"]): dt.parent for dt in page.select("dl.py > dt[id]")}


@cache
def shown_entries() -> dict[str, Tag]:
    return entries(soup(PAGE))


def named_chapters(value: Any) -> list[tuple[int, str]]:
    """The chapters, of those that exist, which a docstring names, and the section of each or ''."""
    found = CHAPTER.findall(inspect.getdoc(value) or "")
    return [(int(n), " ".join(title.split())) for n, title in found if int(n) in CHAPTERS]


def numbers_in_a_row(value: Any) -> list[int]:
    """The chapters, of those that exist, which a docstring names as in "Chapters 4 and 5"."""
    rows = re.findall(r"\bChapters\s+(\d+(?:,\s+\d+)*\s+and\s+\d+)", inspect.getdoc(value) or "")
    return [int(n) for row in rows for n in re.findall(r"\d+", row) if int(n) in CHAPTERS]


def words(text: str) -> str:
    return " ".join(text.replace("“", '"').replace("”", '"').replace("’", "'").split())


def test_every_module_is_on_the_page():
    modules = {m.name for m in pkgutil.iter_modules(unrolled.__path__)}
    public = {name for name in modules if not name.startswith("_")}
    assert sorted(MODULES) == sorted(public - LEFT_OUT)


def test_every_public_function_and_class_has_an_entry_and_nothing_else_has():
    assert len(objects()) > 50
    outer = {name for name, dl in shown_entries().items() if not dl.find_parent("dl", class_="py")}
    assert sorted(outer) == sorted(objects())


def test_every_method_and_every_field_is_described_with_its_class():
    missing = []
    for anchor, value in objects().items():
        if not inspect.isclass(value):
            continue
        listed = {code.get_text() for code in shown_entries()[anchor].select("li code")}
        missing += [f"{anchor}.{f}" for f in getattr(value, "_fields", ()) if f not in listed]
        for name, member in vars(value).items():
            own = isinstance(member, property) or inspect.isfunction(member)
            # Of what NamedTuple adds only what the class itself defines has a docstring here.
            if own and not name.startswith("_") and f"{anchor}.{name}" not in shown_entries():
                missing.append(f"{anchor}.{name}")
    assert missing == []


def test_the_signatures_are_those_of_the_code():
    differ = {}
    for anchor, value in objects().items():
        if inspect.isclass(value) and issubclass(value, BaseException):
            continue
        shown = shown_entries()[anchor].dt.select("em.sig-param")
        names = [n.get_text() for em in shown if (n := em.select_one(".n")) is not None]
        names = [name for name in names if name.isidentifier()]
        if names != list(inspect.signature(value).parameters):
            differ[anchor] = names
    assert differ == {}


def letters(text: str) -> str:
    """Letters and digits alone: signs are marks in a docstring and typography on the page."""
    return re.sub(r"[\W_]+", "", text)


def test_every_docstring_is_there_with_its_example():
    missing = []
    for anchor, value in objects().items():
        text = inspect.getdoc(value) or ""
        examples = doctest.DocTestParser().get_examples(text)
        shown = letters(shown_entries()[anchor].get_text())
        parts = [text.split("\n\n")[0], *(example.source for example in examples)]
        missing += [f"{anchor}: {part}" for part in parts if letters(part) not in shown]
    assert missing == []


def chapters_without_link(offered: dict[str, Any], page: dict[str, Tag]) -> list[str]:
    """Chapters that a docstring names and to which its entry has no link that arrives there."""
    missing = []
    for anchor, value in offered.items():
        links = {words(a.get_text()): str(a["href"]) for a in page[anchor].select("dd a[href]")}
        for number, title in named_chapters(value):
            name = f'Chapter {number}, "{title}"' if title else f"Chapter {number}"
            target, _, section = links.get(name, "").partition("#")
            path = PAGE.parent / f"{CHAPTERS[number].stem}.html"
            heading = soup(path).find(id=section) if section else None
            arrives = target == path.name and (
                not title or (heading and words(heading.find(re.compile("h[1-6]")).get_text("")))
                in {title, title + "#"}
            )  # fmt: skip
            if not arrives:
                missing.append(f"{anchor}: {name}")
        missing += [
            f"{anchor}: {number} of Chapters …"
            for number in numbers_in_a_row(value)
            if links.get(str(number)) != f"{CHAPTERS[number].stem}.html"
        ]
    return missing


def test_every_entry_links_to_the_chapters_that_it_names():
    assert sum(bool(named_chapters(value)) for value in objects().values()) > 10
    assert chapters_without_link(objects(), shown_entries()) == []


@pytest.mark.parametrize(
    "link",
    [
        "Chapter 1",
        '<a href="01_neurons.html#downhill">Chapter 1</a>',
        '<a href="02_rnn.html#downhill">Chapter 1, “Downhill”</a>',
        '<a href="01_neurons.html#one-neuron">Chapter 1, “Downhill”</a>',
        '<a href="01_neurons.html#gone">Chapter 1, “Downhill”</a>',
    ],
)
def test_a_link_that_is_missing_or_wrong_is_found(link: str):
    def step() -> None:
        """Chapter 1, "Downhill"."""

    def found(link: str) -> list[str]:
        html = f'<dl class="py"><dt id="step">step</dt><dd>{link}</dd></dl>'
        return chapters_without_link({"step": step}, entries(BeautifulSoup(html, "html.parser")))

    assert found(link) == ['step: Chapter 1, "Downhill"']
    assert found('<a href="01_neurons.html#downhill">Chapter 1, “Downhill”</a>') == []


def test_a_missing_link_to_one_of_several_chapters_is_found():
    def step() -> None:
        """Chapters 1 and 2; Elman (1990)."""

    def found(text: str) -> list[str]:
        html = f'<dl class="py"><dt id="step">step</dt><dd>{text}</dd></dl>'
        return chapters_without_link({"step": step}, entries(BeautifulSoup(html, "html.parser")))

    one, two = '<a href="01_neurons.html">1</a>', '<a href="02_rnn.html">2</a>'
    assert found(f"Chapters {one} and {two}") == []
    assert found(f"Chapters {one} and 2") == ["step: 2 of Chapters …"]
    assert found("Chapters 1 and 2") == ["step: 1 of Chapters …", "step: 2 of Chapters …"]


def markdown(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("number", CHAPTERS)
def test_every_chapter_names_its_entries(number: int):
    listed = re.findall(r"\[`([^`]+)`\]\(reference\.md#([^)]+)\)", markdown(CHAPTERS[number]))
    anchors = [anchor for _, anchor in listed]
    assert [a for n, a in listed if a.rpartition(".")[2] != n] == []
    assert [a for a in anchors if a not in objects()] == []
    own = [a for a, value in objects().items() if number in dict(named_chapters(value))]
    assert own, "no docstring names the chapter"
    assert [a for a in own if a not in anchors] == [], 'add them to "In the reference"'
    page = soup(PAGE.parent / f"{CHAPTERS[number].stem}.html")
    reached = {str(a["href"]) for a in page.select("article a[href]")}
    assert [a for a in anchors if f"reference.html#{a}" not in reached] == []
    assert [a for a in anchors if a not in shown_entries()] == []


@pytest.mark.parametrize("number", CHAPTERS)
def test_every_function_that_a_chapter_imports_has_an_entry(number: int):
    """As the first page of the book promises."""
    imported = set()
    for cell in nbformat.read(CHAPTERS[number], as_version=4).cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unrolled"):
                module = importlib.import_module(str(node.module))
                names = [a.name for a in node.names if callable(getattr(module, a.name))]
                imported |= {f"{node.module}.{name}" for name in names}
    assert imported
    assert sorted(imported - objects().keys()) == []


def test_no_mark_of_a_docstring_is_shown_as_text():
    page = BeautifulSoup(PAGE.read_text(encoding="utf-8"), "html.parser")
    for element in page.select("pre, code, script, style, dt.sig, a.headerlink"):
        element.decompose()
    text = page.select_one("article").get_text()
    marks = re.findall(r".{0,30}(?:`|::|:\w+:\B|\]\(|---|>>>|\\\w|\*\w|\w\*).{0,30}", text)
    assert marks == []


def test_the_reader_of_docstrings_does_what_its_examples_say():
    result = doctest.testmod(unrolled_reference)
    assert result.attempted >= 10
    assert result.failed == 0
