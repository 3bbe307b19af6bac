"""The results as a page of text, and whether they are still those of the code."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SOURCES = [f"src/unrolled/{name}.py" for name in ("rnn", "gru", "lstm", "attention")]


def source_hashes() -> dict[str, str]:
    """Return the hash of the code of every source that is measured."""
    root = FOLDER.parent
    return {name: code_hash((root / name).read_text(encoding="utf-8")) for name in SOURCES}


def code_hash(source: str) -> str:
    """Return the SHA-256 of what Python reads: no comments, docstrings or line breaks.

    >>> code_hash("x = 1  # one") == code_hash("x=1") != code_hash("x = 2")
    True
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()


def _plain(node: Any) -> Any:
    # Like ast.dump, which writes empty fields in some versions of Python and not in others.
    if isinstance(node, ast.AST):
        fields = [(name, _plain(value)) for name, value in ast.iter_fields(node)]
        return type(node).__name__, [(n, v) for n, v in fields if v is not None and v != []]
    return [_plain(part) for part in node] if isinstance(node, list) else node


def table(head: str, rows: Iterable[Iterable[Any]]) -> list[str]:
    """Write a table in Markdown, its columns given as one line."""
    names = head.split(" | ")
    lines = [f"| {head} |", "|" + "---|" * len(names)]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]


def multiples(rows: list[dict[str, Any]], first: str, names: list[str]) -> Iterable[list[str]]:
    """Give the cells of measurements: what, size, milliseconds of each, multiples of each."""
    for row in rows:
        size = ", ".join(str(n) for n in row["size"])
        ms = [f"{row['ms'][n]:.3g}" if n in row["ms"] else "" for n in ("numpy", *names)]
        times = [f"{row['times'][n]:.2f}" if n in row["times"] else "" for n in names]
        yield [row[first], size, *ms, *times]


def render(results: dict[str, Any]) -> str:
    """Return RESULTS.md."""
    machine, versions = results["machine"], results["versions"]
    head = "layer | B, T, D, H | ms | torch | products | ÷ torch | ÷ products"
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. One thread, float32, CPU time, the median of "
        f"{results['rounds']} rounds; a multiple is the median of the multiples within the rounds. "
        "Smaller is faster: at 0.50 NumPy needs half the time, at 2.00 twice the time.",
        "",
        f"- CPU: {machine['cpu']}, {machine['cores']} cores; {', '.join(machine['caches'])}",
        f"- System: {machine['system']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"- Matrix products: NumPy by {machine['numpy_blas']}; torch's kernels for "
        f"{machine['torch_instructions']}",
        "",
        "## Layers",
        "",
        "A step forward and back, the gradient of the input included, against `torch.nn`, and "
        "against the matrix products alone, by NumPy, into arrays that are there already.",
        "",
        *table(head, multiples(results["layers"], "cell", ["torch", "products"])),
        "## Attention",
        "",
        "Forward and back with a mask, against plain PyTorch and, for the scaled score, against "
        "`scaled_dot_product_attention` on arrays in its own order; it returns no weights.",
        "",
        *table(
            "score | T, B, S, D | ms | torch | fused | ÷ torch | ÷ fused",
            multiples(results["attention"], "score", ["torch", "fused"]),
        ),
        "## Language model",
        "",
        "Characters a second in training an LSTM, with clipping and Adam.",
        "",
        *table("batch | NumPy | torch | ÷ torch in time", language_model(results["text"])),
        "## Memory",
        "",
        "Peak in MiB of backpropagation through T steps of an LSTM, whole and in windows of "
        f"{results['memory']['window']} steps; B, D, H = {results['memory']['size']}.",
        "",
        *table(
            "T | whole | windows",
            ([r["T"], r["whole"], r["windows"]] for r in results["memory"]["rows"]),
        ),
        "## One idea undone",
        "",
        "The time of the LSTM with one idea undone, as a multiple of its own.",
        "",
        *ablations(results["ablations"]),
    ]
    return "\n".join(lines)


def language_model(rows: list[dict[str, Any]]) -> Iterable[list[str]]:
    """Give the cells of the language model's table."""
    for row in rows:
        rates = row["characters_per_second"]
        numpy, torch = (f"{rates[name]:,}" for name in ("numpy", "torch"))
        yield [str(row["batch"]), numpy, torch, f"{row['times']['torch']:.2f}"]


def ablations(rows: list[dict[str, Any]]) -> list[str]:
    """Give the table of the ablations, a column for each size."""
    sizes = list(dict.fromkeys(tuple(row["size"]) for row in rows))
    cells: dict[str, list[str]] = {}
    for row in rows:
        cells.setdefault(row["title"], []).append(f"{row['times']['original']:.2f}")
    return table(
        " | ".join(["undone", *(", ".join(map(str, size)) for size in sizes)]),
        ([title, *values] for title, values in cells.items()),
    )
