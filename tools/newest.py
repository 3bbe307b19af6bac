"""List the direct dependencies without their pins, for a weekly run on the newest versions.

python -m tools.newest

A direct dependency stands in requirements-book.txt or requirements.txt above the comment
"… along." that opens the list of what the others bring.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements-book.txt", "requirements.txt")

# What the newest version cannot be, and why.
HELD = {
    "jupyter-book": "<2",  # 2 is another program, without Sphinx
}
# Not pinned as direct, but imported or needed by name.
ALSO = {
    "playwright",  # the tests of the site
    "setuptools",  # builds the package without isolation
}


def direct(text: str) -> list[str]:
    r"""Name the packages that a requirements file pins for their own sake.

    >>> direct("# Sums.\na==1.0\n\n# What it brings along.\nb==2.0\n")
    ['a']
    """
    own = re.split(r"^#.* along\.$", text, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^([\w.-]+)==", own, re.MULTILINE)


def newest() -> list[str]:
    """Return the requirements of the weekly run, held back where they must be."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in FILES]
    names = {name for text in texts for name in direct(text)} | ALSO
    return sorted(name + HELD.get(name, "") for name in names)


if __name__ == "__main__":
    sys.stdout.write("\n".join(newest()) + "\n")
