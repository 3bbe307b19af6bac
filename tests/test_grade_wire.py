"""Values cross between two processes unchanged, and bytes made up to do harm do none."""

import io
import json
import math
import socket
import threading
import time
import warnings
import zipfile
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.helpers import PROPERTY
from unrolled.grade import wire
from unrolled.grade.wire import copy_back, decode, encode, receive, register, send
from unrolled.neurons import mlp_forward
from unrolled.params import Linear, init_mlp, init_rnn
from unrolled.rnn import rnn_forward

NUMBERS = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(),
    npst.unsigned_integer_dtypes(),
    npst.floating_dtypes(),
    npst.complex_number_dtypes(),
)
SHAPES = npst.array_shapes(min_dims=0, min_side=0, max_side=3)
LEAVES = st.one_of(
    st.none(),
    st.just(...),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(st.characters()),
    npst.arrays(NUMBERS, SHAPES),
    NUMBERS.flatmap(npst.from_dtype),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3),
        st.builds(Linear, inner, inner),
    ),
    max_leaves=8,
)


def alike(a, b):
    """Whether two values are of the same types throughout, and equal; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic):
        same = (a.dtype, a.shape) == (b.dtype, b.shape)
        return same and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return alike(list(a.items()), list(b.items()))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def stored(tree, **arrays):
    """The bytes of a message made by hand."""
    out = io.BytesIO()
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    np.savez(out, tree=np.frombuffer(text, np.uint8), **arrays)
    return out.getvalue()


@PROPERTY
@given(VALUES)
def test_what_crosses_arrives_as_it_was(value):
    assert alike(decode(encode(value)), value)


def test_the_comparison_of_these_tests_tells_values_apart():
    for a, b in [(1, 1.0), (1, True), ([1], (1,)), (np.ones(2), np.ones((2, 1))), ({1: 2}, {})]:
        assert not alike(a, b)
    assert not alike(np.float32(1), np.float64(1))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(10**5000, id="longer than Python prints"),
        -(2**64),
        "\ud800",
        np.array(3.0),
        np.zeros((0, 4), np.float32),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6)[::2],
        np.array([1.0], ">f8"),
        np.longdouble(1) / 3,
        {"1": 1, 1: 2},
        {"W1", "W2"},
        set(),
        init_mlp([3, 2], rng=np.random.default_rng(0)),
    ],
)
def test_unusual_values_cross(value):
    assert alike(decode(encode(value)), value)


def test_the_caches_of_the_package_cross():
    rng = np.random.default_rng(0)
    layers = init_mlp([3, 4, 2], rng=rng)
    caches = [
        mlp_forward(layers, rng.normal(size=(5, 3)))[1],
        rnn_forward(init_rnn(3, 4, rng=rng), rng.normal(size=(2, 5, 3)))[2],
    ]
    assert alike(decode(encode(caches)), caches)


def test_a_generator_goes_on_where_it_was():
    rng = np.random.default_rng(3)
    rng.integers(10, size=3, dtype=np.int32)  # leaves half of a draw behind
    copy = decode(encode(rng))
    assert (
        copy.integers(10, size=5, dtype=np.int32).tolist()
        == rng.integers(10, size=5, dtype=np.int32).tolist()
    )
    assert copy.normal() == rng.normal()


def test_arrays_stay_read_only_and_stay_one():
    x = np.ones(2)
    x.flags.writeable = False
    a, b = decode(encode([x, x]))
    assert a is b
    assert not a.flags.writeable
    assert decode(encode(np.ones(2))).flags.writeable


class Pair(NamedTuple):
    a: int
    b: int


class Other(NamedTuple):
    a: int


@pytest.mark.parametrize(
    "value, name",
    [
        (b"", "bytes"),
        (1j, "complex"),
        (object(), "object"),
        (np.array([None]), "dtype object"),
        (np.zeros(2, [("a", "f8")]), r"dtype \["),
        (np.datetime64("2001-01-01"), "datetime64"),
        (np.ma.array([1.0]), "MaskedArray"),
        ({1.5: 2}, "other keys"),
        ({True: 2}, "other keys"),
        (len, "builtin_function"),
        (np.random.Generator(np.random.MT19937(0)), "Generator"),
        ([{"deep": (b"",)}], "bytes"),
    ],
)
def test_what_cannot_cross_is_named(value, name):
    with pytest.raises(TypeError, match=rf"a .*{name}.* cannot be checked; use numbers, strings"):
        encode(value)


def test_a_class_that_only_one_process_knows_crosses_as_a_tuple_with_a_name(monkeypatch):
    monkeypatch.setattr(wire, "_named", dict(wire._named))
    sent = encode([Other(1)])
    del wire._named[f"{Other.__module__}.{Other.__qualname__}"]  # as in the grader's process
    (foreign,) = decode(sent)
    assert foreign == (1,)
    assert not isinstance(foreign, Other)
    back = encode(foreign)
    wire.register(Other)  # as in the learner's
    assert decode(back) == Other(1)
    assert isinstance(decode(back), Other)


def test_the_name_of_a_class_is_never_looked_up():
    harmless = decode(stored(["named", "builtins.eval", ["exit()"]]))
    assert harmless == ("exit()",)


def test_values_that_mean_a_number_or_a_list_cross_as_such():
    assert decode(encode([Fraction(1, 4), Decimal("0.5")])) == [0.25, 0.5]
    assert decode(encode(np.array(["W1", "b1"]))) == ["W1", "b1"]
    assert decode(encode(frozenset({1}))) == frozenset({1})


def test_numbers_beyond_counting_are_asked_for_as_an_array():
    with pytest.raises(ValueError, match="make it an array"):
        encode(list(range(500_000)))
    assert len(decode(encode(np.arange(500_000)))) == 500_000


def test_more_named_tuples_can_be_registered(monkeypatch):
    monkeypatch.setattr(wire, "_named", dict(wire._named))
    register(Pair)
    assert alike(decode(encode(Pair(1, 2))), Pair(1, 2))


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def test_the_depth_is_limited():
    assert decode(encode(nested(wire.DEEPEST))) == nested(wire.DEEPEST)
    with pytest.raises(ValueError, match="nested more than"):
        encode(nested(wire.DEEPEST + 1))
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested more than"):
        encode(endless)


def nested_tree(depth):
    return ["list", [nested_tree(depth - 1)]] if depth else ["int", "0x0"]


class Trap:
    """Its pickle, once loaded, would raise what no other code raises."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was loaded')",))


def bomb():
    """A message of a few kilobytes that unpacks to 80 MB."""
    out = io.BytesIO()
    np.savez_compressed(out, tree=np.frombuffer(b"null", np.uint8), a0=np.zeros(10**7))
    return out.getvalue()


def huge():
    """A message whose array says that it has 2**60 numbers."""
    header = io.BytesIO()
    layout = {"descr": "<f8", "fortran_order": False, "shape": (2**60,)}
    np.lib.format.write_array_header_1_0(header, layout)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("tree.npy", header.getvalue())
    return out.getvalue()


def twice():
    """A message in which two entries have one name."""
    out = io.BytesIO(encode(1))
    with zipfile.ZipFile(out, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("tree.npy", archive.read("tree.npy"))
    return out.getvalue()


HOSTILE = {
    "nothing": b"",
    "start of a zip": b"PK",
    "pickle": b"\x80\x04.",
    "zeros": bytes(1000),
    "cut": encode([1])[:-1],
    "cut in front": encode([1])[1:],
    "bomb": bomb(),
    "huge": huge(),
    "no JSON": stored(b"{"),
    "deep JSON": stored(b"[" * 100_000),
    "deep": stored(["list", [nested_tree(100)]]),
    "list of no list": stored(["list", 3]),
    "missing array": stored(["array", "a0", True]),
    "missing tree": stored(["array", "tree", True]),
    "no scalar": stored(["scalar", "a0"], a0=np.ones(1)),
    "no int": stored(["int", "zz"]),
    "no float": stored(["float", "one"]),
    "unequal": stored(["dict", ["a"], []]),
    "unhashable": stored(["dict", [["list", []]], [1]]),
    "wrong fields": stored(["named", "unrolled.params.Linear", [1]]),
    "no generator": stored(["rng", {"bit_generator": "PCG64"}]),
    "other generator": stored(["rng", ["dict", ["bit_generator"], ["MT19937"]]]),
    "many arrays": stored(["list", []], **{f"a{n}": np.ones(1) for n in range(10_001)}),
    "named again and again": stored(["list", [["array", "a0", True]] * 85], a0=np.ones(2**18)),
    "large set": stored(["set", [["int", hex(n)] for n in range(10_001)]]),
    "large frozenset": stored(["frozenset", [["int", hex(n)] for n in range(10_001)]]),
    "large dict": stored(["dict", [["int", hex(n)] for n in range(10_001)], [None] * 10_001]),
    "twice the same name": twice(),
    "unknown tag": stored(["eval", "1"]),
    "bare number": stored(5),
    "text array": stored(None, a0=np.array(["text"])),
    "trap": stored(["array", "a0", True], a0=np.array([Trap()], dtype=object)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_message_is_refused(name):
    with pytest.raises(ValueError, match="not a message of the grader"):
        decode(HOSTILE[name])


def test_messages_made_by_hand_are_read_where_they_are_right():
    assert decode(stored(["list", [nested_tree(5), "a"]])) == [nested(5), "a"]
    assert decode(stored(["scalar", "a0"], a0=np.array(2.0))) == 2.0


MESSAGE = encode({"x": np.arange(3.0), "rng": np.random.default_rng(0), "n": [1, None, "a"]})


@settings(PROPERTY, max_examples=200)
@given(st.integers(0, len(MESSAGE) - 1), st.integers(0, 255))
def test_a_damaged_message_is_read_or_refused(place, byte):
    damaged = bytearray(MESSAGE)
    damaged[place] = byte
    with suppress(ValueError):
        decode(bytes(damaged))


def test_changes_are_copied_back_in_place():
    x, inner, log, table = np.zeros(3), np.zeros((2, 2)), [1, {2}, 3], {"a": np.zeros(1), "b": 0}
    rng = np.random.default_rng(0)
    original = (x, [inner, Linear(W=x, b=1)], log, table, rng, "text")
    held, inside = original[1], table["a"]
    new = decode(encode(original))
    new[0][1] = np.nan
    new[1][0][:] = 7
    new[2][:] = [9]
    new[3]["a"][0] = 5
    del new[3]["b"]
    new[3]["c"] = 1
    drawn = new[4].normal(size=3)
    copy_back(original, new)
    assert np.isnan(x[1])
    assert held[0] is inner
    assert (inner == 7).all()
    assert log == [9]
    assert table == {"a": inside, "c": 1}
    assert inside[0] == 5
    assert not np.array_equal(drawn, rng.normal(size=3))
    assert rng.normal() != np.random.default_rng(0).normal()


def test_what_has_another_shape_or_type_is_replaced_where_it_can_be():
    x, y = np.zeros(3), np.zeros(3)
    held = [x, y, (1, 2)]
    copy_back(held, [np.ones(2), np.ones(3, np.float32), (1, 2, 3), "more"])
    assert held[0].shape == (2,)
    assert held[1].dtype == np.float32
    assert held[2:] == [(1, 2, 3), "more"]
    assert not x.any()
    copy_back(x, np.ones(4))  # the caller's array cannot be another
    assert not x.any()


def test_a_read_only_array_is_left_alone():
    x = np.zeros(2)
    x.flags.writeable = False
    copy_back([x], [np.ones(2)])
    assert not x.any()


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_messages_of_any_length_pass(ends):
    ours, theirs = ends
    for message in (b"", b"a", bytes(5 * 2**20)):
        sender = threading.Thread(target=send, args=(theirs, message))
        sender.start()
        assert receive(ours) == message
        sender.join()


def test_half_a_message_blocks_nobody(ends):
    ours, theirs = ends
    theirs.sendall(wire.LENGTH.pack(100) + b"half")
    with pytest.raises(TimeoutError):
        receive(ours, time.monotonic() + 0.1)


def test_an_end_that_sends_byte_after_byte_blocks_nobody(ends):
    here, there = ends
    here.sendall(wire.LENGTH.pack(10**6))
    stop = threading.Event()

    def drip():
        while not stop.is_set():
            here.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        receive(there, start + 0.3)
    assert time.monotonic() - start < 5
    stop.set()
    thread.join()


@pytest.mark.parametrize("value", [set(range(10_001)), dict.fromkeys(range(10_001))])
def test_what_is_too_large_to_compare_is_told(value):
    with pytest.raises(ValueError, match="of more than 10000 members cannot be checked"):
        encode(value)


def test_an_end_that_does_not_read_blocks_nobody(ends):
    with pytest.raises(TimeoutError):
        send(ends[0], bytes(10**8), time.monotonic() + 0.1)


def test_a_message_that_is_too_large_is_not_even_read(ends):
    ours, theirs = ends
    theirs.sendall(wire.LENGTH.pack(wire.LARGEST + 1))
    with pytest.raises(ValueError, match="more than"):
        receive(ours, time.monotonic() + 10)


def test_an_end_that_closes_is_noticed(ends):
    ours, theirs = ends
    theirs.sendall(wire.LENGTH.pack(100) + b"half")
    theirs.close()
    with pytest.raises(EOFError):
        receive(ours)
