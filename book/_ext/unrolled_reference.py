"""The reference: what the package says of itself, read from its source without running it.

The site is built without NumPy and torch, so nothing can be imported. Reading has a second merit:
defaults appear as they were written, and so do the shapes noted beside the fields of a class.
"""

import ast
import copy
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from myst_parser.mdit_to_docutils.base import default_slugify
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

PACKAGE = "unrolled"
DIRECTIVE = "unrolled-module"
HEADING = re.compile(r"^(\w+)\n-{3,}\n", re.MULTILINE)
FIELDS = {"Parameters", "Returns", "Yields", "Raises", "Attributes"}
CHAPTER = re.compile(r'\bChapter\s+(\d+)(?:,\s+"([^"]+)")?')
CHAPTERS = re.compile(r"\bChapters\s+\d+(?:,\s+\d+)*\s+and\s+\d+")
CODE = re.compile(r"``([^`]+)``")
CLASS = re.compile(r"(?<![.\w])[A-Z]\w+")
SHAPE = re.compile(r"(\([^)]*\))[,;:]?\s*(.*)")

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A public function or class, and the text of the module that defines it."""

    name: str
    definition: ast.FunctionDef | ast.ClassDef
    source: str


class Module(NamedTuple):
    """What a module says of itself and what it offers."""

    about: str
    entries: list[Entry]
    files: list[Path]  # that it was read from


class Links(NamedTuple):
    """Where the words of a docstring lead."""

    chapters: dict[int, str]  # number -> file, beside the page
    entries: dict[str, str]  # name -> anchor on the page


def read_module(file: Path) -> Module:
    """Find the functions and classes that a module defines for others, in its order."""
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source)
    entries = [
        Entry(node.name, node, source)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    return Module(ast.get_docstring(tree) or "", entries, [file])


def find_module(package: Path, name: str) -> Module:
    """Read a module of the package; one that is a folder offers what its ``__init__`` imports.

    >>> [entry.name for entry in find_module(Path("src/unrolled"), "rnn").entries][:2]
    ['RNNCache', 'rnn_cell']
    >>> {"pad", "MissingDataError"} <= {
    ...     entry.name for entry in find_module(Path("src/unrolled"), "data").entries
    ... }
    True
    """
    path = package / name
    if not path.is_dir():
        return read_module(path.with_suffix(".py"))
    init = path / "__init__.py"
    whole = read_module(init)
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            origin = package.parent.joinpath(*node.module.split(".")).with_suffix(".py")
            part = read_module(origin)
            imported = {alias.name for alias in node.names}
            whole.entries.extend(entry for entry in part.entries if entry.name in imported)
            whole.files.append(origin)
    return whole


def code(text: str, links: Links) -> str:
    """Write code, as a link if it is the name of an entry."""
    anchor = links.entries.get(text)
    return f"[`{text}`](#{anchor})" if anchor else f"`{text}`"


def link(text: str, links: Links) -> str:
    """Turn chapters and the names of other entries into links.

    >>> links = Links({2: "02_rnn.ipynb"}, {"rnn_cell": "unrolled.rnn.rnn_cell"})
    >>> link("As ``rnn_cell`` in ``x``.", links)
    'As [`rnn_cell`](#unrolled.rnn.rnn_cell) in `x`.'
    >>> link('Chapter 2, "A memory"; Elman (1990). Chapter 2. Chapter 9.', links)
    '[Chapter 2, "A memory"](02_rnn.ipynb#a-memory); Elman (1990). [Chapter 2](02_rnn.ipynb). Chapter 9.'
    >>> link("Chapters 2 and 9; Chapters 1, 2 and 3.", links)
    'Chapters [2](02_rnn.ipynb) and 9; Chapters 1, [2](02_rnn.ipynb) and 3.'
    """  # noqa: E501

    def number(match: re.Match[str]) -> str:
        file = links.chapters.get(int(match[0]))
        return f"[{match[0]}]({file})" if file else match[0]

    def chapter(match: re.Match[str]) -> str:
        file = links.chapters.get(int(match[1]))
        if file is None:
            return match[0]  # not written yet
        words, title = (" ".join((part or "").split()) for part in match.group(0, 2))
        # The parser warns of a section that is not there, and a warning fails the build.
        return f"[{words}]({file}{'#' + default_slugify(title) if title else ''})"

    text = CHAPTERS.sub(lambda match: re.sub(r"\d+", number, match[0]), text)
    return CODE.sub(lambda match: code(match[1], links), CHAPTER.sub(chapter, text))


def kind_of(words: str, links: Links) -> str:
    """Write what kind of thing a parameter is, with links to the package's own classes.

    >>> kind_of("sequence of Linear, of ``n``", Links({}, {"Linear": "unrolled.params.Linear"}))
    '*sequence of [Linear](#unrolled.params.Linear), of `n`*'
    """

    def name(match: re.Match[str]) -> str:
        anchor = links.entries.get(match[0])
        return f"[{match[0]}](#{anchor})" if anchor else match[0]

    parts = CODE.split(words)  # every second one was in quotes
    for i, part in enumerate(parts):
        plain = re.sub(r"[*\[\]]", r"\\\g<0>", part)
        parts[i] = code(part, links) if i % 2 else CLASS.sub(name, plain)
    return f"*{''.join(parts).strip()}*"


def below(mark: str, text: str) -> str:
    """Set text behind a mark of two signs, so that all of it belongs to the mark."""
    return mark + text.strip().replace("\n", "\n  ")


def item(words: str, text: str) -> str:
    """Write an item of a list: what is described, and its description."""
    return below("- ", f"{words}: {text}" if text else words)


def fields(section: str, text: str, links: Links) -> str:
    r"""Write a list of parameters, results or errors.

    >>> print(fields("Parameters", "D, H : int\n    At least 1.\nlr : float", Links({}, {})))
    - `D`, `H` *int*: At least 1.
    - `lr` *float*
    """
    items: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            items.append((line, []))
        elif items:
            items[-1][1].append(line)
    written = []
    for head, lines in items:
        names, _, kind = head.partition(" : ")
        words = ", ".join(f"`{name}`" for name in names.split(", "))
        if kind:
            words += " " + kind_of(kind, links)
        elif section in {"Returns", "Yields"}:
            words = kind_of(head, links)  # a result without a name
        body = inspect.cleandoc("\n".join(["", *lines]))
        written.append(item(words, link(body, links)))
    return "\n".join(written)


def describe(docstring: str, links: Links) -> str:
    r"""Turn a docstring in NumPy's style into Markdown.

    >>> print(describe("Do ``x``.\n\nReturns\n-------\nint\n    One.", Links({}, {})))
    Do `x`.
    <BLANKLINE>
    Returns
    : - *int*: One.
    """
    summary, *rest = HEADING.split(docstring)
    parts = [link(summary.strip(), links)]
    for section, body in zip(rest[::2], rest[1::2]):
        if section in FIELDS:
            written = fields(section, body, links)
        elif section == "Examples":
            written = f"```pycon\n{body.strip()}\n```"
        else:
            written = link(body, links)
        parts.append(f"{section}\n" + below(": ", written))
    return "\n\n".join(parts)


def signature(function: ast.FunctionDef, source: str, *, bound: bool = False) -> str:
    """Write the parameters with their defaults and without types, which stand below.

    >>> source = "def f(self, x: int, /, *a: int, k: float = 1e-5, **o: int): ..."
    >>> signature(ast.parse(source).body[0], source, bound=True)
    '(x, /, *a, k=1e-5, **o)'
    """

    def as_written(default: ast.expr) -> ast.expr:
        # Else 1e-5 would become 1e-05. A "name" may hold any text where it is only printed.
        return ast.Name(ast.get_source_segment(source, default) or "…")

    arguments = copy.deepcopy(function.args)
    for node in ast.walk(arguments):
        if isinstance(node, ast.arg):
            node.annotation = None
    arguments.defaults = [as_written(default) for default in arguments.defaults]
    arguments.kw_defaults = [default and as_written(default) for default in arguments.kw_defaults]
    if bound:
        (arguments.posonlyargs or arguments.args).pop(0)
    return f"({ast.unparse(arguments)})"


def entry_of(kind: str, head: str, body: str) -> str:
    """Write an object of Sphinx's Python domain: it gets an anchor and is found by the search."""
    fence = "::::" if kind in {"class", "exception"} else ":::"
    # No place in Sphinx's index, a page that nobody opens and that is too wide for a phone. The
    # list beside the page is long enough without methods.
    options = ":no-index-entry:\n" + ":no-contents-entry:\n" * (kind in {"method", "property"})
    return f"{fence}{{py:{kind}}} {head}\n{options}\n{body}\n{fence}"


def write_function(entry: Entry, links: Links, kind: str = "function") -> str:
    """Write the entry of a function, or of a method or property of a class."""
    node = entry.definition
    assert isinstance(node, ast.FunctionDef)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    # A function is not linked to itself, nor is a parameter to a function of that name.
    own = {node.name, *(arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg))}
    others = {name: anchor for name, anchor in links.entries.items() if name not in own}
    body = describe(ast.get_docstring(node) or "", links._replace(entries=others))
    if "property" in decorators:
        return entry_of("property", node.name, body)
    bound = kind == "method" and "staticmethod" not in decorators
    return entry_of(kind, node.name + signature(node, entry.source, bound=bound), body)


def write_class(entry: Entry, links: Links) -> str:
    """Write the entry of a class: its fields with the comments beside them, then its methods."""
    node = entry.definition
    others = {name: anchor for name, anchor in links.entries.items() if name != node.name}
    links = links._replace(entries=others)
    lines = entry.source.splitlines()
    arguments, items, methods = [], [], []
    head = node.name
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            name = part.target.id
            default = part.value and ast.get_source_segment(entry.source, part.value)
            arguments.append(f"{name}={default}" if default else name)
            comment = lines[(part.end_lineno or 0) - 1].partition("  # ")[2]
            kind = ast.unparse(part.annotation).replace("Array", "ndarray")
            kind = re.sub(r"^(.*) \| None$", r"\1, or None", kind)
            if kind.startswith("ndarray") and (shape := SHAPE.fullmatch(comment)):
                kind = kind.replace("ndarray", f"ndarray of shape {shape[1]}", 1)
                comment = shape[2]
            items.append(item(f"`{name}` {kind_of(kind, links)}", link(comment, links)))
        elif isinstance(part, ast.FunctionDef) and part.name == "__init__":
            head += signature(part, entry.source, bound=True)
        elif isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
            methods.append(write_function(Entry(part.name, part, entry.source), links, "method"))
    if arguments:
        head += f"({', '.join(arguments)})"
    body = [describe(ast.get_docstring(node) or "", links)]
    if items:
        body.append("Fields\n" + below(": ", "\n".join(items)))
    kind = "exception" if node.name.endswith("Error") else "class"
    return entry_of(kind, head, "\n\n".join([*body, *methods]))


def all_links(env: BuildEnvironment) -> dict[str, Links]:
    """Find, for each module that the page names, where the words of its docstrings lead."""
    package = Path(env.srcdir, "src", PACKAGE)
    page = Path(env.doc2path(env.docname)).read_text(encoding="utf-8")
    found = [re.fullmatch(r"book/((\d\d)_\w+)", name) for name in env.found_docs]
    chapters = {int(match[2]): f"{match[1]}.ipynb" for match in found if match}
    anchors: dict[str, dict[str, str]] = {}
    for name in re.findall(rf"\{{{DIRECTIVE}\}} (\S+)", page):
        try:
            entries = find_module(package, name).entries
        except FileNotFoundError:
            entries = []  # the directive itself says so
        anchors[name] = {entry.name: f"{PACKAGE}.{name}.{entry.name}" for entry in entries}
    names = [name for offered in anchors.values() for name in offered]
    single = {
        n: a for offered in anchors.values() for n, a in offered.items() if names.count(n) == 1
    }
    # A name that two modules have is linked within these two alone.
    return {name: Links(chapters, single | offered) for name, offered in anchors.items()}


class Reference(SphinxDirective):
    """The entries of a module, below what the module says of itself: ``{unrolled-module} rnn``."""

    required_arguments = 1

    def run(self) -> list[Any]:
        """Write the entries as Markdown, and have it parsed like the rest of the page."""
        name = self.arguments[0]
        try:
            module = find_module(Path(self.env.srcdir, "src", PACKAGE), name)
        except FileNotFoundError:
            logger.warning("no module %s in %s", name, PACKAGE, location=self.get_location())
            return []
        for file in module.files:
            self.env.note_dependency(str(file))
        if "unrolled_links" not in self.env.temp_data:  # which lasts as long as the page
            self.env.temp_data["unrolled_links"] = all_links(self.env)
        links = self.env.temp_data["unrolled_links"][name]
        parts = [
            f"### `{PACKAGE}.{name}`",
            link(module.about, links),
            f"```{{py:currentmodule}} {PACKAGE}.{name}\n```",
        ]
        for entry in module.entries:
            is_class = isinstance(entry.definition, ast.ClassDef)
            parts.append((write_class if is_class else write_function)(entry, links))
        lines = StringList("\n\n".join(parts).splitlines(), source=str(module.files[0]))
        holder = nodes.Element()
        # With titles, as the module's heading opens a section in that of the theme.
        self.state.nested_parse(lines, self.content_offset, holder, match_titles=True)
        return holder.children


def offer_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Let ``reference.md#unrolled.rnn.rnn_cell`` lead to an entry, as if it were a heading.

    MyST knows such links to headings only; the other forms that it has do not work in Jupyter.
    """
    page = app.env.docname
    for name, _, _, home, anchor, _ in app.env.get_domain("py").get_objects():
        if home == page:
            slugs = app.env.metadata[page].setdefault("myst_slugs", {})
            slugs[name] = (None, anchor, name.rpartition(".")[2])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    app.add_directive(DIRECTIVE, Reference)
    app.connect("doctree-read", offer_anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
