"""What notebooks need and the package itself does not."""

import ast
import inspect
import textwrap
from typing import Any

from unrolled.results import project_file


class Source:
    """Python source that Jupyter and the book both show with its syntax highlighted."""

    def __init__(self, code: str) -> None:
        self.code = code

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.code}\n```"

    def __repr__(self) -> str:
        return self.code


def show_source(*objects: Any, docs: bool = False) -> Source:
    """Show functions and classes as they stand in the package, so that page and code cannot differ.

    Parameters
    ----------
    *objects : functions or classes
    docs : bool, default False
        Whether to keep the docstrings. On a page that explains the code they say it twice.

    Returns
    -------
    Source
        Shown by Jupyter as highlighted code.

    Examples
    --------
    >>> from unrolled.functional import relu
    >>> show_source(relu)
    def relu(a: Array) -> Array:
        return np.maximum(a, 0.0)
    """
    parts = []
    for item in objects:
        code = textwrap.dedent(inspect.getsource(item)).rstrip()
        if not docs and item.__doc__:
            code = _without_docstring(code)
        parts.append(code)
    return Source("\n\n\n".join(parts))


def show_script(path: str) -> Source:
    """Show a script of the project whole, such as ``"experiments/01_xor.py"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    return Source(project_file(path).read_text(encoding="utf-8").rstrip())


def _without_docstring(code: str) -> str:
    """Cut every docstring out of a definition's source, and nothing else."""
    lines = code.split("\n")
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        first = node.body[0]
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            for i in range(first.lineno - 1, first.end_lineno or first.lineno):
                lines[i] = "\0"
            # The blank line between a docstring and what follows it goes too.
            if lines[first.end_lineno or 0].strip() == "":
                lines[first.end_lineno or 0] = "\0"
    return "\n".join(line for line in lines if line != "\0")
