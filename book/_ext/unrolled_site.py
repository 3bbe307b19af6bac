"""Small corrections to the site that no configuration key offers."""

import re
from importlib.metadata import distribution
from pathlib import Path
from shutil import copytree
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# The parts of MathJax that the pages ask for: the program, its fonts, and the TeX extensions
# which it loads when a formula uses them (\boldsymbol, \cancel, …).
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")

# Sphinx's search reads each hit again to show an extract. Browsers forbid that on file:// and
# log an error for each (sphinx/themes/basic/static/searchtools.js, `fetch(requestUrl)`).
QUIET_SEARCH = (
    'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
)

# Paper is white. The theme keeps the dark colours when a page is printed in the dark: pale text.
LIGHT_ON_PAPER = """(() => {
  const root = document.documentElement;
  let theme = null;
  addEventListener("beforeprint", () => {
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => { root.dataset.theme = theme; theme = null; });
})();"""

# On a phone a long formula scrolls in its own box, which the keyboard must be able to reach.
SCROLLING_FORMULAS = """(() => {
  const reach = () => {
    for (const box of document.querySelectorAll("mjx-container[display]")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", () => window.MathJax?.startup?.promise.then(reach));
  addEventListener("resize", reach);
})();"""

# What stands in the pages, what is meant, and why the first fails a reader with a screen reader.
MENDED = (
    # The theme makes the side bar a plain block, outside of every landmark
    # (pydata_sphinx_theme/layout.html).
    (
        r'(<div id="pst-primary-sidebar")( class)',
        r'\1 role="navigation" aria-label="Site"\2',
    ),
    # The theme's arrow, which unfolds the pages under a chapter, is a button without a name
    # (pydata_sphinx_theme/toctree.py, add_collapse_checkboxes).
    (
        r'(<a [^>]*>([^<>"]*)</a><details[^>]*><summary)(><span class="toctree-toggle")',
        r'\1 aria-label="Pages under \2"\3',
    ),
    # docutils gives a reference a role that is deprecated, in a list that wants list items
    # (docutils/writers/_html_base.py, visit_citation).
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # A line may break between a formula and the comma after it: the formula becomes a box of its
    # own (MathJax's mjx-container). Long formulas must stay free to break.
    (
        r'(?<!class="together">)'
        r'(<span class="math notranslate nohighlight">[^<]{1,40}</span>[,.;:?)]+)',
        r'<span class="together">\1</span>',
    ),
    # docutils and pandas make a heading of the empty corner of a table.
    (r"<th( class=\"[^\"]*\")?>\s*(?:<p>\s*</p>)?\s*</th>", r"<td\1></td>"),
)


def mend(html: str) -> str:
    """Correct the markup of a page that upstream writes and no option changes."""
    for pattern, replacement in MENDED:
        html = re.sub(pattern, replacement, html)
    return html


def mend_pages(app: Sphinx, error: Exception | None) -> None:
    """Correct the pages after the theme has written them."""
    if error is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for page in [*out.glob("*.html"), *out.glob("book/**/*.html")]:
        before = page.read_text(encoding="utf-8")
        if (after := mend(before)) != before:
            page.write_text(after, encoding="utf-8")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax beside the pages: Sphinx's own default is a script on another host."""
    if error is not None or app.builder.format != "html":
        return
    package = distribution("django-static-mathjax")
    source = Path(str(package.locate_file("mathjax/static/mathjax/es5")))
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX:
        if (source / part).is_dir():
            copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            (target / part).write_bytes((source / part).read_bytes())


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Leave out what no reader needs and what is the heaviest of a page."""
    if error is not None or app.builder.format != "html":
        return
    scripts = Path(app.outdir) / "_static/scripts"
    # The theme draws its dozen icons twice: by a style sheet with a font, and by a script that
    # holds all 2,000 as drawings (1.5 MB) and replaces the others. Its address is fixed in
    # pydata_sphinx_theme/static/webpack-macros.html, so the file stays and does nothing.
    if (scripts / "fontawesome.js").is_file():
        (scripts / "fontawesome.js").write_text("/* The icons come from the font. */\n")
    for source_map in Path(app.outdir, "_static").rglob("*.map"):
        source_map.unlink()


def search_short_words(app: Sphinx, error: Exception | None) -> None:
    """Let the search find part of a Chinese word, which two characters can be.

    Sphinx looks for parts of words only from three letters on, and its index holds a Chinese
    phrase as one word (sphinx/themes/basic/static/searchtools.js, performTermsSearch).
    """
    if error is not None or app.builder.format != "html":
        return
    script = Path(app.outdir) / "_static/searchtools.js"
    before = script.read_text(encoding="utf-8")
    after = before.replace("word.length > 2", r"word.length > 2 || /\p{Script=Han}/u.test(word)")
    if after == before:
        raise ExtensionError("searchtools.js has changed: see unrolled_site.search_short_words")
    script.write_text(after, encoding="utf-8")


def copy_exercises(app: Sphinx, error: Exception | None) -> None:
    """Put the exercises beside the pages: a plain link then leads to them here and in Jupyter."""
    if error is not None or app.builder.format != "html":
        return

    def others(folder: str, names: list[str]) -> list[str]:
        """Name what has no page: a learner's copies, what Jupyter leaves, folders."""
        pages = {page.name for page in Path(app.srcdir, "book/solutions").glob("*.ipynb")}
        return [name for name in names if name not in pages]

    source = Path(app.srcdir) / "exercises"
    if source.is_dir():
        # A later build finds the copies of the one before.
        copytree(source, Path(app.outdir) / "exercises", ignore=others, dirs_exist_ok=True)


def launch_exercises(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Let the launch buttons of a solution page open the exercise, not the solved notebook."""
    if not page.startswith("book/solutions/"):
        return
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                if "url" in button:
                    exercise = page.replace("book/solutions/", "exercises/")
                    button["url"] = button["url"].replace(page, exercise)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the corrections with Sphinx."""
    # After documentation_options.js (priority 200), before the theme's scripts (500).
    app.add_js_file(None, body=QUIET_SEARCH, priority=300)
    app.add_js_file(None, body=LIGHT_ON_PAPER, priority=300)
    app.add_js_file(None, body=SCROLLING_FORMULAS, priority=300)
    app.connect("build-finished", mend_pages)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", copy_exercises)
    app.connect("build-finished", search_short_words, priority=900)
    # Last, when the theme has copied its files.
    app.connect("build-finished", lighten, priority=900)
    # After the theme has made the buttons (501).
    app.connect("html-page-context", launch_exercises, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
