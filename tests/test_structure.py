"""The shape of the repository: who may import whom, how long a file is, what is documented, what is public."""

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hybrid

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "hybrid": ROOT / "hybrid",
    "hybrid.adapters": ROOT / "adapters",
    "hybrid.train": ROOT / "train",
    "hybrid.eval": ROOT / "eval",
}

ROOMS = [
    "hybrid.errors hybrid.paths hybrid.device",
    "hybrid.problem hybrid.console hybrid.symmetry hybrid.kinds",
    "hybrid.layout hybrid.flags hybrid.recursion hybrid.backbone",
    "hybrid.adapters hybrid.checkpoint",
    "hybrid.config",
    "hybrid.head hybrid.matching hybrid.card",
    "hybrid.inference",
    "hybrid.model",
    "hybrid.official hybrid.train",
    "hybrid.eval",
    "hybrid.serve",
    "hybrid.cli",
    "hybrid.__main__",
]
"""A file imports from the rooms of floors before its own, and from files of its own room; no files import each other in a circle."""
FLOORS = {name: floor for floor, names in enumerate(ROOMS) for name in names.split()}

COVERED = {
    "hybrid/backbone/default.py": "test_default_backbone.py",
    "hybrid/backbone/language_model.py": "test_backbone.py",
    "hybrid/recursion/cycle.py": "test_recursion.py",
    "hybrid/inference/thinking.py": "test_inference.py",
    "hybrid/flags/parser.py": "test_flags.py",
    "train/run/folder.py": "test_run_folder.py",
    "train/run/state.py": "test_run_state.py",
    "hybrid/__main__.py": "test_cli.py",
    "hybrid/inference/solution.py": "test_model.py",
    "hybrid/inference/answering.py": "test_model.py",
    "hybrid/backbone/writing.py": "test_soft_prompt.py",
    "adapters/learned.py": "test_latent_thoughts.py",
    "hybrid/flags/errors.py": "test_flags.py",
    "hybrid/console.py": "test_cli_files.py",
    "hybrid/paths.py": "test_flags.py",
    "hybrid/backbone/placing.py": "test_offsets.py",
    "hybrid/backbone/reader.py": "test_codes.py",
    "hybrid/recursion/sight.py": "test_words.py",
    "hybrid/serve/about.py": "test_serve.py",
    "hybrid/serve/along.py": "test_chain.py",
    "hybrid/serve/app.py": "test_serve.py",
    "hybrid/serve/batcher.py": "test_serve.py",
    "hybrid/serve/by_token.py": "test_chain.py",
    "hybrid/serve/chain_route.py": "test_chain.py",
    "hybrid/serve/completions.py": "test_serve.py",
    "hybrid/serve/events.py": "test_serve.py",
    "hybrid/serve/middleware.py": "test_serve.py",
    "hybrid/serve/refused.py": "test_serve.py",
    "hybrid/serve/requests.py": "test_serve.py",
    "hybrid/serve/solving.py": "test_serve.py",
    "hybrid/serve/spoken.py": "test_serve_words.py",
    "hybrid/serve/server.py": "test_serve.py",
    "hybrid/serve/writing.py": "test_chain.py",
    "train/__main__.py": "test_processes.py",
    "train/config.py": "test_train_config.py",
    "train/disguise.py": "test_symmetry.py",
    "train/run/interrupt.py": "test_trainer.py",
    "train/resumable.py": "test_trainer.py",
}
"""Files of hybrid/, adapters/ and train/ whose tests are in a file of another name."""


def sources():
    """Return every source file with its module's name; hybrid/adapters and its like are links."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "hybrid" and parts[0] in ("adapters", "train", "eval"):
                continue
            found[path] = ".".join([package, *parts]).removesuffix(".__init__")
    return found


SOURCES = sources()
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]


def room(name):
    """Return the room that a module is in."""
    found = ".".join(name.split(".")[:2])
    assert found in FLOORS, f"{found} has no floor; write it into ROOMS"
    return found


def imported(path):
    """Yield the modules of this project that a file imports, wherever in the file."""
    names = set(SOURCES.values())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "hybrid")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if (node.module or "").split(".")[0] == "hybrid":
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in names else node.module


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_imports_point_down_only(path):
    name = SOURCES[path]
    if name == "hybrid":
        return  # It re-exports, and imports when a name is used.
    for target in imported(path):
        if target == "hybrid":
            assert FLOORS[room(name)] >= FLOORS["hybrid.eval"], f"{name} imports the package itself"
        elif name != "hybrid.train.__main__":  # A command, though it lies in a folder.
            assert room(target) == room(name) or FLOORS[room(target)] < FLOORS[room(name)], f"{name} imports {target}"


def test_no_files_import_each_other_in_a_circle():
    faces = {name for path, name in SOURCES.items() if path.stem == "__init__"}
    below = {name: {each for each in imported(path) if each not in faces} for path, name in SOURCES.items()}
    assert list(TopologicalSorter(below).static_order())


def test_every_room_is_there_and_no_folder_is_crowded():
    assert {room(name) for name in SOURCES.values() if name != "hybrid"} == set(FLOORS)
    for folder in {path.parent for path in SOURCES}:
        assert sum(each.is_file() for each in folder.iterdir()) <= 20, f"{folder} has more than 20 files; give some a folder"


def test_the_top_of_the_repository_holds_what_the_design_fixes():
    folders = {"hybrid", "adapters", "train", "eval", "tests", "examples", "docs", ".ci"}
    files = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Makefile",
        "mkdocs.yml",
        "constraints.txt",
        ".gitignore",
    }
    made = {"runs", "build", "dist", "site", ".github"}
    for entry in os.scandir(ROOT):
        if entry.name.startswith(".") and entry.name not in {".ci", ".gitignore", ".github"}:
            continue
        if not entry.name.endswith(".egg-info"):
            assert entry.name in (folders if entry.is_dir() else files) | made, entry.name
    assert all((ROOT / name).is_dir() for name in folders)


@pytest.mark.parametrize("name", ["adapters", "train", "eval"])
def test_the_folders_are_linked_into_the_package_and_refuse_another_name(name):
    link = ROOT / "hybrid" / name
    assert link.is_symlink() and os.readlink(link) == f"../{name}"
    last = ast.parse((ROOT / name / "__init__.py").read_text()).body[-1]
    source = f"if __name__ != 'hybrid.{name}':\n    raise ImportError('import hybrid.{name}, not ' + __name__)"
    assert ast.unparse(last) == source
    with pytest.raises(ImportError, match=f"import hybrid.{name}, not other"):
        exec(ast.unparse(last), {"__name__": "other"})


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_file_is_short_documented_and_named_after_one_idea(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350 and path.stem not in ("utils", "common", "helpers", "misc")
    assert path.stem not in sys.stdlib_module_names
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the file has no docstring"
    for node in public(tree):
        assert ast.get_docstring(node), f"{node.name} has no docstring"


def public(node):
    for child in getattr(node, "body", []):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            if not any("overload" in ast.unparse(decorator) for decorator in child.decorator_list):
                yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def test_every_file_has_tests():
    tests = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if name.startswith("eval/") or path.stem == "__init__":
            continue  # Of eval: tested by idea, answers, tasks, methods, results, reports.
        wanted = COVERED.get(name, "test_cli.py" if name.startswith("hybrid/cli") else f"test_{path.stem}.py")
        assert wanted in tests, f"{name} has no tests/{wanted}"
    assert all((ROOT / name).exists() for name in COVERED)


def test_the_public_names_are_these():
    assert dir(hybrid) == sorted(hybrid.__all__)
    assert sorted(hybrid.__all__) == [
        "Backbone",
        "BackboneConfig",
        "HybridConfig",
        "HybridError",
        "HybridModel",
        "LayoutConfig",
        "Problem",
        "ReasonerConfig",
        "Solution",
        "SpanPattern",
        "__version__",
        "attach",
    ]
    assert all(getattr(hybrid, name) is not None for name in hybrid.__all__)
    with pytest.raises(AttributeError, match="module 'hybrid' has no attribute 'nonsense'"):
        _ = hybrid.nonsense


def test_static_tools_see_the_same_names():
    tree = ast.parse((ROOT / "hybrid" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert {alias.asname for node in block.body for alias in node.names} == set(hybrid.__all__) - {"__version__"}


@pytest.mark.slow
def test_importing_is_quick_and_leaves_heavy_packages_out():
    code = """
import sys, time
began = time.process_time()
import hybrid
quick = time.process_time() - began
hybrid.attach, hybrid.HybridConfig
heavy = [name for name in ("peft", "accelerate", "datasets", "matplotlib", "rich", "jsonargparse") if name in sys.modules]
print(quick, time.process_time() - began, *heavy)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    quick, whole, *heavy = ended.stdout.split()
    assert float(quick) < 0.5 and float(whole) < 3 and heavy == []


def test_python_m_hybrid_is_the_command():
    from hybrid import cli

    call = ast.parse((ROOT / "hybrid" / "__main__.py").read_text()).body[-1]
    assert ast.unparse(call) == "entry()" and callable(cli.entry)
    assert 'hybrid = "hybrid.cli:entry"' in (ROOT / "pyproject.toml").read_text()


def test_packaging_lists_every_folder_with_code():
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(re.findall(r'"(hybrid[\w.]*)"', text.partition("packages = [")[2].partition("]")[0]))
    assert listed == {name if path.name == "__init__.py" else name.rpartition(".")[0] for path, name in SOURCES.items()}


def test_ci_runs_what_a_contributor_runs():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    commands = [line for line in run.read_text().splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert commands[0].startswith("make test")
    targets = dict(re.findall(r"^(\w+):.*\n((?:\t.*\n)*)", (ROOT / "Makefile").read_text(), re.M))
    assert "lint unit" in targets["test"]
    recipe = targets["lint"] + targets["unit"]
    assert all(word in recipe for word in ("ruff check", "ruff format --check", "mypy", "pytest"))
