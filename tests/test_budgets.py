"""The time budget of conftest.py, on tiny notebooks in a project of their own."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools.notebooks import ROOT

BURN = "import time\nwhile time.process_time() < 2.5:\n    pass"
SLEEP = "import time\ntime.sleep(3)"


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run nbval over one notebook, under a budget in CPU seconds; also over two processes."""

    def _run(source: str, seconds: float, *args: str) -> pytest.RunResult:
        pytester.makeconftest((ROOT / "conftest.py").read_text(encoding="utf-8"))
        pytester.makeini(f"[pytest]\nnotebook_budgets = book={seconds}\n")
        nb = new_notebook(cells=[new_code_cell(s, execution_count=1) for s in (source, "x = 1")])
        nbformat.write(nb, pytester.mkdir("book") / "01_a.ipynb")
        return pytester.runpytest_subprocess("--nbval", "--nbval-current-env", *args, "book")

    return _run


@pytest.mark.parametrize("args", [(), ("-n", "1", "--dist", "loadscope")], ids=["one", "xdist"])
def test_a_notebook_over_its_budget_fails_once(run, args: tuple[str, ...]):
    result = run(BURN, 2.0, *args)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*of CPU by here, the budget is 2 s*"])
    result.stdout.fnmatch_lines(["*slowest notebooks*", "* of 2  *01_a.ipynb"])


def test_waiting_costs_nothing(run):
    run(SLEEP, 2.5).assert_outcomes(passed=2)
