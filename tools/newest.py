"""List the direct dependencies without their pins, for a weekly run on the newest versions.

python -m tools.newest
python -m tools.newest oldest    # instead, the oldest that pyproject.toml allows

A direct dependency stands in requirements-book.txt or requirements.txt above the comment
"… along." that opens the list of what the others bring.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements-book.txt", "requirements.txt")

# What the newest version cannot be, and why.
HELD = {
    "jupyter-book": "<2",  # 2 is another program, without Sphinx
}
# What stays at its pin, and why.
PINNED = {
    "otter-grader",  # another version would write other files from the same masters
    "ruff",  # a new complaint about style would keep the tests from running
    "mypy",
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
    text = "\n".join(texts)
    pins = dict(re.findall(r"^([\w.-]+)(==.+)$", text, re.MULTILINE))
    held = HELD | {name: pins[name] for name in PINNED}
    return sorted(name + held.get(name, "") for name in names)


def oldest() -> list[str]:
    """Return what the package itself needs, in the oldest versions that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [want.replace(">=", "==") for want in project["dependencies"]]


if __name__ == "__main__":
    sys.stdout.write("\n".join(oldest() if "oldest" in sys.argv else newest()) + "\n")
