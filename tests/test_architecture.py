"""The rules of the code that no single file can show: layers, where heavy libraries may be, sizes, forbidden things."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("common", "client", "server", "simulations")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
HEAVY = {"torch", "transformers", "peft", "pandas", "sklearn"}
TORCH_PLACES = (
    "common/architectures/",
    "common/peft_methods/",
    "common/tasks/",
    "common/gguf_files.py",
    "common/models.py",
    "common/workbench.py",
    "client/",
    "simulations/",
)
FLOWER_PLACES = (
    "server/app.py",
    "server/bounded_replies.py",
    "server/coordinator/nodes.py",
    "server/flower_app.py",
    "server/lean_replies.py",
    "client/app.py",
    "client/flower_runtime.py",
    "client/gateway.py",
    "client/gateway_app.py",
    "server/rounds.py",
    "common/failures.py",
    "common/flower_backoff.py",
    "common/signed_reply.py",
    "common/thin_app.py",
    "common/wire.py",
    "simulations/",
)
PLUGIN_FOLDERS = (
    "common/architectures",
    "common/compression",
    "common/peft_methods",
    "common/plans",
    "common/tasks",
    "common/privacy",
    "client/data",
    "client/export",
    "server/aggregation",
    "server/trackers",
    "simulations/partitions",
    "simulations/attacks",
)
# The site's border: any failure becomes a fixed word there.
NAMED_CATCH = "client/app.py"
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}
# Reads one file, whose digest it knows, as tensors only.
ONE_CHECKPOINT = "common/architectures/_convert.py"
UNPICKLERS = {"torch.load", "torch.save", "torch.hub.load", "joblib.load", "joblib.dump"}
MAX_LINES = 300
MAX_FUNCTION_LINES = 40

Rule = Callable[[str, ast.Module], Iterator[str]]


@dataclass(frozen=True)
class Import:
    """One imported name: dotted in full, as it is called here, and the library it is of."""

    name: str
    alias: str
    line: int

    @property
    def library(self) -> str:
        return self.name.split(".")[0]


def imports(tree: ast.Module) -> Iterator[Import]:
    """Yield every import, at the top or in a function, but not those of `__future__`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(each.name, each.asname or each.name.split(".")[0], node.lineno) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            yield from (Import(f"{node.module}.{a.name}", a.asname or a.name, node.lineno) for a in node.names)


def heavy_imports(path: str, tree: ast.Module) -> Iterator[str]:
    """A server needs no torch, so only these places know it."""
    if not path.startswith(TORCH_PLACES):
        for each in imports(tree):
            if each.library in HEAVY or each.name.startswith("safetensors.torch"):
                yield f"{path}:{each.line} imports {each.name}; only {', '.join(TORCH_PLACES)} may"


def flower_imports(path: str, tree: ast.Module) -> Iterator[str]:
    """Flower changes monthly, so only these places know it."""
    if not path.startswith(FLOWER_PLACES):
        for each in imports(tree):
            if each.library == "flwr":
                yield f"{path}:{each.line} imports {each.name}; only {', '.join(FLOWER_PLACES)} may"


def long_functions(path: str, tree: ast.Module) -> Iterator[str]:
    """A function of more lines, its docstring apart, lacks a noun."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body[0]
            lines = (node.end_lineno or 0) - first.lineno + 1 + (node.body[0].lineno - node.lineno)
            if lines > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed"


def re_exports(path: str, tree: ast.Module) -> Iterator[str]:
    """One name has one address: an __init__.py imports only what it uses itself, if only in an annotation."""
    if path.endswith("__init__.py"):
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        texts = " ".join(n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        for each in imports(tree):
            if each.alias not in used and each.alias not in texts:
                yield f"{path}:{each.line} imports {each.name} only to pass it on"
        if "__all__" in used:
            yield f"{path} has __all__"


def unpickling(path: str, tree: ast.Module) -> Iterator[str]:
    """A pickle, or a model's own code, runs whatever its author wrote."""
    for each in imports(tree):
        if each.library in PICKLES or each.name in UNPICKLERS:
            yield f"{path}:{each.line} imports {each.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in {"trust_remote_code", "allow_pickle"}:
            if ast.unparse(node.value) != "False":
                yield f"{path}:{node.value.lineno} says {ast.unparse(node)}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in UNPICKLERS and not reads_tensors(path, node):
            yield f"{path}:{node.lineno} calls {ast.unparse(node.func)}"


def reads_tensors(path: str, call: ast.Call) -> bool:
    return path == ONE_CHECKPOINT and "weights_only=True" in ast.unparse(call)


def sleeping(path: str, tree: ast.Module) -> Iterator[str]:
    """Wait for what should happen, not for a time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"sleep", "time.sleep", "asyncio.sleep"}:
            yield f"{path}:{node.lineno} sleeps"


def broad_catches(path: str, tree: ast.Module) -> Iterator[str]:
    """A catch of everything hides defects, unless it only cleans up and raises again."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not re_raises(node) and path != NAMED_CATCH:
            yield f"{path}:{node.lineno} catches everything"


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = [] if handler.type is None else list(ast.walk(handler.type))
    return not caught or any(isinstance(n, ast.Name) and n.id in {"Exception", "BaseException"} for n in caught)


def re_raises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


RULES = [heavy_imports, flower_imports, long_functions, re_exports, unpickling, sleeping, broad_catches]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def trees() -> Mapping[str, ast.Module]:
    """All the source, parsed once."""
    return {relative(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


@pytest.mark.parametrize("rule", RULES)
def test_the_source_keeps(rule: Rule, trees: Mapping[str, ast.Module]) -> None:
    broken = [text for path, tree in trees.items() for text in rule(path, tree)]
    assert not broken, "\n".join(broken)


LONG = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
VIOLATIONS = [
    (heavy_imports, "server/a.py", "def f():\n    import torch.nn as nn"),
    (heavy_imports, "common/a.py", "from safetensors.torch import save_file"),
    (flower_imports, "client/trainer.py", "from flwr.app import Message"),
    (long_functions, "client/a.py", LONG),
    (re_exports, "server/__init__.py", "from server.rounds import run"),
    (unpickling, "client/a.py", "import pickle"),
    (unpickling, "client/a.py", "load(path, trust_remote_code=True)"),
    (unpickling, "client/a.py", "torch.load(path)"),
    (unpickling, "client/a.py", "torch.load(path, weights_only=True)"),
    (unpickling, ONE_CHECKPOINT, "torch.load(path)"),
    (unpickling, "client/a.py", "from joblib import load"),
    (sleeping, "client/a.py", "time.sleep(1)"),
    (broad_catches, "client/a.py", "try: f()\nexcept Exception: pass"),
    (broad_catches, "client/a.py", "try: f()\nexcept (ValueError, BaseException): x = 1"),
    (broad_catches, "client/a.py", "try: f()\nexcept: raise ValueError"),
]
KEEPING = [
    (heavy_imports, "client/a.py", "import torch"),
    (flower_imports, "simulations/a.py", "import flwr"),
    (long_functions, "client/a.py", LONG.replace("x = 1", '"""' + "\n" * 90 + '"""', 1)),
    (re_exports, "server/__init__.py", "import numpy as np\nx: np.ndarray"),
    (unpickling, "client/a.py", "load(path, trust_remote_code=False)"),
    (unpickling, ONE_CHECKPOINT, "torch.load(path, weights_only=True)"),
    (broad_catches, "client/a.py", "try: f()\nexcept BaseException:\n    x = 1\n    raise"),
    (broad_catches, NAMED_CATCH, "try: f()\nexcept Exception: pass"),
]


@pytest.mark.parametrize(("rule", "path", "text"), VIOLATIONS)
def test_a_violation_is_found(rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(path, ast.parse(text)))) == 1


@pytest.mark.parametrize(("rule", "path", "text"), KEEPING)
def test_what_is_allowed_passes(rule: Rule, path: str, text: str) -> None:
    assert list(rule(path, ast.parse(text))) == []


def test_the_layers_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_are_short() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*SOURCES, *TESTS]}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


BLOCKER = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ImportError(f'{{name}} is blocked')
sys.meta_path.insert(0, Blocker())
failed = []
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f'{{name}}: {{error}}')
sys.exit('; '.join(failed) or 0)
"""


def assert_imports_without_torch(paths: list[Path]) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    program = BLOCKER.format(blocked=HEAVY, modules=names)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_server_and_common_import_without_torch() -> None:
    """Modules of common use torch in functions; only a file of a plugin folder with a leading _ may at its top."""
    paths = [path for path in SOURCES if relative(path).startswith(("common/", "server/"))]
    assert_imports_without_torch([path for path in paths if not is_part_of_plugins(path)])


def test_plugins_import_without_torch() -> None:
    paths = [path for path in SOURCES if relative(path.parent) in PLUGIN_FOLDERS]
    assert_imports_without_torch([path for path in paths if not is_part_of_plugins(path)])


def is_part_of_plugins(path: Path) -> bool:
    return relative(path.parent) in PLUGIN_FOLDERS and path.name.startswith("_") and path.stem != "__init__"


def test_tests_have_no_packages() -> None:
    # An __init__.py under tests/server would make a second package called server.
    assert [relative(path) for path in TESTS if path.name == "__init__.py"] == []


def test_tests_mirror_the_source() -> None:
    """tests/server/test_rounds_faults.py tests server/rounds.py; a test_contract.py tests its whole folder.

    Those of tests/processes play whole runs over several processes, and are of no one file.
    """
    whole = [path for path in TESTS if path.parent == ROOT / "tests" or path.is_relative_to(ROOT / "tests/processes")]
    below = [path for path in TESTS if path not in whole and path.name.startswith("test_")]
    assert [relative(path) for path in below if not has_subject(path)] == []


def has_subject(test: Path) -> bool:
    folder = ROOT / test.parent.relative_to(ROOT / "tests")
    names = {path.stem.lstrip("_") for path in folder.glob("*")} | {"contract"}
    subject = test.stem.removeprefix("test_")
    return any(subject == name or subject.startswith(f"{name}_") for name in names)
