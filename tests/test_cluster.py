"""The job files and the teacher's page: what they run exists, and parts make one table."""

import csv
import fnmatch
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from tests.test_grade import GOOD, STUBS, answered, define, notebook, write
from tools import exercises
from tools.notebooks import ROOT
from unrolled.grade import __main__ as command
from unrolled.grade import batch
from unrolled.grade.errors import Status
from unrolled.grade.sandbox import Limits
from unrolled.grade.submissions import LARGEST
from unrolled.grade.worker import TOTAL

SLURM = ROOT / "cluster/slurm.sh"
DOCKERFILE = (ROOT / "cluster/Dockerfile").read_text(encoding="utf-8")
ITEMS = yaml.safe_load((ROOT / "cluster/kubernetes.yaml").read_text(encoding="utf-8"))["items"]
PAGE = (ROOT / "book/teaching.md").read_text(encoding="utf-8")
JOBS = {item["metadata"]["name"]: item["spec"] for item in ITEMS if item["kind"] == "Job"}
POD = JOBS["grade"]["template"]["spec"]
(GRADER,) = POD["containers"]

# Stands for Python in the job files: it grades without bubblewrap, which these tests are not about,
# and as the user that runs them, who has more processes than a submission.
PYTHON = """\
import sys
from unrolled.grade import __main__ as command
from unrolled.grade.sandbox import Limits, Sandbox

command.open_sandbox = lambda **_: Sandbox(None, None, Limits(processes=0))
if __name__ == "__main__":
    program, options = sys.argv[1:4], sys.argv[4:]
    assert program == ["-P", "-m", "unrolled.grade"], program
    sys.exit(command.main(options))
"""


@pytest.fixture
def place(tmp_path):
    """A folder with submissions, their definitions, a seed, and programs in the place of others."""
    define(tmp_path)
    class_ = tmp_path / "shared/submissions"
    wrong = GOOD | {"relu": "import numpy as np\n\ndef relu(x):\n    return np.abs(x) * (x > -2)"}
    for student, answers in {"ada": GOOD, "bo": STUBS, "chen": wrong}.items():
        (class_ / student).mkdir(parents=True)
        write(class_ / student / "01_small.ipynb", notebook(answered(answers)))
    (class_ / "dana.ipynb").write_text("{", encoding="utf-8")
    (class_ / "eve.ipynb").symlink_to("ada/01_small.ipynb")
    write(class_ / "finn.ipynb", notebook(answered(GOOD), "02_next"))
    (tmp_path / "seed.txt").write_text("4242\n", encoding="utf-8")
    (tmp_path / "python.py").write_text(PYTHON, encoding="utf-8")
    programs = {
        "python": f'exec {shlex.quote(sys.executable)} {tmp_path}/python.py "$@"',
        "chmod": f'echo "$@" >> {tmp_path}/chmod.log',
    }
    (tmp_path / "bin").mkdir()
    for name, line in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def run(place: Path, *words: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {k: str(v) for k, v in variables.items()}
    environment["PATH"] = f"{place}/bin:{os.environ['PATH']}"
    environment["PYTHONPATH"] = f"{ROOT}/src"
    return subprocess.run(
        words, cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def slurm(place: Path, number: int, count: int, out: str = "grades.csv") -> Any:
    """Run the script as Slurm does in a task of an array."""
    variables = {"SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_COUNT": count, "OUT": out}
    words = ["bash", str(SLURM), "shared/submissions", "--definitions", "definitions"]
    return run(place, *words, PYTHON="python", SLURM_CPUS_PER_TASK=2, **variables)


def kubernetes(place: Path, index: int | None) -> Any:
    """Run the pod's command as an Indexed Job does, or as the Job that joins."""
    variables = {entry["name"]: entry["value"] for entry in GRADER["env"]} | {"PARTS": 2}
    if index is not None:
        variables["JOB_COMPLETION_INDEX"] = index
    return run(place, *GRADER["command"], *GRADER["args"], **variables)


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a table, without what differs from run to run."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def told(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()[0]


# --- Slurm. ---


def test_parts_and_their_join_make_the_table_of_a_single_run(place):
    for number in (1, 3):  # and the second task has failed
        assert told(slurm(place, number, 3)).startswith("2 submissions, 0 of them graded before")
    assert told(slurm(place, 1, 1)).startswith("6 submissions, 4 of them graded before")
    joined = table(place / "grades.csv")
    assert told(slurm(place, 1, 1, "alone.csv")).startswith(
        "6 submissions, 0 of them graded before"
    )
    assert joined == table(place / "alone.csv")
    assert [(row["student"], row["total"], row["status"]) for row in joined] == [
        ("ada", "3.5", "ok"), ("bo", "0", "ok"), ("chen", "2.5", "ok"),
        ("dana", "", "not a notebook"), ("eve", "", "a link"), ("finn", "", "no exercise"),
    ]  # fmt: skip


def test_a_task_that_cannot_grade_has_failed(place):
    assert slurm(place, 4, 3).returncode, "there is no fourth part of three"
    (place / "seed.txt").unlink()
    assert slurm(place, 1, 3).returncode, "there is no seed"


def test_the_script_is_one_for_sbatch():
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    first, *lines = SLURM.read_text(encoding="utf-8").splitlines()
    assert first == "#!/bin/bash"
    asked = dict(line.removeprefix("#SBATCH --").split("=") for line in lines if "#SBATCH" in line)
    assert re.fullmatch(r"1-\d+", asked["array"]), "the parts count from 1"
    assert (asked["ntasks"], asked["cpus-per-task"], asked["mem"]) == ("1", "1", "4G")
    assert {"time", "output"} <= set(asked)
    code = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[code:] if "#SBATCH" in line], "Slurm stops at the first code"


# --- Kubernetes. ---


def test_the_pods_of_a_job_grade_and_join(place):
    (place / "private").mkdir()
    (place / "seed.txt").rename(place / "private/seed")
    (place / "definitions/01_small.json").rename(place / "private/01_small.json")
    for student in ("bo", "chen"):
        (place / f"shared/submissions/{student}/01_small.ipynb").unlink()
    for index in range(2):
        assert told(kubernetes(place, index)).startswith("2 submissions, 0 of them graded before")
    # All but the link, which was never opened.
    assert told(kubernetes(place, None)).startswith("6 submissions, 3 of them graded before")
    statuses = {row["student"]: row["status"] for row in table(place / "shared/grades.csv")}
    assert statuses == {
        "ada": "ok", "bo": "no notebook", "chen": "no notebook", "dana": "not a notebook",
        "eve": "a link", "finn": "no exercise",
    }  # fmt: skip
    assert set((place / "chmod.log").read_text().splitlines()) == {"1777 /tmp"}


def test_the_parts_are_as_many_as_the_indexes():
    job = JOBS["grade"]
    (parts,) = (int(entry["value"]) for entry in GRADER["env"] if entry["name"] == "PARTS")
    assert parts == job["completions"] == job["parallelism"]
    assert job["completionMode"] == "Indexed"
    assert job["backoffLimitPerIndex"] >= 1
    assert JOBS["join"]["template"] == job["template"]
    assert "completionMode" not in JOBS["join"]  # else it would grade a part
    assert all(each["suspend"] for each in JOBS.values())


def test_a_pod_has_no_more_than_it_needs():
    (policy,) = (item["spec"] for item in ITEMS if item["kind"] == "NetworkPolicy")
    assert policy.keys() == {"podSelector", "policyTypes"}
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    pods = [JOBS["grade"]["template"], next(item for item in ITEMS if item["kind"] == "Pod")]
    for pod in pods:
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert container["resources"].keys() == {"requests", "limits"}
    assert GRADER["securityContext"]["readOnlyRootFilesystem"] is True
    assert POD["restartPolicy"] == "Never"


def test_the_volumes_are_there_and_closed_to_submissions():
    volumes = {volume.pop("name"): volume for volume in yaml.safe_load(yaml.dump(POD["volumes"]))}
    mounts = {mount["name"]: mount["mountPath"] for mount in GRADER["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    (claim,) = (i["metadata"]["name"] for i in ITEMS if i["kind"] == "PersistentVolumeClaim")
    assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim
    assert volumes["private"]["secret"]["defaultMode"] == stat.S_IRUSR
    # A volume has rights of its own: it is the image's folder above it that only root may enter.
    folder = GRADER["workingDir"]
    assert f"install -d -m 700 {folder}\n" in DOCKERFILE
    for name in ("shared", "private"):
        assert Path(mounts[name]).parent == Path(folder)


# --- The image. ---


def test_the_image_is_built_of_what_is_there_and_holds_no_solutions():
    copied = [name for line in re.findall(r"^COPY (.+)", DOCKERFILE, re.MULTILINE)
              for name in line.split()[:-1]]  # fmt: skip
    ignore = (ROOT / "cluster/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    assert all((ROOT / name).exists() for name in copied)
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in sent) for name in copied)
    assert not [p for p in sent if fnmatch.fnmatch("solutions", p) or fnmatch.fnmatch("book", p)]


def test_the_image_has_the_packages_that_exercises_import():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.search(r'"\.\[([\w,]+)\]"', DOCKERFILE).group(1).split(",")
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in extras)
    assert "grade" in extras
    imported = {
        name
        for path in (ROOT / "exercises").glob("*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        for name in re.findall(r"^\s*(?:from|import) (\w+)", cell.source, re.MULTILINE)
    }  # fmt: skip
    assert imported - sys.stdlib_module_names <= {"numpy", "matplotlib", "unrolled"}


# --- The page. ---


def commands(text: str) -> list[list[str]]:
    """The words of every command in the fences of a page, without its comment."""
    fences = re.findall(r"^```([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    plain = "\n".join(code for kind, code in fences if not kind.startswith("{"))
    lines = plain.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def known(words: list[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Say whether a command of the project's own takes these words; True for others' commands."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    if words[0] == "make":
        return words[1] in targets
    if not words[0].endswith("python"):
        return True
    module, options = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    monkeypatch.setattr(batch, "grade_class", lambda *args, **settings: 0)
    monkeypatch.setattr(exercises, "generated", lambda *args: {})
    mains = {"unrolled.grade": command.main, "tools.exercises": exercises.main}
    if module not in mains:
        return (ROOT / f"{module.replace('.', '/')}.py").is_file()
    try:
        return mains[module](options) == 0
    except SystemExit:
        return False


def test_the_page_names_commands_that_there_are(monkeypatch):
    found = commands(PAGE)
    named = [" ".join(words) for words in found]
    assert [line for words, line in zip(found, named) if not known(words, monkeypatch)] == []
    for start in ("make grade-class", "make autograders", "otter grade", "kubectl apply", "sbatch"):
        assert any(start in line for line in named), start
    assert [w for words in found if "kubectl" in words for w in words if w.endswith(".yaml")]
    files = {w for words in found for w in words if w.startswith("cluster/")}
    assert {"cluster/slurm.sh", "cluster/kubernetes.yaml", "cluster/Dockerfile"} <= files
    assert all((ROOT / name).is_file() for name in files)


def test_a_command_that_there_is_not_is_found(monkeypatch):
    wrong = "```\nmake nothing\npython -m unrolled.grade --class a \\\n  --nothing  # x\n```\n"
    assert [known(words, monkeypatch) for words in commands(wrong)] == [False, False]
    right = "```\npython -m unrolled.grade --class a --part 1/2 --seed 3\nmake book\n```"
    assert [known(words, monkeypatch) for words in commands(right)] == [True, True]


def test_the_page_names_the_objects_of_the_job_file():
    there = {f"{item['kind'].lower()}/{item['metadata']['name']}" for item in ITEMS}
    named = set(re.findall(r"\b(job/\w+)", PAGE))
    assert named == {"job/grade", "job/join"}
    assert named <= there
    secret = next(v["secret"]["secretName"] for v in POD["volumes"] if "secret" in v)
    assert f"kubectl create secret generic {secret} " in PAGE
    (pod,) = (item["metadata"]["name"] for item in ITEMS if item["kind"] == "Pod")
    assert set(re.findall(r"([\w-]+):/class/shared", PAGE)) == {pod}


def test_the_page_explains_every_status():
    table = PAGE[PAGE.index("| status |") :].split("\n\n")[0].splitlines()[2:]
    named = [name for line in table for name in line.split("|")[1].strip().split(", ")]
    assert sorted(named) == sorted(Status)


def test_the_page_states_the_limits_that_are_in_force():
    limits = Limits()
    gigabytes, megabytes = limits.memory / 2**30, limits.file_size / 2**20
    assert f"{gigabytes:g} GB of memory" in PAGE
    assert f"{megabytes:g} MB a file" in PAGE
    assert f"{limits.files / 2**20:g} MB in all its files" in PAGE
    assert f"{limits.processes} processes" in PAGE
    assert limits.cpu == 600
    assert "ten minutes of processor time" in PAGE
    assert f"larger than {LARGEST // 2**20} MB" in PAGE
    assert TOTAL == 5
    assert "five times" in PAGE
    assert len(PAGE.split()) <= 1550
