"""The NumPy half stands alone: only torch_*.py imports torch, torch_twins.py only when used."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import unrolled

PACKAGE = Path(unrolled.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(source: str, *, at_import: bool = False) -> set[str]:
    """The top-level names of what a module imports: anywhere in it, or as it is itself imported."""
    found, nodes = set(), list(ast.parse(source).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if name in {"import_module", "__import__"}:
                found.add(ast.unparse(node.args[0]).strip("f'\"").split(".")[0])
        if not (at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            nodes += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize(
    "source, anywhere, at_import",
    [
        ("import torch.nn as nn", True, True),
        ("from torch import nn", True, True),
        ("try:\n    import torch\nexcept ImportError:\n    pass", True, True),
        ("class A:\n    import torch", True, True),
        ("def f():\n    from torch.nn import RNN", True, False),
        ("def f():\n    importlib.import_module('torch.nn')", True, False),
        ("x = __import__('torch')", True, True),
        ("import torchless\nfrom . import torch_twins\nfrom unrolled import torch_twins", 0, 0),
    ],
)
def test_the_scan_finds_every_kind_of_import(source, anywhere, at_import):
    assert ("torch" in imports(source)) == anywhere
    assert ("torch" in imports(source, at_import=True)) == at_import


@pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES])
def test_who_imports_what(file):
    source = file.read_text(encoding="utf-8")
    assert ("torch" in imports(source)) == file.name.startswith("torch_")
    # What costs seconds to import, or may be missing, waits until it is used.
    # (cycler is a part of matplotlib that is packaged apart.)
    allowed = {*sys.stdlib_module_names, "numpy", "matplotlib", "cycler", "unrolled"}
    if file.name.startswith("torch_") and file.name != "torch_twins.py":
        allowed.add("torch")
    assert imports(source, at_import=True) <= allowed


ALONE = """
import pkgutil, sys
# None in sys.modules makes each import of that name fail, as if it were not installed.
for name in BLOCKED:
    sys.modules[name] = None
import numpy as np
import unrolled
from unrolled import *
for module in pkgutil.walk_packages(unrolled.__path__, "unrolled."):
    name = module.name.rpartition(".")[2]
    if name == "torch_twins" or not name.startswith("torch_"):
        __import__(module.name)

from unrolled import data, gradient_check, losses, neurons, optim, params, rnn, torch_twins
rng = np.random.default_rng(0)
layers = params.init_mlp([4, 3, 2], rng=rng)
def loss_of(layers):
    return losses.cross_entropy(neurons.mlp_forward(layers, x)[0], np.array([0, 1, 1]))[0]
x = rng.normal(size=(3, 4))
out, cache = neurons.mlp_forward(layers, x)
before, dout = losses.cross_entropy(out, np.array([0, 1, 1]))
_, grads = neurons.mlp_backward(cache, dout)
assert gradient_check.relative_error(gradient_check.numerical_grad(loss_of, layers), grads) < 1e-7
assert loss_of(optim.sgd(layers, grads, lr=0.1)) < before
assert rnn.rnn_forward(params.init_rnn(4, 5, rng=rng), x[None])[0].shape == (1, 3, 5)
assert data.load_weather().values.shape == (3, 8730, 7)

for call, error, message in [
    (lambda: torch_twins.tensor(x), ModuleNotFoundError, "torch is not installed; run: pip"),
    (data.load_names, data.MissingDataError, "'Faker' is not installed; run: pip install"),
    (data.load_digits, data.MissingDataError, "'scikit-learn' is not installed; run: pip install"),
]:
    try:
        call()
    except error as e:
        assert message in str(e), e
    else:
        raise AssertionError(f"nothing was raised: {message}")
loaded = {name.split(".")[0] for name, module in sys.modules.items() if module}
assert not loaded & set(BLOCKED), loaded
print("done")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_numpy_half_runs_without_torch_sklearn_and_faker():
    result = run("BLOCKED = ['torch', 'sklearn', 'scipy', 'faker']\n" + ALONE)
    assert result.stdout.strip() == "done", result.stderr


def test_importing_costs_no_torch_where_torch_is_there():
    result = run("import sys, unrolled.torch_twins, unrolled.data; print(sorted(sys.modules))")
    assert "'unrolled.torch_twins'" in result.stdout, result.stderr
    assert not {"'torch'", "'sklearn'", "'faker'"} & set(result.stdout.strip("[]\n").split(", "))
