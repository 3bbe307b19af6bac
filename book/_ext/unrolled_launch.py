"""Which page can be launched where, and the notebook that each page offers for download."""

import re
from pathlib import Path
from shutil import copyfile
from typing import Any

from sphinx.application import Sphinx

CHAPTER = r"book/\d\d_\w+"
SOLUTIONS = r"book/solutions/(\d\d_\w+)"

# The theme's template has no place for the attribute, without which some servers show the JSON.
DOWNLOAD = """addEventListener("DOMContentLoaded", () => {
  for (const link of document.querySelectorAll(".btn-download-notebook-button")) {
    link.download = "";
    link.removeAttribute("target");
  }
});"""


def notebook_to_download(page: str) -> str | None:
    """Name the notebook that a page offers: a chapter itself, of a solution page the exercise.

    >>> notebook_to_download("book/01_neurons")
    'book/01_neurons.ipynb'
    >>> notebook_to_download("book/solutions/01_neurons")
    'exercises/01_neurons.ipynb'
    >>> notebook_to_download("book/run_times")
    """
    if re.fullmatch(CHAPTER, page):
        return f"{page}.ipynb"
    if found := re.fullmatch(SOLUTIONS, page):
        return f"exercises/{found[1]}.ipynb"
    return None


def choose_buttons(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave Colab to the chapters, whose first cell installs the course, and add the download."""
    buttons = context.get("header_buttons", [])
    for group in buttons:
        if group.get("label") == "launch-buttons" and not re.fullmatch(CHAPTER, page):
            group["buttons"] = [b for b in group["buttons"] if b.get("text") != "Colab"]
    if notebook := notebook_to_download(page):
        solved = page.startswith("book/solutions/")
        button = {
            "type": "link",
            "url": context["pathto"](notebook, 1),
            "tooltip": f"Download {'the exercises' if solved else 'this chapter'} as a notebook",
            "icon": "fas fa-download",
            "label": "download-notebook-button",
        }
        buttons.insert(0, button)


def copy_chapters(app: Sphinx, error: Exception | None) -> None:
    """Put each chapter's notebook beside its page; unrolled_site does so with the exercises."""
    if error is not None or app.builder.format != "html":
        return
    for page in app.env.found_docs:
        if re.fullmatch(CHAPTER, page) and (notebook := Path(app.srcdir, f"{page}.ipynb")).exists():
            target = Path(app.outdir, f"{page}.ipynb")
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(notebook, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handlers with Sphinx."""
    app.add_js_file(None, body=DOWNLOAD)
    # After the theme has made the buttons (501).
    app.connect("html-page-context", choose_buttons, priority=610)
    app.connect("build-finished", copy_chapters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
