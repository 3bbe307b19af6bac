"""What a chapter shows as the package's source is the package's source."""

import ast
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pytest

from unrolled import (
    data,
    diagrams,
    functional,
    losses,
    neurons,
    params,
    plotting,
    rnn,
    torch_models,
)
from unrolled.notebook import show_script, show_source

MODULES = [functional, losses, neurons, params, rnn, data.sequences, data.tasks, torch_models]
OBJECTS = [
    item
    for module in MODULES
    for item in vars(module).values()
    if (inspect.isfunction(item) or inspect.isclass(item)) and item.__module__ == module.__name__
]


def without_docstrings(code: str) -> str:
    """The same program by another road: through Python's own parser and back."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or node.body
    return ast.dump(tree)


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: item.__qualname__)
def test_source_is_shown_without_its_docstrings_and_otherwise_whole(item):
    shown = show_source(item).code
    assert ast.dump(ast.parse(shown)) == without_docstrings(inspect.getsource(item))
    assert "\n\n\n" not in shown
    # Comments are part of what a reader sees.
    original = inspect.getsource(item)
    comments = [line.strip() for line in original.splitlines() if line.strip().startswith("#")]
    assert all(comment in shown for comment in comments)


def test_source_can_keep_its_docstring_and_shows_several():
    whole = show_source(functional.relu, docs=True).code
    assert whole == inspect.getsource(functional.relu).rstrip()
    both = show_source(functional.relu, functional.softmax)
    assert both.code.count("def ") == 2
    assert both._repr_markdown_() == f"```python\n{both.code}\n```"


def test_a_script_is_shown_as_it_stands(tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "experiments/01_x.py").write_text("print(1)\n")
    monkeypatch.chdir(tmp_path / "book")
    assert repr(show_script("experiments/01_x.py")) == "print(1)"
    with pytest.raises(FileNotFoundError, match="no experiments/02_y.py in this folder"):
        show_script("experiments/02_y.py")


def contrast(color: str) -> float:
    """The contrast ratio of a colour with white, as WCAG 2 defines it."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


def test_the_first_colours_of_a_figure_stand_out_from_white():
    assert all(contrast(color) >= 3 for color in plotting.COLORS[:3])
    assert contrast("#ffffff") == pytest.approx(1)


def test_a_band_spans_the_runs():
    _, ax = plt.subplots()
    runs = np.array([[1.0, 5], [3, 1], [2, 3]])
    plotting.plot_runs(ax, np.array([10, 20]), runs, label="runs")
    (band,) = ax.collections
    x, y = band.get_paths()[0].vertices.T
    assert {(10.0, 1.0), (10.0, 3.0), (20.0, 1.0), (20.0, 5.0)} <= set(zip(x, y, strict=True))
    plt.close("all")


def test_scores_are_sorted_and_every_run_is_drawn():
    _, ax = plt.subplots()
    plotting.plot_scores(ax, {"b": [0.9, 0.8], "a": [0.1]}, live={"b": 0.7})
    drawn = [(list(line.get_xdata()), set(line.get_ydata())) for line in ax.lines]
    assert drawn == [([0.1], {0}), ([0.9, 0.8], {1}), ([0.7], {1})]
    plt.close("all")


def test_an_unrolled_drawing_has_a_cell_a_step_and_reads_where_it_should():
    _, ax = diagrams.canvas(9, 4)
    diagrams.draw_unrolled(ax, ["a", "b", "c"], read=[2], outputs=["y"], padded=1)
    texts = {text.get_text(): text.get_position() for text in ax.texts}
    assert [text.get_text() for text in ax.texts].count("cell") == 3
    assert texts["y"][0] == texts["b"][0]
    with pytest.raises(ValueError, match="argument"):
        diagrams.draw_unrolled(ax, ["a"], read=[1], outputs=[])
    plt.close("all")
