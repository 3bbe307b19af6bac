"""A filter of system calls for the sandbox, as the program that the kernel runs at each call.

It refuses the calls that give memory which no limit counts, files without a name and segments of
System V, and those that read the keys of whoever started the grader. The numbers are those of the
kernel's tables; see seccomp(2) and bpf(2).
"""

import errno
import platform
import struct

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # what an instruction does
NUMBER, ARCHITECTURE = 0, 4  # where in the data of a call they stand
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
OTHER_TABLE = 0x40000000  # numbers from here on are those of x32, on x86_64
# By machine: its mark, and its numbers of shmget, memfd_create, memfd_secret, add_key, request_key
# and keyctl.
CALLS = {
    "x86_64": (0xC000003E, (29, 319, 447, 248, 249, 250)),
    "aarch64": (0xC00000B7, (194, 279, 447, 217, 218, 219)),
}


def filter_program(machine: str = platform.machine()) -> bytes:
    """Return the filter for a machine; empty where the numbers of its calls are not known.

    Examples
    --------
    >>> len(filter_program("x86_64")), filter_program("abacus")
    (96, b'')
    """
    if machine not in CALLS:
        return b""
    mark, numbers = CALLS[machine]
    tests = [(AT_LEAST, OTHER_TABLE), *((EQUAL, number) for number in numbers)]
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 0, len(tests) + 2, mark), (LOAD, 0, 0, NUMBER)]
    for left, (test, value) in zip(range(len(tests), 0, -1), tests):
        program.append((test, left, 0, value))  # jump over the tests that are left, and one more
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
