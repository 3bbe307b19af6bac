"""The time budget of the notebooks, enforced while `pytest --nbval` executes them.

A notebook is charged the CPU seconds of its kernel, not the time on the clock, so a busy machine
fails nothing. The cell that goes over the budget fails; the slowest notebooks are reported at the
end. The budgets stand in pyproject.toml, under `notebook_budgets`.
"""

import signal
from collections.abc import Generator

import psutil
import pytest

pytest_plugins = ["pytester"]

SHOWN = 5


def pytest_configure() -> None:
    # A shell lets its background jobs ignore Ctrl-C, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("notebook_budgets", "folder=seconds", type="args")


def budget(item: pytest.Item) -> float | None:
    """Return the budget of an item's folder; None for what is not a notebook cell."""
    if item.path.suffix != ".ipynb":
        return None
    pairs = (pair.split("=") for pair in item.config.getini("notebook_budgets"))
    budgets = {folder: float(seconds) for folder, seconds in pairs}
    return budgets.get(item.path.parent.name)


def kernel_seconds(item: pytest.Item) -> float | None:
    """Return the CPU seconds that the kernel of a cell has used so far, its children included."""
    try:
        process = psutil.Process(item.parent.kernel.km.provisioner.pid)  # type: ignore[union-attr]
        return float(sum(process.cpu_times()[:4]))
    except (psutil.Error, AttributeError):  # the kernel has died: nbval reports that itself
        return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    limit = budget(item)
    if call.when != "call" or limit is None:
        return report
    used = kernel_seconds(item)
    if used is None:
        return report
    report.user_properties.append(("notebook_cpu", (report.nodeid.split("::")[0], used, limit)))
    # One failure a notebook, at the cell that crosses the line.
    if used > limit and report.passed and not getattr(item.parent, "over_budget", False):
        item.parent.over_budget = True  # type: ignore[union-attr]
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {used:.1f} s of CPU by here, the budget is {limit:g} s"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    used: dict[str, tuple[float, float]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", []):
                if key == "notebook_cpu":
                    name, seconds, limit = value
                    used[name] = max(used.get(name, (0.0, limit)), (seconds, limit))
    if used:
        terminalreporter.section(f"slowest notebooks (CPU seconds, {len(used)} in all)")
        for name, (seconds, limit) in sorted(used.items(), key=lambda kv: -kv[1][0])[:SHOWN]:
            terminalreporter.line(f"{seconds:7.1f} of {limit:g}  {name}")
