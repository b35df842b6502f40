"""`make clients`: a real `penny serve`, and every client that people use against it, newest and older.

Each client gets a throw-away environment from the package index. Prints a line per client with its version;
exits with 1 if one failed. `python -m tests.clients.run NAME...` runs some of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.clients.descriptions import answerable, of_stored
from tests.clients.stored_objects import make_objects
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
MODEL = "tiny-clients"
PATIENCE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`requirements` are installed from PyPI; `script` lies beside this file."""

    name: str
    requirements: tuple[str, ...]
    script: str
    package: str  # whose version is told


CLIENTS = (
    Client(
        name="openai-1.40",
        requirements=("openai==1.40.0", "httpx<0.28"),
        script="openai_client.py",
        package="openai",
    ),
    Client(name="openai-2", requirements=("openai<3",), script="openai_client.py", package="openai"),
    Client(name="openai", requirements=("openai",), script="openai_client.py", package="openai"),
    Client(
        name="langchain",
        requirements=("langchain-openai",),
        script="langchain_client.py",
        package="langchain-openai",
    ),
    Client(
        name="agents", requirements=("openai-agents",), script="agents_client.py", package="openai-agents"
    ),
    Client(
        name="instructor", requirements=("instructor",), script="instructor_client.py", package="instructor"
    ),
    Client(
        name="pydantic-ai",
        requirements=("pydantic-ai-slim[openai]",),
        script="pydantic_ai_client.py",
        package="pydantic-ai-slim",
    ),
)


def main(names: list[str]) -> int:
    failed = []
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url:
        environment = {**os.environ, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "any", "MODEL": MODEL}
        environment.pop("PYTHONPATH", None)
        for client in CLIENTS:
            if not names or client.name in names:
                report(client.name, run_python(client, Path(folder), environment), failed)
        if not names or "npm" in names:
            report("npm", run_node(Path(folder), environment), failed)
        if not names or "schemathesis" in names:
            report("schemathesis", run_schemathesis(url, Path(folder), environment), failed)
    return 1 if failed else 0


def report(name: str, done: subprocess.CompletedProcess[str], failed: list[str]) -> None:
    """One line; a failure's output too."""
    print(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}", flush=True)
    if done.returncode:
        failed.append(name)
        print(done.stdout[-6000:], done.stderr[-6000:], sep="\n", flush=True)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server of a tiny model, in a process of its own."""
    model = write_tiny_llama(folder / f"{MODEL}.gguf", context_length=8192)
    command = [sys.executable, "-m", "pennyweight", "serve", "--model", str(model), "--port", "0"]
    command += ["--data", str(folder / "data")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = []
        while not (address := re.search(r"at (http://[^/\s]+)", lines[-1] if lines else "")):
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
        yield address[1]
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def environment_with(folder: Path, name: str, requirements: tuple[str, ...]) -> Path:
    """The scripts' folder of a new environment."""
    venv.create(folder / name, with_pip=True)
    bin_folder = folder / name / "bin"
    subprocess.run([bin_folder / "pip", "install", "--quiet", *requirements], check=True)
    return bin_folder


def run_python(client: Client, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    bin_folder = environment_with(folder, client.name, client.requirements)
    told = f"import importlib.metadata as m; print('{client.package}', m.version('{client.package}'))"
    subprocess.run([bin_folder / "python", "-c", told], check=True)
    return finished([bin_folder / "python", HERE / client.script], environment, folder)


def run_node(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    home = folder / "node"
    home.mkdir()
    (home / "package.json").write_text('{"type": "module"}\n')
    (home / "client.mjs").write_text((HERE / "openai_client.mjs").read_text(encoding="utf-8"))
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "openai"], cwd=home, check=True)
    return finished(["node", home / "client.mjs"], environment, home)


def run_schemathesis(url: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Requests made from our own description, right and wrong ones: nothing may be a 5xx.

    Of all routes, with ids that nobody has; of those that ask the model, so that they reach it; of all, with
    ids of what is there, and at last of those that delete it.
    """
    bin_folder = environment_with(folder, "schemathesis", ("schemathesis",))
    document = httpx.get(f"{url}/openapi.json").json()
    stored = of_stored(document, make_objects(url, MODEL), MODEL)
    passes = (
        ("all", document, ()),
        ("answered", answerable(document, MODEL), ()),
        ("stored", stored, ("--exclude-method", "DELETE")),
        ("deleted", stored, ("--include-method", "DELETE")),
    )
    for name, described, only in passes:
        path = folder / f"openapi-{name}.json"
        path.write_text(json.dumps(described), encoding="utf-8")
        command = [bin_folder / "schemathesis", "run", path, "--url", url, "--seed", "1", *only]
        command += ["--checks", "not_a_server_error", "--max-examples", "25", "--request-timeout", "60"]
        done = finished(command, environment, folder)
        if done.returncode:
            break
    return done


def finished(
    command: list[str | Path], environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """The end of a command that runs, and leaves what it leaves, in `folder`."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
