"""The shape of the repository: who may import whom, how long a file is, what is documented, what is public."""

import ast
import os
import re
import subprocess
import sys
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

LAYERS = [
    # The foundation: knows no adapter and no model.
    "hybrid.errors",
    "hybrid.problem hybrid.paths hybrid.console hybrid.rows hybrid.fingerprint hybrid.product hybrid.device hybrid.solution",
    "hybrid.symmetry hybrid.placing hybrid.flag_errors",
    "hybrid.taps hybrid.offsets hybrid.words hybrid.prefix hybrid.sight hybrid.quantization hybrid.workspace hybrid.reader",
    "hybrid.recursion hybrid.scalars hybrid.kinds hybrid.default_backbone hybrid.loading hybrid.checkpoint",
    "hybrid.layout hybrid.block hybrid.losses hybrid.halting hybrid.flags hybrid.carry hybrid.codec hybrid.writing",
    "hybrid.cores hybrid.grid_block hybrid.reading hybrid.codes",
    "hybrid.gradients hybrid.backbone",
    "hybrid.tuner",
    "hybrid.equilibrium",
    # Adapters.
    "hybrid.adapters.features hybrid.adapters.layer_mix hybrid.adapters.targets",
    "hybrid.adapters.encoder hybrid.adapters.decoder",
    "hybrid.adapters.aligned hybrid.adapters.concat hybrid.adapters.cross_attention hybrid.adapters.pooled",
    "hybrid.adapters.structured hybrid.adapters.words hybrid.adapters.classes hybrid.adapters.tokens",
    "hybrid.adapters.segments hybrid.adapters.soft_prompt hybrid.adapters.learned",
    "hybrid.adapters",
    # The model.
    "hybrid.reasoner",
    "hybrid.config",
    "hybrid.head hybrid.matching",
    "hybrid.inference",
    "hybrid.search hybrid.card",
    "hybrid.answering",
    "hybrid.model",
    "hybrid.official",
    # Training.
    "hybrid.train.optimizer hybrid.train.progress hybrid.train.run_folder hybrid.train.processes hybrid.train.interrupt",
    "hybrid.train.config hybrid.train.feature_cache hybrid.train.run_state",
    "hybrid.train.dataset",
    "hybrid.train.disguise",
    "hybrid.train.slots hybrid.train.step hybrid.train.evaluate hybrid.train.boundary hybrid.train.floor hybrid.train.recipe",
    "hybrid.train.presets",
    "hybrid.train.resumable hybrid.train.trial hybrid.train.calibration",
    "hybrid.train.trainer",
    "hybrid.train",
    # Evaluation, then the command line.
    "hybrid.eval",
    "hybrid.serve",
    "hybrid.cli",
    "hybrid.__main__ hybrid.train.__main__",
]
"""A file imports from layers above its own line only; in eval and cli, also from files beside it."""
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}

COVERED = {
    "hybrid/__init__.py": "test_structure.py",
    "hybrid/__main__.py": "test_cli.py",
    "hybrid/solution.py": "test_model.py",
    "hybrid/answering.py": "test_model.py",
    "hybrid/writing.py": "test_soft_prompt.py",
    "adapters/__init__.py": "test_structure.py",
    "adapters/learned.py": "test_latent_thoughts.py",
    "hybrid/flag_errors.py": "test_flags.py",
    "hybrid/console.py": "test_cli_files.py",
    "hybrid/paths.py": "test_flags.py",
    "hybrid/placing.py": "test_offsets.py",
    "hybrid/reader.py": "test_codes.py",
    "hybrid/sight.py": "test_words.py",
    "hybrid/serve/__init__.py": "test_structure.py",
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
    "train/__init__.py": "test_structure.py",
    "train/__main__.py": "test_processes.py",
    "train/config.py": "test_train_config.py",
    "train/disguise.py": "test_symmetry.py",
    "train/interrupt.py": "test_trainer.py",
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


def rank(name):
    """Return the layer of a module, or of the nearest package that has one."""
    while name not in RANKS and name.startswith(("hybrid.eval.", "hybrid.serve.", "hybrid.cli.")):
        name = name.rpartition(".")[0]
    assert name in RANKS, f"{name} has no layer; write it into LAYERS"
    return RANKS[name]


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
            assert rank(name) >= RANKS["hybrid.eval"], f"{name} imports the package itself"
            continue
        beside = name.split(".")[:2] == target.split(".")[:2] and name.split(".")[1] in ("eval", "serve", "cli")
        assert rank(target) < rank(name) or beside, f"{name} imports {target}"


def test_every_layer_names_files_that_are_there():
    assert set(RANKS) <= set(SOURCES.values())


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
        if name.startswith("eval/"):
            continue  # Tested by idea: answers, tasks, methods, results, reports.
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
