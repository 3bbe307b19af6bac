"""Guards over the stored notebooks: what nbval lets pass, and what a reader must not meet.

nbval (0.11, strict) compares stdout and stderr, every text type of a value, and an error's name and
message. It does not compare image/png or image/jpeg (their number neither), widgets, tracebacks and
metadata, nor anything of a cell that was never executed or is marked to be skipped. Hence the
guards. Each takes a notebook and yields its problems; below, each is given a notebook with that
very fault and must find it. The masters of the exercises have guards of their own besides, in
tools/exercises.py, which their planted faults in test_exercises.py try.
"""

import ast
import base64
import copy
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from PIL import Image

from tools.exercises import MASTER_GUARDS
from tools.notebooks import ROOT, code_hash, normalise, serialise

MAX_LINES = 18
MAX_PNG = 60_000
MAX_NOTEBOOK = 1_500_000
MIN_ALT = 30

UNSTABLE = {
    "a memory address": r"0x[0-9a-f]{6,}",
    "a timing": r"Wall time|CPU times|per loop|\bit/s\b|\bs/it\b|\belapsed\b"
    r"|\btook [\d.]+ ?(?:s|ms|sec)|\d\.\d+ seconds?\b|\d ?(?:µs|ns)\b",
    "a progress bar": r"\d%\||\r(?!\n)|█|━{3}",
    "a path of one machine": r"/(?:home|tmp|root|Users)/|site-packages|\bC:\\|[ \x1b\[0-9m]~/",
    "a process number": r"ipykernel_\d+|\bpid[ =]\d+",
}
# What a chapter may show: printed text, values, sources as Markdown, and figures.
TYPES = {"text/plain", "text/markdown", "image/png"}
TAGS = {"hide-input", "hide-output", "keep-colors", "raises-exception", "remove-input"}
MIN_WORDS = 5

Guard = Callable[[Any], Iterator[str]]


def code_cells(nb: Any) -> Iterator[tuple[int, Any]]:
    """The code cells that say something, with their number among all cells."""
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield i, cell


def outputs(nb: Any) -> Iterator[tuple[int, Any, Any]]:
    for i, cell in code_cells(nb):
        for output in cell.outputs:
            yield i, cell, output


def texts(output: Any) -> Iterator[str]:
    """Every piece of text that an output holds."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield from [output.evalue, *output.traceback]
    else:
        yield from (v for k, v in output.data.items() if k.startswith("text/"))


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def images(nb: Any) -> Iterator[tuple[int, Any, str]]:
    for i, cell, output in outputs(nb):
        if "image/png" in output.get("data", {}):
            yield i, cell, output.data["image/png"]


def alt_text(cell: Any) -> str:
    return str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))


def never_executed(nb: Any) -> Iterator[str]:
    """nbval compares nothing for a cell without an execution count."""
    for i, cell in code_cells(nb):
        if cell.execution_count is None:
            yield f"cell {i} was never executed"


def out_of_order(nb: Any) -> Iterator[str]:
    counts = [c.execution_count for _, c in code_cells(nb) if c.execution_count is not None]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}"


def not_python(nb: Any) -> Iterator[str]:
    """A %magic that does not exist and a !command that fails both pass in nbval."""
    for i, cell in code_cells(nb):
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"cell {i} is not plain Python: {error.text or error.msg}"


def shell_command(nb: Any) -> Iterator[str]:
    """A command that fails raises nothing, unless subprocess.run is told to check."""
    for i, cell in code_cells(nb):
        if found := re.search(r"get_ipython|os\.system|os\.popen|\bPopen\b", cell.source):
            yield f"cell {i} uses {found.group(0)}: write subprocess.run(…, check=True)"


def unchecked(nb: Any) -> Iterator[str]:
    """nbval's own marks switch its comparison off, as comments or as tags."""
    for i, cell in code_cells(nb):
        if re.search(r"nbval[-_]|PYTEST_VALIDATE", cell.source, re.IGNORECASE):
            yield f"cell {i} switches nbval off"
        if unknown := set(tags(cell)) - TAGS:
            yield f"cell {i} has the tags {sorted(unknown)}; known are {sorted(TAGS)}"


def stale_code(nb: Any) -> Iterator[str]:
    """nbval compares no picture, so a changed plot would keep its old one."""
    if nb.metadata.get("executed_code") != code_hash(nb):
        yield "the code was changed after its outputs were stored: run 'make notebooks'"


def lost_figure(nb: Any) -> Iterator[str]:
    for i, _, output in outputs(nb):
        data = output.get("data", {})
        if "<Figure size" in data.get("text/plain", "") and "image/png" not in data:
            yield f"cell {i} has lost its figure"


def promised_error(nb: Any) -> Iterator[str]:
    """nbval passes a cell tagged raises-exception that raises nothing, and stored nothing."""
    for i, cell in code_cells(nb):
        raised = any(o.output_type == "error" for o in cell.outputs)
        tagged = "raises-exception" in tags(cell)
        if tagged and not raised:
            yield f"cell {i} is tagged raises-exception but stored no error"
        if raised and not tagged:
            yield f"cell {i} stored an error without the tag raises-exception"


def stderr_output(nb: Any) -> Iterator[str]:
    for i, _, output in outputs(nb):
        if output.output_type == "stream" and output.name == "stderr":
            yield f"cell {i} wrote to stderr: {output.text[:60]!r}"


def refused_type(nb: Any) -> Iterator[str]:
    """SVG and widgets carry ids that change at each run; an <img> would escape the other guards."""
    for i, _, output in outputs(nb):
        for kind in set(output.get("data", {})) - TYPES:
            yield f"cell {i} has an output of type {kind}"
        if "<img" in output.get("data", {}).get("text/markdown", ""):
            yield f"cell {i} has an image inside Markdown"


def unstable_text(nb: Any) -> Iterator[str]:
    for i, _, output in outputs(nb):
        for text in texts(output):
            for what, pattern in UNSTABLE.items():
                if found := re.search(pattern, text):
                    yield f"cell {i} prints {what}: {found.group(0)!r}"


def heavy_figure(nb: Any) -> Iterator[str]:
    for i, _, png in images(nb):
        if (size := len(base64.b64decode(png))) > MAX_PNG:
            yield f"cell {i} has a figure of {size:,} bytes, over {MAX_PNG:,}"


def poor_alt(nb: Any) -> Iterator[str]:
    """Each figure is described by a person, for those who cannot see it."""
    for i, cell, _ in images(nb):
        alt = alt_text(cell).strip()
        if len(alt) < MIN_ALT:
            yield f"cell {i}: mystnb.image.alt must have {MIN_ALT} characters or more, got {alt!r}"
        elif len(set(alt.lower().split())) < MIN_WORDS or "<" in alt:
            yield f"cell {i}: mystnb.image.alt must describe the figure in words, got {alt!r}"


def repeated_alt(nb: Any) -> Iterator[str]:
    """Two figures never say the same; hence one figure a cell, as two would share their text."""
    for alt, n in Counter(alt_text(cell) for _, cell, _ in images(nb)).items():
        if alt and n > 1:
            yield f"{n} figures have the same alt text: {alt[:60]!r}"


def long_cell(nb: Any) -> Iterator[str]:
    for i, cell in code_cells(nb):
        if (lines := len(cell.source.splitlines())) > MAX_LINES:
            yield f"cell {i} has {lines} lines, over {MAX_LINES}"


def trailing_semicolon(nb: Any) -> Iterator[str]:
    """It hides the value in Jupyter, not from nbval: write `_ = …`."""
    for i, cell in code_cells(nb):
        if cell.source.rstrip().endswith(";"):
            yield f"cell {i} ends in a semicolon"


def heavy_notebook(nb: Any) -> Iterator[str]:
    if (size := len(serialise(nb).encode())) > MAX_NOTEBOOK:
        yield f"the notebook has {size:,} bytes, over {MAX_NOTEBOOK:,}"


def not_normal(nb: Any) -> Iterator[str]:
    normal = copy.deepcopy(nb)
    normalise(normal)
    if serialise(normal) != serialise(nb):
        yield "metadata is not normalised: run 'make notebooks', or tools.notebooks --format"


def raw_cell(nb: Any) -> Iterator[str]:
    """Jupyter Book leaves raw cells out; only masters have a use for them, otter's marks."""
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "raw":
            yield f"cell {i} is a raw cell, which no reader would see"


def grading(nb: Any) -> Iterator[str]:
    """A page of the book shows neither otter's marks nor its tests."""
    for i, cell in enumerate(nb.cells):
        if found := re.search(r"# (?:BEGIN|END) [A-Z]|# ?SOLUTION|unrolled\.checks", cell.source):
            yield f"cell {i} holds a mark or a test of an exercise: {found.group(0)!r}"


GUARDS: tuple[Guard, ...] = (
    never_executed, out_of_order, not_python, shell_command, unchecked, stale_code, lost_figure,
    promised_error, stderr_output,
    refused_type, unstable_text, heavy_figure, poor_alt, repeated_alt, long_cell,
    trailing_semicolon, heavy_notebook, not_normal,
)  # fmt: skip
# Of the chapters and the solution pages, which Jupyter Book shows; not of the masters.
PAGE_GUARDS: tuple[Guard, ...] = (*GUARDS, raw_cell, grading)


# --- The guards over the notebooks of the course. ---

FOLDERS: dict[str, tuple[Guard, ...]] = {
    "book": PAGE_GUARDS,
    "book/solutions": PAGE_GUARDS,
    "solutions": (*GUARDS, *MASTER_GUARDS),
}
NOTEBOOKS = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.ipynb"))


def folder_of(path: Path) -> str:
    return str(path.parent.relative_to(ROOT))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: f"{folder_of(p)}/{p.stem}")
def test_notebook(path: Path):
    text = path.read_text(encoding="utf-8")
    nb = nbformat.reads(text, as_version=4)
    nbformat.validate(nb)
    assert [problem for guard in FOLDERS[folder_of(path)] for problem in guard(nb)] == []
    assert text == serialise(nb), "not in the one text form: run tools.notebooks --format"


def test_no_alt_text_serves_two_figures_of_the_course():
    seen: Counter[str] = Counter()
    for path in NOTEBOOKS:
        if folder_of(path) == "book/solutions":
            continue  # its figures are the master's
        nb = nbformat.read(path, as_version=4)
        seen.update(alt_text(cell) for _, cell, _ in images(nb))
    assert [alt for alt, n in seen.items() if n > 1] == []


# --- The guards over planted faults. ---


def png_of(width: int, mode: str = "P") -> str:
    """A picture of noise, which no compression makes smaller."""
    noise = np.random.default_rng(0).integers(256, size=(width, width), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PNG = png_of(4)
ALT = "Training loss against step: it falls from 4.2 to 1.3 in 400 steps."


def figure(alt: str | None = ALT, png: str = PNG, kind: str = "image/png", count: int = 1) -> Any:
    data = {kind: png, "text/plain": "<Figure size 640x480 with 1 Axes>"}
    metadata = {} if alt is None else {"mystnb": {"image": {"alt": alt}}}
    cell = new_code_cell("plot()", execution_count=count, metadata=metadata)
    cell.outputs = [new_output("display_data", data)]
    return cell


def code(source: str = "print(1)", out: str = "1\n", count: int | None = 1, **metadata: Any) -> Any:
    cell = new_code_cell(source, execution_count=count, metadata=metadata)
    cell.outputs = [new_output("stream", name="stdout", text=out)] if out else []
    return cell


def error() -> Any:
    return new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])


def with_outputs(*outs: Any, **metadata: Any) -> Any:
    cell = code(out="", **metadata)
    cell.outputs = list(outs)
    return cell


def notebook(*cells: Any) -> Any:
    nb = new_notebook(cells=[new_markdown_cell("# Title"), *cells])
    nb.metadata["executed_code"] = code_hash(nb)
    normalise(nb)
    return nb


def raw_figure() -> Any:
    nb = notebook(figure())
    nb.cells[1].outputs[0].data["image/png"] = png_of(4, "RGBA")
    return nb


def abnormal() -> Any:
    nb = notebook(code())
    nb.cells[1].metadata["execution"] = {"iopub.status.busy": "2026"}
    return nb


def edited() -> Any:
    nb = notebook(figure())
    nb.cells[1].source = "plot(other)"
    return nb


def without_picture() -> Any:
    nb = notebook(figure())
    del nb.cells[1].outputs[0].data["image/png"]
    return nb


def markdown_image() -> Any:
    return with_outputs(new_output("display_data", {"text/markdown": "<img src='a.png'>"}))


PLANTED: list[tuple[Guard, Any]] = [
    (stale_code, edited()),
    (lost_figure, without_picture()),
    (shell_command, notebook(code('_ = get_ipython().system("exit 3")'))),
    (shell_command, notebook(code('_ = os.system("exit 3")'))),
    (unchecked, notebook(code(tags=["skip-execution"]))),
    (unchecked, notebook(code(tags=["nbval-raises-exception"]))),
    (unchecked, notebook(code("# NBVAL_RAISES_EXCEPTION\nprint(1)"))),
    (refused_type, notebook(markdown_image())),
    (refused_type, notebook(with_outputs(new_output("display_data", {"image/webp": "UklG"})))),
    (poor_alt, notebook(figure(alt="a" * 40))),
    (poor_alt, notebook(figure(alt="<Figure size 693x241 with 1 Axes> of the course"))),
    (never_executed, notebook(code(count=None))),
    (out_of_order, notebook(code(count=2), code(count=1))),
    (out_of_order, notebook(code(count=3))),
    (not_python, notebook(code("%no_such_magic"))),
    (not_python, notebook(code("!false"))),
    (not_python, notebook(code("numpy.dot?"))),
    (unchecked, notebook(code(tags=["nbval-skip"]))),
    (unchecked, notebook(code("# NBVAL_IGNORE_OUTPUT\nprint(1)"))),
    (promised_error, notebook(code(tags=["raises-exception"]))),
    (promised_error, notebook(with_outputs(error()))),
    (stderr_output, notebook(with_outputs(new_output("stream", name="stderr", text="warning")))),
    (refused_type, notebook(with_outputs(new_output("display_data", {"image/svg+xml": "<svg/>"})))),
    (unstable_text, notebook(code(out="<object at 0x7f3a2b4c5d60>"))),
    (unstable_text, notebook(code(out="Wall time: 3 s"))),
    (unstable_text, notebook(code(out="400 steps took 3.2 s"))),
    (unstable_text, notebook(code(out=" 42%|####      | 42/100"))),
    (unstable_text, notebook(code(out="step 1\rstep 2"))),
    (unstable_text, notebook(code(out="saved to /tmp/model.npz"))),
    (
        unstable_text,
        notebook(
            with_outputs(
                new_output("error", ename="E", evalue="", traceback=["File \x1b[32m~/a.py:1"]),
                tags=["raises-exception"],
            )
        ),
    ),
    (heavy_figure, notebook(figure(png=png_of(300)))),
    (poor_alt, notebook(figure(alt=None))),
    (poor_alt, notebook(figure(alt="A plot."))),
    (poor_alt, notebook(figure(alt="../_images/0123456789abcdef0123456789abcdef.png"))),
    (repeated_alt, notebook(figure(), figure(count=2))),
    (long_cell, notebook(code("\n".join(["x = 1"] * (MAX_LINES + 1))))),
    (trailing_semicolon, notebook(code("plt.plot(x);"))),
    (heavy_notebook, notebook(code(out="a" * MAX_NOTEBOOK))),
    (not_normal, abnormal()),
    (not_normal, raw_figure()),
    (raw_cell, notebook(code(), new_raw_cell("name: relu"))),
    (grading, notebook(code("# BEGIN SOLUTION\nprint(1)\n# END SOLUTION"))),
    (grading, notebook(code("x = 1  # SOLUTION", out=""))),
    (grading, notebook(code('""" # BEGIN TEST CONFIG\npoints: 1\n""" # END TEST CONFIG', out=""))),
    (grading, notebook(code("from unrolled.checks.neurons import check_relu", out=""))),
]


@pytest.mark.parametrize(
    ("guard", "nb"), PLANTED, ids=[f"{g.__name__}-{i}" for i, (g, _) in enumerate(PLANTED)]
)
def test_guard_finds_the_planted_fault(guard: Guard, nb: Any):
    assert list(guard(nb))
    others = [p for g in PAGE_GUARDS if g is not guard for p in g(nb)]
    assert others == [], "the planted notebook has a second fault, so it proves less"


def test_every_guard_has_a_planted_fault():
    assert {g for g, _ in PLANTED} == set(PAGE_GUARDS)


def test_a_good_notebook_passes_every_guard():
    raised = with_outputs(error(), tags=["raises-exception"])
    raised.execution_count = 3
    nb = notebook(code(), figure(count=2), raised, new_code_cell(""))
    assert [p for g in PAGE_GUARDS for p in g(nb)] == []


def test_masters_may_have_what_pages_may_not():
    nb = notebook(new_raw_cell("# BEGIN QUESTION\nname: relu"), code("x = 1  # SOLUTION", out=""))
    assert [p for g in GUARDS for p in g(nb)] == []


def test_normalising_keeps_what_the_book_reads():
    nb = notebook(figure())
    nb.cells[1].metadata["tags"] = ["hide-input"]
    before = [cell.id for cell in nb.cells]
    normalise(nb)
    assert alt_text(nb.cells[1]) == ALT
    assert tags(nb.cells[1]) == ["hide-input"]
    assert [cell.id for cell in nb.cells] == before


def test_normalising_stores_figures_with_a_palette_and_keeps_white():
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 255))
    image.putpixel((3, 3), (0, 114, 178, 255))
    file = io.BytesIO()
    image.save(file, "PNG")
    nb = notebook(figure(png=base64.b64encode(file.getvalue()).decode()))
    stored = nb.cells[1].outputs[0].data["image/png"]
    small = Image.open(io.BytesIO(base64.b64decode(stored)))
    assert small.mode == "P"
    assert small.convert("RGBA").tobytes() == image.tobytes()
    normalise(nb)
    assert nb.cells[1].outputs[0].data["image/png"] == stored


def test_normalising_drops_this_checkout_from_tracebacks():
    out = new_output(
        "error", ename="E", evalue="", traceback=[f"File \x1b[32m{ROOT}/src/unrolled/a.py:3"]
    )
    nb = notebook(with_outputs(out, tags=["raises-exception"]))
    assert nb.cells[1].outputs[0].traceback == ["File \x1b[32msrc/unrolled/a.py:3"]
