"""Small corrections to the site that no configuration key offers."""

from importlib.metadata import distribution
from pathlib import Path
from shutil import copytree
from typing import Any

from sphinx.application import Sphinx

# The parts of MathJax that the pages ask for: the program, its fonts, and the TeX extensions
# which it loads when a formula uses them (\boldsymbol, \cancel, …).
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")

# Sphinx's search reads each hit again to show an extract. Browsers forbid that on file:// and
# log an error for each (sphinx/themes/basic/static/searchtools.js, `fetch(requestUrl)`).
QUIET_SEARCH = (
    'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
)


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
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", copy_exercises)
    # After the theme has made the buttons (501).
    app.connect("html-page-context", launch_exercises, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
