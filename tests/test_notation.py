"""The pages that readers take for granted, the notation above all, say what the code does."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from unrolled.gru import gru_forward
from unrolled.lstm import lstm_forward
from unrolled.params import Recurrent, init_gru, init_lstm, init_rnn
from unrolled.rnn import rnn_forward
from unrolled.torch_twins import gru_twin, lstm_twin, rnn_twin, tensor

BOOK = Path(__file__).parent.parent / "book"
SIZES = {"T": 6, "B": 3, "D": 2, "H": 4}
ROW = re.compile(
    r"^\| (?P<maths>\$.*?) \| (?P<code>`.*?) \| \((?P<shape>.*?)\) \| (?P<torch>`.*?) \|$"
)


def notation_rows(layer: str) -> list[dict[str, str]]:
    """The rows of the table that compares a layer with torch's."""
    text = (BOOK / "notation.md").read_text(encoding="utf-8")
    table = text.split(f"in `torch.nn.{layer}` |\n")[1].split("\n\n")[0]
    return [match.groupdict() for match in map(ROW.match, table.splitlines()) if match]


ROWS, LSTM_ROWS, GRU_ROWS = map(notation_rows, ("RNN", "LSTM", "GRU"))


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    """Everything that the table names, computed once by the package and once by torch."""
    rng = np.random.default_rng(0)
    T, B, D, H = SIZES.values()
    params = init_rnn(D, H, rng=rng)
    x, h0 = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    out, h_n, cache = rnn_forward(params, x, h0)
    twin = rnn_twin(params)
    h_0 = tensor(h0)[None]
    output, torch_h_n = twin(tensor(x), h_0)
    ours = {**params._asdict(), "x": x, "h0": h0, "h": cache.h, "out": out, "h_n": h_n}
    theirs = {"input": tensor(x), "h_0": h_0, "output": output, "h_n": torch_h_n}
    return {"ours": ours, "theirs": theirs | dict(twin.named_parameters())}


@pytest.fixture(scope="module")
def lstm_names() -> dict[str, object]:
    """The same for the LSTM."""
    rng = np.random.default_rng(0)
    T, B, D, H = SIZES.values()
    params = init_lstm(D, H, rng=rng)
    x, h0, c0 = (rng.normal(size=size) for size in [(T, B, D), (B, H), (B, H)])
    _, (_, c_n), cache = lstm_forward(params, x, h0, c0)
    twin = lstm_twin(params)
    c_0 = tensor(c0)[None]
    _, (_, torch_c_n) = twin(tensor(x), (tensor(h0)[None], c_0))
    ours = {**params._asdict(), "c0": c0, "c": cache.c, "c_n": c_n}
    theirs = {"c_0": c_0, "c_n": torch_c_n}
    return {"ours": ours, "theirs": theirs | dict(twin.named_parameters())}


@pytest.fixture(scope="module")
def gru_names() -> dict[str, object]:
    """The same for the GRU, with what its cache holds beside the state."""
    rng = np.random.default_rng(0)
    T, B, D, H = SIZES.values()
    params = init_gru(D, H, rng=rng)
    h0 = rng.normal(size=(B, H))
    cache = gru_forward(params, rng.normal(size=(T, B, D)), h0)[2]
    ours = {**params._asdict(), "r": cache.r, "z": cache.z, "n": cache.n, "m": cache.m}
    ours |= {"h": cache.h, "H": H}
    return {"ours": ours, "theirs": dict(gru_twin(params).named_parameters())}


@pytest.mark.parametrize(
    "rows, count", [(ROWS, 8), (LSTM_ROWS, 6), (GRU_ROWS, 4)], ids=["rnn", "lstm", "gru"]
)
def test_the_table_is_there_and_names_every_parameter(rows, count):
    assert len(rows) == count
    code = {row["code"] for row in rows}
    assert {f"`{field}`" for field in Recurrent._fields} <= code


@pytest.mark.parametrize("row", LSTM_ROWS, ids=[row["code"] for row in LSTM_ROWS])
def test_the_lstm_of_the_table_is_that_of_torch(row, lstm_names):
    test_code_and_torch_name_the_same_numbers(row, lstm_names)


@pytest.mark.parametrize("row", GRU_ROWS, ids=[row["code"] for row in GRU_ROWS])
def test_the_gru_of_the_table_is_that_of_torch(row, gru_names):
    test_code_and_torch_name_the_same_numbers(row, gru_names)


def test_the_gates_of_the_gru_make_its_state_as_the_table_says(gru_names):
    ours = gru_names["ours"]
    r, z, n, m, h, H = (ours[name] for name in ("r", "z", "n", "m", "h", "H"))
    assert np.allclose((1 - z) * n + z * h[:-1], h[1:], rtol=0, atol=1e-12)
    product = h[:-1] @ ours["W_hh"][2 * H :].T + ours["b_hh"][2 * H :]
    assert np.allclose(m, product, rtol=0, atol=1e-12)
    assert r.min() > 0
    assert r.max() < 1


@pytest.mark.parametrize("row", ROWS, ids=[row["code"] for row in ROWS])
def test_code_and_torch_name_the_same_numbers(row, names):
    sizes = re.findall(r"(\d?)([TBDH])", row["shape"])
    shape = tuple(int(blocks or 1) * SIZES[size] for blocks, size in sizes)
    expressions = re.findall(r"`([^`]+)`", row["code"])
    for t in range(1, SIZES["T"] + 1):
        scope = {**names["ours"], "t": t, "T": SIZES["T"]}
        theirs = eval(row["torch"].strip("`"), {**names["theirs"], "t": t})
        for expression in expressions[:1] if "so" in row["code"] else expressions:
            ours = eval(expression, scope)
            assert ours.shape == shape == tuple(theirs.shape)
            assert np.allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-12)


def test_the_states_after_the_first_are_the_output(names):
    assert "`h[1:]` is `out`" in next(row["code"] for row in ROWS if row["maths"] == "$h_t$")
    assert np.array_equal(names["ours"]["h"][1:], names["ours"]["out"])


def test_the_lines_on_the_first_page_are_an_rnn(names):
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    scope = {"np": np, **{k: names["ours"][k] for k in (*Recurrent._fields, "x", "h0")}}
    exec(code, scope)
    assert np.allclose(scope["h"], names["ours"]["h_n"], rtol=0, atol=1e-12)


def chapter_terms() -> dict[tuple[str, str], str]:
    """Every **term** (中文) of the chapters, small or capital, with the first that has it."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(BOOK.glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        for term, chinese in re.findall(r"\*\*([^*]+)\*\* \(([\u4e00-\u9fff]+)\)", text):
            found.setdefault((term.casefold(), chinese), path.name)
    return found


def glossary() -> list[tuple[str, str, str]]:
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    return re.findall(r"^\| ([^|]+) \| ([\u4e00-\u9fff]+) \|.*\((.*?)\) \|$", text, re.MULTILINE)


def test_the_glossary_holds_every_term_and_its_chapter():
    entries = {(term.casefold(), chinese): chapter for term, chinese, chapter in glossary()}
    terms = chapter_terms()
    assert len(terms) > 20
    missing = {key: chapter for key, chapter in terms.items() if entries.get(key) != chapter}
    assert not missing


def test_the_glossary_is_sorted_and_every_entry_stands_in_its_chapter():
    entries = glossary()
    terms = [term for term, _, _ in entries]
    assert terms == sorted(terms, key=str.casefold)
    for term, chinese, chapter in entries:
        text = (BOOK / chapter).read_text(encoding="utf-8")
        assert chinese in text, f"{chapter} does not name {term} ({chinese})"


def headings(name: str) -> set[str]:
    cells = json.loads((BOOK / name).read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return set(re.findall(r"^#+ (.+)$", text, re.MULTILINE))


def test_docstrings_name_sections_that_exist():
    chapters = {path.name[:2]: headings(path.name) for path in BOOK.glob("[0-9]*.ipynb")}
    quoted = 0
    for path in (BOOK.parent / "src").rglob("*.py"):
        for number, section in re.findall(
            r'Chapter (\d+), "([^"]+)"', path.read_text(encoding="utf-8")
        ):
            quoted += 1
            assert section in chapters[f"{int(number):02d}"], f"{path.name}: no section {section!r}"
    assert quoted > 10
