"""One part of the benchmark, in a process of its own, on one thread.

python -m benchmarks.measure PART [--quick]

Prints what it found as JSON. benchmarks.run sets the environment, in which NumPy must start.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks import ablations, attention, layers, memory, text

ROUNDS = 11
KEYS = ("internal_api", "version", "architecture")  # the last: for which CPU it has kernels
TINY = [(2, 5, 3, 4)]

# Each takes the number of rounds; the quick one is for tests of the harness, its numbers worthless.
PARTS: dict[str, Callable[[int], Any]] = {
    "layers": lambda rounds: layers.measure(layers.SIZES, rounds=rounds),
    "attention": lambda rounds: attention.measure(attention.SIZES, rounds=rounds),
    "text": lambda rounds: text.measure(text.BATCHES, rounds=rounds),
    "memory": lambda rounds: memory.measure(memory.LENGTHS),
    "ablations": lambda rounds: ablations.measure(ablations.SIZES, rounds=rounds),
}
QUICK: dict[str, Callable[[int], Any]] = {
    "layers": lambda rounds: layers.measure(TINY, rounds=rounds),
    "attention": lambda rounds: attention.measure(TINY, rounds=rounds),
    "text": lambda rounds: text.measure([2], rounds=rounds, window=4),
    "memory": lambda rounds: memory.measure([64, 128]),
    "ablations": lambda rounds: ablations.measure(TINY, rounds=rounds),
}


def libraries() -> dict[str, str]:
    """Name what multiplies the matrices: NumPy's library, and the instructions that both chose."""
    blas = [i for i in threadpool_info() if i["user_api"] == "blas" and "numpy" in i["filepath"]]
    name = " ".join(str(blas[0].get(key)) for key in KEYS) if blas else "unknown"
    return {"numpy_blas": name, "torch_instructions": torch.backends.cpu.get_cpu_capability()}


def main(argv: list[str] | None = None) -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        found = QUICK[args.part](2) if args.quick else PARTS[args.part](ROUNDS)
    print(json.dumps({"libraries": libraries(), "found": found}))


if __name__ == "__main__":
    main()
