"""The wheel: one import name, every package of it, and the files that go with the code."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hybrid",
    "hybrid.cli",
    "hybrid.serve",
    "hybrid.backbone",
    "hybrid.recursion",
    "hybrid.inference",
    "hybrid.flags",
    "hybrid.adapters",
    "hybrid.train",
    "hybrid.train.run",
    "hybrid.eval",
    "hybrid.eval.tasks",
    "hybrid.eval.tasks.table",
    "hybrid.eval.tasks.sudoku",
    "hybrid.eval.tasks.arc",
    "hybrid.eval.tasks.maze",
    "hybrid.eval.tasks.logic",
    "hybrid.eval.baselines",
    "hybrid.eval.bench",
    "hybrid.eval.engines",
    "hybrid.eval.measures",
    "hybrid.eval.report",
    "hybrid.eval.scoring",
    "hybrid.eval.text",
    "hybrid.eval.tuning",
}


def can_build():
    try:
        return int(version("setuptools").split(".")[0]) >= 77 and importlib.util.find_spec("pip") is not None
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the sources, so that no build folder is left among them."""
    if not can_build():
        pytest.skip("setuptools 77 or newer and pip are not installed")
    place = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(
        ".*", "runs", "build", "dist", "*.egg-info", "__pycache__", "tests", "sudoku4", "sudoku6", "sudoku9"
    )
    shutil.copytree(ROOT, place / "sources", symlinks=True, ignore=left_out)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(place), str(place / "sources")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    (file,) = place.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def names(wheel):
    return zipfile.ZipFile(wheel).namelist()


def own(names):
    return [name for name in names if ".dist-info/" not in name]


def test_it_holds_one_top_level_name(names):
    assert {name.split("/")[0] for name in own(names)} == {"hybrid"}


def test_it_holds_these_packages_and_every_module_of_theirs(names):
    modules = {name for name in own(names) if name.endswith(".py")}
    assert {name.rpartition("/")[0].replace("/", ".") for name in modules} == PACKAGES
    sources = {
        f"{prefix}{path.relative_to(ROOT / folder)}"
        for folder, prefix in (
            ("hybrid", "hybrid/"),
            ("adapters", "hybrid/adapters/"),
            ("train", "hybrid/train/"),
            ("eval", "hybrid/eval/"),
        )
        for path in (ROOT / folder).rglob("*.py")
        if not (folder == "hybrid" and path.relative_to(ROOT / folder).parts[0] in ("adapters", "train", "eval"))
    }
    assert modules == sources


def test_besides_modules_it_holds_the_report_template_and_the_mark_of_types(names):
    others = {name for name in own(names) if not name.endswith(".py")}
    assert others == {
        "hybrid/py.typed",
        "hybrid/eval/report/page.html.jinja",
        "hybrid/eval/report/style.css",
        *(f"hybrid/serve/page/{name}" for name in ("index.html", "style.css", "page.js", "draw.js", "steps.js", "chain.js")),
    }


def test_its_metadata_name_the_licence_the_command_and_the_version(wheel, names):
    import hybrid

    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(f"{info}/METADATA").decode()
    assert f"Version: {hybrid.__version__}\n" in metadata and "License-Expression: Apache-2.0" in metadata
    assert "hybrid = hybrid.cli:entry" in archive.read(f"{info}/entry_points.txt").decode()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_what_is_unpacked_runs_by_itself(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import sys, importlib; sys.path.insert(0, 'site')\n"
        "import hybrid, hybrid.cli, hybrid.train\n"
        "from importlib.resources import files\n"
        "assert all(module.__file__.startswith(sys.argv[1]) for name, module in sys.modules.items() if name.startswith('hybrid'))\n"
        "assert files('hybrid.eval.report').joinpath('page.html.jinja').is_file()\n"
        "for name in ('adapters', 'train', 'eval'):\n"
        "    assert importlib.util.find_spec(name) is None, name\n"
        "sys.exit(hybrid.cli.main(['tasks']))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "site")] if sys.version_info >= (3, 11) else None
    if command is None:
        pytest.skip("needs Python 3.11's -P")
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert ended.returncode == 0 and "sudoku" in ended.stdout, ended.stderr
