"""Values that cross between the grader's process and a learner's: npz and JSON, never pickle.

What is decoded may come from a process that wants to do harm, so decoding builds nothing but
numbers, strings, arrays, lists, tuples, sets, dicts and the named tuples registered here.
"""

import io
import json
import socket
import struct
import time
import zipfile
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from unrolled._validate import Array
from unrolled.attention import Additive, AttentionCache, General
from unrolled.gru import GRUCache
from unrolled.language_model import LanguageModel
from unrolled.layers import Bidirectional
from unrolled.lstm import LSTMCache
from unrolled.neurons import LinearCache, MLPCache
from unrolled.optim import AdamState, MomentumState
from unrolled.params import Linear, Recurrent
from unrolled.rnn import RNNCache
from unrolled.seq2seq import Seq2Seq

DEEPEST = 32
LARGEST = 64 * 2**20  # bytes of a message
MOST = 10_000  # arrays of a message, and members of a set or a dict: their hashes may be all alike
KINDS = "biufc"  # dtypes that are numbers; an array of objects would need pickle
LONGEST = 2 * 2**20  # bytes of what is not in an array
USABLE = "numbers, strings, arrays of numbers, lists, tuples, named tuples, sets and dicts"
Arrays = dict[int, tuple[str, Array]]  # by id; to hold them keeps the ids from being used again
LENGTH = struct.Struct("!Q")  # how long a message is stands before it

_named: dict[str, Any] = {}


class Foreign(tuple[Any, ...]):
    """A named tuple of a class that only the other process knows; it can be sent back."""

    name: str


def register(*classes: type[tuple[Any, ...]]) -> None:
    """Let named tuples of these types cross. Both processes must register the same."""
    for cls in classes:
        _named[f"{cls.__module__}.{cls.__qualname__}"] = cls


register(Linear, Recurrent, LinearCache, MLPCache, RNNCache, GRUCache, LSTMCache, Seq2Seq)
register(Bidirectional, LanguageModel, Additive, General, AttentionCache, AdamState, MomentumState)


def encode(value: Any) -> bytes:
    """Return a value as the bytes of an npz file.

    Raises
    ------
    TypeError
        If it holds something that cannot cross.
    ValueError
        If it is nested too deep.

    Examples
    --------
    >>> decode(encode({"h": [np.float32(0.5), None, ...], "n": 10**30}))
    {'h': [np.float32(0.5), None, Ellipsis], 'n': 1000000000000000000000000000000}
    >>> encode(b"text")
    Traceback (most recent call last):
    TypeError: a bytes cannot be checked; use numbers, strings, arrays of numbers, lists, ...
    """
    arrays: Arrays = {}
    tree = np.frombuffer(json.dumps(_packed(value, arrays, 0)).encode(), np.uint8)
    if tree.size > LONGEST:
        raise ValueError("a list this long cannot be checked; make it an array of numbers")
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, tree=tree, **dict(arrays.values()))
    return out.getvalue()


def _packed(value: Any, arrays: Arrays, depth: int) -> Any:
    """Return a value as JSON in which all but None, bool and str is ``[tag, ...]``."""
    if depth > DEEPEST:
        raise ValueError(f"a value is nested more than {DEEPEST} deep")

    def inner(items: Any) -> list[Any]:
        return [_packed(item, arrays, depth + 1) for item in items]

    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if value is ...:
        return ["dots"]
    if kind is int:
        return ["int", hex(value)]  # JSON's numbers, and decimal digits, have a largest length
    if kind is float:
        return ["float", value.hex()]
    if isinstance(value, np.generic) and value.dtype.kind in KINDS:
        return ["scalar", _stored(np.asarray(value), arrays)]
    if kind is np.ndarray and value.dtype.kind in KINDS:
        return ["array", _stored(value, arrays), bool(value.flags.writeable)]
    if kind is np.ndarray and value.dtype.kind == "U":
        return _packed(value.tolist(), arrays, depth + 1)
    if kind in (Fraction, Decimal):
        return _packed(float(value), arrays, depth)
    if kind in (set, frozenset, dict) and len(value) > MOST:
        raise ValueError(f"a {kind.__name__} of more than {MOST} members cannot be checked")
    if kind in (list, tuple, set, frozenset):
        return [kind.__name__, inner(value)]
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        return ["dict", inner(value), inner(value.values())]
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind is Foreign:
        return ["named", value.name, inner(value)]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        # A class of the learner's own is known here; over there it stays a tuple with a name.
        _named[name] = kind
        return ["named", name, inner(value)]
    if kind is np.random.Generator and type(value.bit_generator) is np.random.PCG64:
        return ["rng", _packed(value.bit_generator.state, arrays, depth + 1)]
    what = f"{kind.__name__} of dtype {value.dtype}" if kind is np.ndarray else kind.__name__
    if isinstance(value, dict):
        what = "dict with other keys than str and int"
    raise TypeError(f"a {what} cannot be checked; use {USABLE}")


def _stored(array: Array, arrays: Arrays) -> str:
    """Put an array with the others, once, and return its name."""
    return arrays.setdefault(id(array), (f"a{len(arrays)}", array))[0]


def decode(data: bytes) -> Any:
    """Return the value that ``encode`` made these bytes of.

    Raises
    ------
    ValueError
        If the bytes are nothing that ``encode`` makes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("a message that unpacks to more than its size")
        if len(entries) > MOST or len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("a message with too many arrays")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = _Stored({name: stored[name] for name in stored.files})
        if any(array.dtype.kind not in KINDS for array in arrays.values()):
            raise ValueError("a message with other arrays than of numbers")
        tree = arrays.pop("tree")
        if tree.nbytes > LONGEST:
            raise ValueError("a message with too much outside its arrays")
        return _unpacked(json.loads(tree.tobytes()), arrays, 0)
    except Exception as error:  # what a file made up to do harm raises is hard to list
        raise ValueError(f"not a message of the grader: {error}") from error


class _Stored(dict[str, Any]):
    """The arrays of a message, which counts their bytes each time that one is named.

    A list that names a large array a hundred times is small, until a check makes an array of it.
    """

    taken = 0

    def take(self, name: str) -> Any:
        """Return an array, if all that were named are not too large together."""
        array = self[name]
        self.taken += array.nbytes
        if self.taken > LARGEST:
            raise ValueError("a message that names too much")
        return array


def _unpacked(node: Any, arrays: _Stored, depth: int) -> Any:
    if depth > DEEPEST + 1:
        raise ValueError("nested too deep")

    def inner(nodes: list[Any]) -> list[Any]:
        return [_unpacked(item, arrays, depth + 1) for item in nodes]

    def few(nodes: list[Any]) -> list[Any]:
        if len(nodes) > MOST:
            raise ValueError("too many members")
        return inner(nodes)

    match node:
        case None | bool() | str():
            return node
        case ["dots"]:
            return ...
        case ["int", str(digits)]:
            return int(digits, 16)
        case ["float", str(digits)]:
            return float.fromhex(digits)
        case ["scalar", str(name)] if arrays[name].shape == ():
            return arrays.take(name)[()]
        case ["array", str(name), bool(writeable)]:
            array = arrays.take(name)
            array.flags.writeable = writeable
            return array
        case ["list", list(items)]:
            return inner(items)
        case ["tuple", list(items)]:
            return tuple(inner(items))
        case ["set", list(items)]:
            return set(few(items))
        case ["frozenset", list(items)]:
            return frozenset(few(items))
        case ["dict", list(keys), list(values)]:
            return dict(zip(few(keys), inner(values), strict=True))
        case ["named", str(name), list(items)]:
            if name in _named:
                return _named[name](*inner(items))
            foreign = Foreign(inner(items))
            foreign.name = name
            return foreign
        case ["rng", state]:
            generator = np.random.PCG64(0)
            generator.state = _unpacked(state, arrays, depth + 1)
            return np.random.Generator(generator)
    raise ValueError("an unknown kind of value")


def copy_back(original: Any, new: Any) -> None:
    """Write into ``original``, in place, what a call in another process changed in its copy.

    Examples
    --------
    >>> x, log = np.zeros(2), [1]
    >>> copy_back((x, log), (np.ones(2), [1, 2]))
    >>> x, log
    (array([1., 1.]), [1, 2])
    """
    _merged(original, new)


def _merged(old: Any, new: Any) -> Any:
    """Return ``old``, brought up to ``new`` in place; or ``new`` where that cannot be."""
    if type(old) is not type(new):
        return new
    if isinstance(old, np.ndarray):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            return new
        if old.flags.writeable:
            old[...] = new
        return old
    if isinstance(old, np.random.Generator):
        old.bit_generator.state = new.bit_generator.state
        return old
    if isinstance(old, tuple):
        merged = [_merged(a, b) for a, b in zip(old, new, strict=False)]
        return old if all(a is b for a, b in zip(old, merged)) and len(old) == len(new) else new
    if isinstance(old, list):
        old[:] = [_merged(a, b) for a, b in zip(old, new, strict=False)] + new[len(old) :]
        return old
    if isinstance(old, set):
        old.clear()
        old.update(new)
        return old
    if isinstance(old, dict):
        parts = {k: _merged(old[k], v) if k in old else v for k, v in new.items()}
        old.clear()
        old.update(parts)
        return old
    return new


def send(link: socket.socket, message: bytes, deadline: float | None = None) -> None:
    """Send one message; ``TimeoutError`` when the other end has not taken it by the deadline."""
    link.settimeout(_left(deadline))
    link.sendall(LENGTH.pack(len(message)) + message)


def receive(link: socket.socket, deadline: float | None = None) -> bytes:
    """Wait for one message, at most until a deadline of ``time.monotonic()``.

    Raises
    ------
    TimeoutError
        If it is not all there by the deadline: an end that sends half of it blocks nobody.
    EOFError
        If the other end has closed.
    ValueError
        If it says that it is larger than ``LARGEST``.
    """
    (size,) = LENGTH.unpack(_bytes(link, LENGTH.size, deadline))
    if size > LARGEST:
        raise ValueError(f"a message of more than {LARGEST} bytes")
    return _bytes(link, size, deadline)


def _bytes(link: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError  # also of an end that sends byte after byte
        link.settimeout(_left(deadline))
        part = link.recv(min(size - len(data), 2**20))
        if not part:
            raise EOFError("the other end has closed")
        data += part
    return bytes(data)


def _left(deadline: float | None) -> float | None:
    # Not 0: to a socket that means not to wait at all, and raises another error.
    return None if deadline is None else max(deadline - time.monotonic(), 1e-3)
