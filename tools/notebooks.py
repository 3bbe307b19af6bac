"""Execute notebooks and store their outputs, so that doing it twice changes nothing.

python -m tools.notebooks [--format] NOTEBOOK...
"""

import argparse
import base64
import hashlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# What editors and the execution leave in a cell's metadata, and a reader never sees.
TRANSIENT = {
    "ExecuteTime", "collapsed", "editable", "execution", "jp-MarkdownHeadingCollapsed", "jupyter",
    "pycharm", "scrolled", "trusted", "vscode",
}  # fmt: skip


def without_root(text: str) -> str:
    """Drop this checkout's folder from the paths in a traceback; IPython shortens home to ~."""
    text = text.replace(f"{ROOT}/", "")
    if ROOT.is_relative_to(Path.home()):
        text = text.replace(f"~/{ROOT.relative_to(Path.home())}/", "")
    return text


def with_palette(png: str) -> str:
    """Store a figure with at most 64 colours: a fifth of the bytes, and nobody sees it."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if image.mode == "P":
        return png
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    small = io.BytesIO()
    flat.quantize(64, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode() + "\n"


def code_hash(nb: Any) -> str:
    """Return the SHA-256 of a notebook's code, whose outputs are those of this code alone."""
    code = "\0".join(cell.source for cell in nb.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def normalise(nb: Any) -> None:
    """Remove from a notebook, in place, all that differs between two runs or two editors."""
    executed = nb.metadata.get("executed_code", "")
    nb.metadata = nbformat.from_dict({**METADATA, "executed_code": executed})
    for cell in nb.cells:
        for key in TRANSIENT & set(cell.metadata):
            del cell.metadata[key]
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            output.pop("transient", None)
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = with_palette(output.data["image/png"])
            if output.output_type == "error":
                output.traceback = [without_root(line) for line in output.traceback]


def serialise(nb: Any) -> str:
    """Return the one text form of a notebook: sorted keys, one space, a final newline."""
    return str(nbformat.writes(nb)).rstrip("\n") + "\n"


def client(path: Path, nb: Any) -> NotebookClient:
    """Return a client that runs the notebook as the tests do: this Python, in its own folder."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # a kernel of this environment, not of the user
    os.environ["TQDM_DISABLE"] = "1"
    return NotebookClient(
        nb,
        kernel_name="python3",
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # ipykernel warns of plain TCP at each start
        resources={"metadata": {"path": str(path.parent)}},
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 when a notebook fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--format", action="store_true", help="normalise without executing")
    args = parser.parse_args(argv)
    status = 0
    for path in args.notebooks:
        before = path.read_text(encoding="utf-8")
        nb = nbformat.reads(before, as_version=4)
        if not args.format:
            try:
                client(path, nb).execute()
                nb.metadata["executed_code"] = code_hash(nb)
            except CellExecutionError as error:
                print(f"{path}: not stored, a cell failed:\n{error}", file=sys.stderr)
                status = 1
                continue
        normalise(nb)
        after = serialise(nb)
        print(f"{path}: {'same' if after == before else 'changed'}", flush=True)
        if after != before:
            path.write_text(after, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
