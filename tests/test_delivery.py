"""How the course reaches its readers: one address, buttons, Binder, Colab, the workflows."""

import ast
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from book._ext.unrolled_launch import notebook_to_download
from tools.links import FILES, broken, outside, page
from tools.newest import HELD, PINNED, direct, newest, oldest
from tools.notebooks import ROOT

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
ADDRESS = CONFIG["repository"]["url"]
BRANCH = CONFIG["repository"]["branch"]
OWNER, NAME = ADDRESS.removeprefix("https://github.com/").split("/")
PUBLISHED = f"https://{OWNER}.github.io/{NAME}/"
SITE = ROOT / "_build/html"
CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
SOLUTIONS = sorted((ROOT / "book/solutions").glob("*.ipynb"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- The address. ---


def strangers(text: str) -> list[str]:
    """What a text names as the repository or its site, other than where they are."""
    repository = r"github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?(?=[/\s\"'`)\]>#?]|$)"
    binder = r"mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)"
    site = r"https://[\w-]+\.github\.io/[\w.-]*/?"
    found = [f for f in re.findall(repository, text) if f != f"{OWNER}/{NAME}"]
    found += [f for f in re.findall(binder, text) if f != f"{OWNER}/{NAME}"]
    return found + [f for f in re.findall(site, text) if f != PUBLISHED]


def first_code(path: Path) -> Any:
    cells = nbformat.read(path, as_version=4).cells
    return next(cell for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "pyproject.toml"])
def test_the_address_is_the_same_everywhere(name: str):
    text = read(name)
    assert ADDRESS in text
    assert strangers(text) == [], f"the address of the repository is {ADDRESS} (_config.yml)"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_the_address_is_the_same_in_every_chapter(path: Path):
    source = first_code(path).source
    assert f'"{ADDRESS}"' in source, f"the address of the repository is {ADDRESS} (_config.yml)"
    assert strangers(source) == []


def test_no_other_file_needs_to_know_the_address():
    # The owner's name is rare enough to be looked for; these are the files tested above.
    known = {"README.md", "CITATION.cff", "pyproject.toml", "_config.yml"}
    run = subprocess.run(
        ["git", "grep", "-l", "--untracked", "-F", f"{OWNER}/{NAME}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode > 1:
        pytest.skip("this is no git checkout")
    chapters = {str(path.relative_to(ROOT)) for path in CHAPTERS}
    assert set(run.stdout.split()) - known - chapters == set()


def test_another_address_is_found():
    text = (
        f"{ADDRESS}/actions {PUBLISHED} https://github.com/ada/course) https://ada.github.io/course"
        f" https://mybinder.org/v2/gh/ada/notes/main https://mybinder.org/v2/gh/{OWNER}/{NAME}/main"
    )
    assert strangers(text) == ["ada/course", "ada/notes", "https://ada.github.io/course"]


def test_the_citation_and_the_package_name_both_addresses():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (citation["repository-code"], citation["url"]) == (ADDRESS, PUBLISHED)
    urls = tomllib.loads(read("pyproject.toml"))["project"]["urls"]
    assert urls == {"Repository": ADDRESS, "Documentation": PUBLISHED}


# --- The buttons of the built site. ---


def buttons(page: str) -> dict[str, str]:
    """The links in the header of a page, by what they open."""
    path = SITE / f"{page}.html"
    if not path.exists():
        pytest.fail("There is no site in _build/html: run 'make book' first.", pytrace=False)
    html = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    links = html.select(".article-header-buttons a[href]")
    return {a.get_text(strip=True) or str(a["title"]): str(a["href"]) for a in links}


def opened(url: str) -> str:
    """The file of the repository that a launch button opens; fails for a wrong address."""
    parts = urlsplit(url)
    if parts.netloc == "mybinder.org":
        assert parts.path == f"/v2/gh/{OWNER}/{NAME}/{BRANCH}"
        (path,) = parse_qs(parts.query)["urlpath"]
        assert path.startswith("lab/tree/")
        return path.removeprefix("lab/tree/")
    assert parts.netloc == "colab.research.google.com"
    start = f"/github/{OWNER}/{NAME}/blob/{BRANCH}/"
    assert parts.path.startswith(start)
    return unquote(parts.path).removeprefix(start)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_opens_in_binder_and_colab_and_downloads(path: Path):
    page = f"book/{path.stem}"
    found = buttons(page)
    notebook = found.pop("Download this chapter as a notebook")
    assert (SITE / "book" / notebook).read_bytes() == path.read_bytes()
    assert {name: opened(url) for name, url in found.items()} == {
        "Binder": f"{page}.ipynb",
        "Colab": f"{page}.ipynb",
    }


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda p: p.stem)
def test_a_solution_page_opens_and_downloads_the_exercise(path: Path):
    exercise = ROOT / f"exercises/{path.name}"
    found = buttons(f"book/solutions/{path.stem}")
    notebook = found.pop("Download the exercises as a notebook")
    assert (SITE / "book/solutions" / notebook).resolve().read_bytes() == exercise.read_bytes()
    assert {name: opened(url) for name, url in found.items()} == {
        "Binder": f"exercises/{path.name}"
    }
    assert exercise.is_file()


def test_only_chapters_open_in_colab():
    assert set(buttons("book/run_times")) == {"Binder"}
    assert buttons("book/glossary") == {}
    assert notebook_to_download("book/glossary") is None


def test_the_settings_of_the_buttons_are_not_overwritten():
    assert CONFIG["sphinx"]["recursive_update"] is True


# --- Binder. ---


def test_binder_installs_the_pins_of_the_tests():
    environment = yaml.safe_load(read("binder/environment.yml"))
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    wanted = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"]
    assert wanted == ">=3.11"
    # The one source of versions is requirements.txt, so nothing is pinned a second time.
    index, requirements = pip["pip"]
    assert re.fullmatch(r"--extra-index-url https://download\.pytorch\.org/whl/cpu", index)
    named = requirements.removeprefix("-r ")
    assert (ROOT / "binder" / named).resolve() == ROOT / "requirements.txt"
    assert "==" not in read("binder/environment.yml")


SCRIPTS = ["binder/postBuild", "binder/colab"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_of_binder_runs_and_names_files_that_exist(name: str):
    path, text = ROOT / name, read(name)
    assert path.stat().st_mode & stat.S_IXUSR
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    subprocess.run(["bash", "-n", str(path)], check=True)
    files = re.findall(r"-r (\S+)", text)
    assert files == ["requirements-data.txt"]
    assert all((ROOT / file).is_file() for file in files)
    assert "--no-deps --require-hashes" in text.replace("--no-build-isolation ", "")


def test_binder_installs_the_package_editable_and_from_what_is_there():
    last = read("binder/postBuild").splitlines()[-1]
    assert re.fullmatch(r"python -m pip install .*--no-build-isolation -e \.", last)
    # Without isolation the build needs what pyproject.toml asks for.
    (build,) = tomllib.loads(read("pyproject.toml"))["build-system"]["requires"]
    assert build in read("requirements-book.txt").splitlines()


# --- Colab. ---


def test_every_chapter_begins_with_the_same_cell_for_colab():
    cells = [first_code(path) for path in CHAPTERS]
    assert len({cell.source for cell in cells}) == 1
    for cell in cells:
        assert len(cell.source.splitlines()) <= 10
        assert cell.metadata["tags"] == ["hide-input"]
        assert "Colab" in cell.metadata["mystnb"]["code_prompt_show"]
        assert cell.outputs == []


def test_the_cell_for_colab_does_nothing_elsewhere(tmp_path: Path):
    """It is imports and one condition; run for real, it writes and prints nothing."""
    source = first_code(CHAPTERS[0]).source
    *imports, condition = ast.parse(source).body
    assert all(isinstance(node, ast.Import) for node in imports)
    assert isinstance(condition, ast.If)
    assert ast.unparse(condition.test) == "'google.colab' in sys.modules"
    run = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr, list(tmp_path.iterdir())) == ("", "", [])


def run_as_in_colab(folder: Path, origin: Path) -> subprocess.CompletedProcess[str]:
    """Run the cell with a module google.colab, with folders of this machine for Colab's."""
    source = first_code(CHAPTERS[0]).source
    assert source.count(ADDRESS) == 1
    source = source.replace(ADDRESS, origin.as_uri()).replace('"/content', f'"{folder}')
    start = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    end = "\nprint(os.getcwd())"
    return subprocess.run(
        [sys.executable, "-c", start + source + end],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_cell_for_colab_fetches_and_installs_the_course_there(tmp_path: Path):
    origin, folder = tmp_path / "unrolled", tmp_path / "content"
    (origin / "binder").mkdir(parents=True)
    (origin / "book").mkdir()
    (origin / "book/a.md").touch()
    (origin / "binder/colab").write_text("echo installed >> ../log\n")
    folder.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*git, *command], cwd=origin, env=clean, check=True)
    for times in (1, 2):  # a second run finds the clone of the first
        run = run_as_in_colab(folder, origin)
        assert run.returncode == 0, run.stderr
        assert run.stdout.splitlines() == [str(folder / "unrolled/book")]
        assert (folder / "log").read_text() == "installed\n" * times
    (folder / "unrolled/binder/colab").write_text("exit 3\n")
    assert run_as_in_colab(folder, origin).returncode != 0


# --- The workflows. ---


def steps(path: Path) -> list[dict[str, Any]]:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def unknown_names(script: str) -> list[str]:
    """The make targets, modules and files of the repository that a script names in vain."""
    text = read("Makefile").replace("$(VENV)", ".venv")
    targets = set(re.findall(r"^([\w./]+):", text, re.MULTILINE))
    named = re.findall(r"(?m)(?:^|&& )make (\S+)", script)
    unknown = [f"make {name}" for name in named if name not in targets]
    modules = re.findall(r"python -m tools\.(\w+)", script)
    files = [f"tools/{module}.py" for module in modules]
    files += re.findall(r"(?<![\w$/.-])(?:\.ci/\w+|binder/[\w.]+|requirements[\w-]*\.txt)", script)
    return unknown + [file for file in files if not (ROOT / file).is_file()]


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} == {"test", "weekly", "links"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_workflow_is_well_formed(path: Path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow[True], "YAML reads the key `on` as true"
    assert "permissions" in workflow, "without it the token may do everything"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
    for step in steps(path):
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_workflow_runs_what_exists(path: Path):
    for step in steps(path):
        script = re.sub(r"\$\{\{.*?\}\}", "x", step.get("run", ""))
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert unknown_names(script) == []
        pattern = step.get("with", {}).get("cache-dependency-path", "requirements.txt")
        assert list(ROOT.glob(pattern))


def test_names_that_do_not_exist_are_found():
    script = "make nothing\npython -m tools.nothing\n.ci/nothing\npip install -r requirements-x.txt"
    assert len(unknown_names(script)) == 4
    assert unknown_names("make book\nmake .venv/.test\n.ci/run\npython -m tools.newest") == []


def test_the_workflows_find_pytorchs_index_in_binder():
    for name in ("test", "weekly"):
        scripts = [s.get("run", "") for s in steps(ROOT / f".github/workflows/{name}.yml")]
        lines = {script for script in scripts if "extra-index-url" in script}
        (line,) = lines  # two jobs have the same
        command = re.search(r"\$\((sed .+?)\)\"", line).group(1)
        run = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert run.stdout == "https://download.pytorch.org/whl/cpu\n"


def test_the_weekly_run_takes_what_is_pinned_for_its_own_sake():
    names = newest()
    pins = [line for line in read("requirements.txt").splitlines() if line.split("==")[0] in PINNED]
    assert len(pins) == len(PINNED) == 3
    assert set(pins) <= set(names)
    assert {"jupyter-book<2", "torch", "numpy", "pytest", "setuptools"} <= set(names)
    assert not {"sphinx", "nbclient", "pandas"} & set(names)
    assert set(HELD) <= {
        name for f in ("-book", "") for name in direct(read(f"requirements{f}.txt"))
    }


def test_the_oldest_versions_are_those_of_pyproject():
    wanted = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    assert [want.replace("==", ">=") for want in oldest()] == wanted
    assert len(oldest()) >= 2


def test_continuous_integration_shows_the_whole(tmp_path: Path):
    """With a stand-in for make that prints what it is asked, and one for a browser."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/run").write_bytes((ROOT / ".ci/run").read_bytes())
    for name in ("make", "chromium", "bwrap"):
        (tmp_path / name).write_text('#!/bin/sh\necho "make $* with CI_RUN=$CI_RUN"\n')
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    run = subprocess.run(
        ["bash", ".ci/run"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "make test with CI_RUN=1\n"
    assert os.access(ROOT / ".ci/run", os.X_OK)
    for workflow in ("test", "weekly"):
        scripts = [s.get("run", "") for s in steps(ROOT / f".github/workflows/{workflow}.yml")]
        assert scripts.count(".ci/run") == 1
        assert "make test" not in "\n".join(scripts)


def test_only_a_site_that_was_tested_on_main_is_published():
    workflow = yaml.safe_load(read(".github/workflows/test.yml"))
    test, publish = workflow["jobs"]["test"], workflow["jobs"]["publish"]
    main = "${{ github.event_name == 'push' && github.ref == 'refs/heads/main' }}"
    assert (publish["needs"], publish["if"]) == ("test", main)
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in test
    ran, handed = (
        next(i for i, step in enumerate(test["steps"]) if step.get(key, "").startswith(what))
        for key, what in (("run", ".ci/run"), ("uses", "actions/upload-pages-artifact"))
    )
    assert ran < handed
    # Any other condition would hand on a site whose tests have failed.
    assert test["steps"][handed]["if"] == main
    assert test["steps"][handed]["with"]["path"] == "_build/html"
    assert [step["uses"] for step in publish["steps"]] == ["actions/deploy-pages@v4"]
    others = [read(str(path.relative_to(ROOT))) for path in WORKFLOWS if path.stem != "test"]
    assert "deploy-pages" not in "".join(others)
    cancels = workflow["concurrency"]["cancel-in-progress"]
    assert cancels == "${{ github.event_name == 'pull_request' }}"


def test_a_run_out_of_time_is_reported_as_well():
    report = yaml.safe_load(read(".github/workflows/weekly.yml"))["jobs"]["report"]
    assert report["needs"] == ["newest", "oldest"]
    assert "'failure'" in report["if"]
    assert "'cancelled'" in report["if"]
    links = steps(ROOT / ".github/workflows/links.yml")
    (issue,) = [step for step in links if "issue" in step.get("name", "")]
    assert issue["if"] == "failure() || cancelled()"


# --- Links to other sites. ---


def test_the_links_around_the_book_are_checked_as_well():
    assert {"README.md", "CONTRIBUTING.md", "CITATION.cff", "pyproject.toml"} == set(FILES)
    assert ADDRESS in page()
    for name in FILES:
        assert all(f"`link <{url}>`__" in page() for url in outside(read(name)))


def test_broken_links_and_a_check_that_broke_off_are_found():
    def line(status: str, info: str = "") -> str:
        return json.dumps({"filename": "a.md", "uri": status, "status": status, "info": info})

    good, forbidden = line("working"), line("broken", "403 Client Error: Forbidden for url")
    assert broken(f"{good}\n{forbidden}\n") == []
    lost = line("broken", "404 Client Error: Not Found for url")
    assert len(broken(f"{good}\n{lost}\n{line('timeout')}\n")) == 2
    for output in ("", lost):
        with pytest.raises(ValueError, match="the check itself"):
            broken(output)


# --- The README. ---


def test_the_readme_names_the_pinned_pytorch():
    (named,) = re.findall(r"\btorch==[\w.]+\w", read("README.md"))
    assert named in read("requirements.txt").splitlines()


def test_the_links_of_the_readme_lead_somewhere():
    text = read("README.md")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    inside = [link for link in links if not urlsplit(link).scheme]
    assert [link for link in inside if not (ROOT / link.partition("#")[0]).exists()] == []
    badges = re.findall(rf"{re.escape(ADDRESS)}/actions/workflows/(\w+\.yml)", text)
    assert badges
    assert all((ROOT / ".github/workflows" / badge).is_file() for badge in badges)
    opens = re.findall(r"\((https://mybinder\.org/v2/[^\s)]+)\)", text)
    assert opens
    assert all((ROOT / opened(url)).is_file() for url in opens)


def test_the_readme_lists_every_chapter():
    text = read("README.md")
    assert CHAPTERS
    assert [p.name for p in CHAPTERS if f"](book/{p.name})" not in text] == []
    assert [p.name for p in SOLUTIONS if f"](exercises/{p.name})" not in text] == []


def test_the_screenshot_is_small_and_described():
    path = ROOT / "book/assets/screenshot.png"
    assert path.stat().st_size <= 150_000
    with Image.open(path) as image:
        assert image.width >= 1000
    (words,) = re.findall(r"!\[([^\]]+)\]\(book/assets/screenshot\.png\)", read("README.md"))
    assert len(words.split()) >= 8
