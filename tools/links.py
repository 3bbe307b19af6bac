"""Check the links to other sites, for the weekly run (.github/workflows/links.yml).

python -m tools.links page                # a page with the links of the files around the book
python -m tools.links broken FILE ...     # what Sphinx has found broken
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("README.md", "CONTRIBUTING.md", "CITATION.cff", "pyproject.toml")
PAGE = ROOT / "_build/around/index.rst"


def outside(text: str) -> list[str]:
    """Find the links to other sites in Markdown, YAML or TOML.

    >>> outside("[a](https://a.example/b), `https://c.example`. [d](e.md)")
    ['https://a.example/b', 'https://c.example']
    """
    return sorted({url.rstrip(".,;:") for url in re.findall(r"https?://[^\s\"'`<>()\[\]]+", text)})


def page() -> str:
    """Write the links of the files as a page for Sphinx, which checks links only on pages."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in FILES]
    return "Links\n=====\n\n" + "".join(
        f"* `link <{url}>`__\n" for url in outside("\n".join(texts))
    )


def broken(output: str) -> list[str]:
    """Read Sphinx's output.json, an object a line, and name the links that lead nowhere.

    Some publishers answer any program with 403; their pages are there.

    Raises
    ------
    ValueError
        If not one link was tried: then the check itself has failed.
    """
    links = [json.loads(line) for line in output.splitlines()]
    if not any(link["status"] in ("working", "redirected") for link in links):
        raise ValueError("no link was found to work: the check itself has failed")
    return [
        f"{link['filename']}: {link['uri']} ({link['info']})"
        for link in links
        if link["status"] in ("broken", "timeout") and not link["info"].startswith("403 ")
    ]


if __name__ == "__main__":
    if sys.argv[1] == "page":
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
    else:
        found = [b for name in sys.argv[2:] for b in broken(Path(name).read_text(encoding="utf-8"))]
        sys.stdout.write("".join(f"{line}\n" for line in found))
        sys.exit(bool(found))
