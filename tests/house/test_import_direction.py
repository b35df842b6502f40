"""Arrows of import point one way, as docs/structure.md draws them; the serve path stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.house.sources import PACKAGE, imported_modules, room_of

if TYPE_CHECKING:
    from pathlib import Path

_BASE = {"core", "errors"}
_SERVICE = _BASE | {"upstreams", "native", "models", "text", "engine", "answers"}
_MAY_IMPORT = {
    "core": set[str](),
    "errors": set[str](),
    "upstreams": {"errors"},
    "kv_format": {"errors"},
    "local_models": {"errors", "kv_format"},
    "judge_program": {"errors"},
    "config": {"errors", "upstreams", "local_models"},
    "native": _BASE,
    "models": _BASE | {"native", "kv_format"},
    "text": _BASE | {"native"},
    "quantize": _BASE | {"native", "models", "text"},
    "system_memory": _BASE,
    "memory_need": _BASE | {"models", "engine"},
    "memory": _BASE | {"models", "memory_need", "system_memory"},
    "engine": _BASE | {"native", "models", "text"},
    "prefix_cache": _BASE | {"models", "memory", "engine"},
    # `answers` for its readers of messages and tools: training reads them as serving does
    "tune": _BASE | {"native", "models", "text", "answers", "judge_program"},
    "answers": _BASE | {"upstreams", "native", "models", "text", "engine"},
    "store": _BASE | {"config"},
    "cost": _BASE | {"config", "store"},
    "quota": _BASE | {"answers", "store", "cost"},
    "history": _BASE | {"answers", "store", "quota"},
    "retrieval": _BASE | {"native", "answers", "store"},
    "jobs": _BASE | {"config", "models", "answers", "store", "quota", "cost", "history"},
    "distillation": _BASE | {"answers", "store", "jobs", "judge_program"},
    "server": _SERVICE | {"config", "store", "history", "retrieval", "jobs", "cost", "quota"},
}
# These put the rooms together; each names what it still may not know.
_COMPOSITION = {
    "api": {"cli", "server"},
    "encoder": {"cli", "server"},
    "serving": {"cli", "server"},
    "composition": {"cli", "server"},
    "residents": {"cli", "server"},
    "server/app.py": {"cli"},
    "tune/rollouts.py": {"cli", "server"},  # an engine answers with what was learnt so far
    "server/routes/health.py": {"cli"},
    "cli": set[str](),
    "__main__": set[str](),
    "__init__": {"cli", "server"},
}
_LIGHT_TUNING = {"dataset", "hyperparameters", "plan", "preparation", "protocol", "work"}
"""What of training a server may use, or begins before torch is there."""
_FILES = sorted(PACKAGE.rglob("*.py"))


def _arrows(path: Path) -> set[str]:
    """The rooms `path` imports from, its own left out."""
    names = [name.split(".") for name in imported_modules(path) if name.startswith("pennyweight.")]
    return {parts[1] for parts in names} - {room_of(path), "__version__"}


def _forbidden(path: Path) -> set[str]:
    name, room = path.relative_to(PACKAGE).as_posix(), room_of(path)
    for composer in (name, room):
        if composer in _COMPOSITION:
            return _arrows(path) & _COMPOSITION[composer]
    assert room in _MAY_IMPORT, f"{room} is a new room: give it a place in this test and in docs/structure.md"
    return _arrows(path) - _MAY_IMPORT[room]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    assert _forbidden(path) == set()


def test_submit_has_one_caller_and_it_lives_in_answers() -> None:
    callers = [
        path.relative_to(PACKAGE).as_posix()
        for path in _FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "submit"
    ]
    assert callers == ["answers/answer.py"]


def test_every_answer_comes_from_the_exchanges() -> None:
    """No second loop over conversations: what keeps answers asks the same exchanges as everybody."""
    callers = {
        path.relative_to(PACKAGE).as_posix()
        for path in _FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "answer"
        if "_works" not in ast.unparse(node.func.value)  # of a worker: each of them runs an exchange
    }
    assert callers == {
        "answers/chat_exchange.py",
        "answers/completion_run.py",
        "answers/responses_exchange.py",
        "api.py",  # Python programs
        "server/metrics.py",  # passes answers on, and counts them
    }


def test_the_native_step_has_one_caller() -> None:
    callers = {
        path.relative_to(PACKAGE).as_posix()
        for path in _FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "begin"
        if "decoder" in ast.unparse(node.func.value)
    }
    # `penny bench` measures the bare step, the quantiser what goes into its matrices
    assert callers == {"engine/runner.py", "cli/measure.py", "quantize/importance.py"}


def test_torch_and_its_like_are_imported_by_training_alone() -> None:
    heavy = {"accelerate", "peft", "safetensors", "torch", "transformers"}
    importers = {
        room_of(path) for path in _FILES if heavy & {name.split(".")[0] for name in imported_modules(path)}
    }
    assert importers == {"tune"}


def test_only_a_server_of_models_elsewhere_loads_an_http_client() -> None:
    program = (
        "import sys, pennyweight.server.app, pennyweight.cli.serve, pennyweight.answers.upstream.answers\n"
        "print('httpx2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_the_serve_path_imports_no_numerical_library_nor_the_hub() -> None:
    """Every module but the NumPy reference, imported in a fresh process, as a server would over its life."""
    modules = [
        ".".join(("pennyweight", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in _FILES
        if not path.name.startswith("reference") and path.name not in ("__init__.py", "__main__.py", "env.py")
        if room_of(path) != "tune" or path.stem in _LIGHT_TUNING
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(*sorted({'huggingface_hub', 'numpy', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
