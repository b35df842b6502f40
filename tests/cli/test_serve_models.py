"""Several models behind one `penny serve`: a real process, the official client, models that come and go."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.memory_need import memory_need
from pennyweight.models.outline import outline
from pennyweight.residents.page_share import standing_bytes
from tests.cli.penny import SOURCES
from tests.jobs.requests import chat_line
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.tiny import gemma_shape, write_tiny_gemma, write_tiny_llama
from tests.server.batching import created, ended, lines_of
from tests.server.live import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.penny import Penny

MIB = 2**20
HI: list[Any] = [{"role": "user", "content": "Hi"}]
SPARES = ("chat", "completion", "response", "tokens", "count", "batch", "later", "run", "adapted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server with a process of its own."""

    process: subprocess.Popen[str]
    url: str
    home: Path

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", max_retries=0)

    def status(self, model: str) -> str:
        status: dict[str, str] = httpx.get(f"{self.url}/v1/models/{model}").json()["status"]
        return status["value"]

    def metric(self, name: str, model: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        start = f'pennyweight_{name}{{model="{model}"}} '
        return next(float(line.removeprefix(start)) for line in lines if line.startswith(start))

    def kib(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def served(home: Path, *arguments: str, settings: str = "") -> Iterator[Served]:
    """`penny serve` with everything it keeps under `home`, ended by SIGTERM if it lives by then."""
    config = home / "config.toml"
    config.write_text(settings)
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_DATA_HOME": str(home / "data")}
    own |= {"PENNYWEIGHT_CONFIG": str(config), "PYTHONPATH": SOURCES}
    process = subprocess.Popen(
        [sys.executable, "-m", "pennyweight", "serve", "--port", "0", "--threads", "1", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ) | own,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://[^/]+", line)
        assert address, line + process.stderr.read()
        yield Served(process=process, url=address[0], home=home)
    finally:
        if process.poll() is None:
            process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), errors


def tables(path: Path, *names: str) -> str:
    return "".join(f'[models.{name}]\npath = "{path}"\n' for name in names)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that is served first, a gemma, and one that is damaged."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_llama(folder / "first.gguf", context_length=32_768)
    write_tiny_gemma(folder / "second.gguf")
    data = (folder / "second.gguf").read_bytes()
    (folder / "damaged.gguf").write_bytes(data[: len(data) // 2])
    return folder


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One process for all tests that leave it as it was; every spare model is for one of them."""
    arguments = [f"--model={models / name}.gguf" for name in ("first", "second", "damaged", "absent")]
    adapter = write_adapter(models / "poet", gemma_shape())
    arguments += ["--alias=gpt-4o=second", "--parallel=4", f"--adapter=poet={adapter}@adapted"]
    settings = tables(models / "second.gguf", *SPARES)
    with served(tmp_path_factory.mktemp("home"), *arguments, settings=settings) as server:
        yield server


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with server.client() as client:
        yield client


def test_all_are_listed_and_only_the_first_is_there(server: Served, client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[:4] == ["first", "second", "damaged", "absent"]
    assert set(SPARES) < set(listed)
    assert server.status("first") == "loaded"
    assert server.status("gpt-4o-mini") == "loaded"
    assert server.status("absent") == "unloaded"


def test_streams_go_on_while_another_model_is_loaded(server: Served, client: openai.OpenAI) -> None:
    """An answer begun before is the same, token by token, as one that nobody disturbed."""
    asked: dict[str, Any] = {"model": "first", "prompt": "Once", "temperature": 0, "seed": 1}
    asked |= {"max_tokens": 3000, "extra_body": {"min_tokens": 3000}}
    alone = client.completions.create(**asked)
    stream = client.completions.create(**asked, stream=True)
    text = next(iter(stream)).choices[0].text
    assert server.metric("model_loads_total", "second") == 0
    answer = client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=3)
    assert answer.model == "second"
    assert server.status("second") == "loaded"
    assert server.status("first") == "loaded"
    for chunk in stream:
        text += chunk.choices[0].text if chunk.choices else ""
    assert text == alone.choices[0].text
    assert client.chat.completions.create(model="gpt-4o-mini", messages=HI, max_tokens=1).model == "first"


def test_models_with_the_same_weights_do_not_share_what_was_computed(client: openai.OpenAI) -> None:
    prompt = "a word and another " * 15
    for model, cached in (("chat", False), ("chat", True), ("completion", False)):
        usage = client.completions.create(model=model, prompt=prompt, max_tokens=1).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        assert bool(usage.prompt_tokens_details.cached_tokens) == cached


def test_answers_of_one_file_are_the_same_under_every_name(client: openai.OpenAI) -> None:
    def ask(model: str) -> tuple[str | None, str | None]:
        answer = client.chat.completions.create(model=model, messages=HI, temperature=0, max_tokens=9)
        assert answer.model == model
        return answer.choices[0].message.content, answer.system_fingerprint

    assert ask("second") == ask("response")


def test_a_model_with_an_adapter_is_loaded_with_its_base(server: Served, client: openai.OpenAI) -> None:
    assert httpx.get(f"{server.url}/v1/models/poet").json()["parent"] == "adapted"
    assert server.status("poet") == "unloaded"
    asked: dict[str, Any] = {"messages": HI, "temperature": 0, "max_tokens": 9}
    answers = [client.chat.completions.create(model=name, **asked) for name in ("poet", "adapted")]
    assert [answer.model for answer in answers] == ["poet", "adapted"]
    assert answers[0].choices[0].message.content != answers[1].choices[0].message.content
    assert server.status("poet") == server.status("adapted") == "loaded"
    assert server.metric("adapters", "adapted") == server.metric("adapter_loads_total", "adapted") == 1


def test_a_damaged_and_an_absent_model_cost_their_own_requests_alone(
    server: Served, client: openai.OpenAI
) -> None:
    for model, reason in (("damaged", "damaged.gguf"), ("absent", "there is no model file .*absent.gguf")):
        message = f"The model '{model}' cannot be loaded: .*{reason}"
        with pytest.raises(openai.InternalServerError, match=message) as caught:
            client.chat.completions.create(model=model, messages=HI)
        assert caught.value.status_code == 503
        assert caught.value.code == "model_unavailable"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert server.status(model) == "unloaded"
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    assert client.chat.completions.create(model="first", messages=HI, max_tokens=1).model == "first"


def test_an_unknown_model_is_told_what_there_is(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="serves first, second, damaged, absent"):
        client.chat.completions.create(model="quite-different", messages=HI)


def test_tokens_of_a_model_that_is_not_there(server: Served, client: openai.OpenAI) -> None:
    tokens = httpx.post(f"{server.url}/tokenize", json={"model": "tokens", "prompt": "Hi"}).json()
    assert tokens["count"] > 0
    counted = client.responses.input_tokens.count(model="count", input="Hi")
    assert counted.input_tokens > 0
    assert server.status("tokens") == server.status("count") == "loaded"


def test_batches_background_and_runs_load_their_models(server: Served, client: openai.OpenAI) -> None:
    lines = [chat_line(number, model="batch", max_tokens=2) for number in range(3)]
    batch = created(client, "\n".join(map(json.dumps, lines)).encode())
    later = client.responses.create(model="later", input="Hi", background=True, max_output_tokens=16)
    assistant = client.beta.assistants.create(model="run", instructions="Be brief.")
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hi"}]},
        max_completion_tokens=16,
        poll_interval_ms=10,
    )
    assert run.status in ("completed", "incomplete")
    eventually(lambda: client.responses.retrieve(later.id).status in ("completed", "incomplete"))
    done = ended(client, batch)
    assert done.status == "completed"
    bodies = [line["response"]["body"] for line in lines_of(client, done.output_file_id)]
    assert [body["model"] for body in bodies] == ["batch"] * 3
    for model in ("batch", "later", "run"):
        assert server.metric("model_loads_total", model) == 1
        assert server.metric("tokens_generated_total", model) > 0


def test_usage_names_the_model(server: Served) -> None:
    def counted() -> dict[str, int]:
        command = [sys.executable, "-m", "pennyweight", "usage", "--by", "model", "--json"]
        own = {"HOME": str(server.home), "XDG_DATA_HOME": str(server.home / "data"), "PYTHONPATH": SOURCES}
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ) | own)
        return {row["model"]: row["requests"] for row in json.loads(told.stdout)["rows"]}

    with server.client() as client:
        client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=1)
    eventually(lambda: {"first", "second"} <= set(counted()))


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with some 20 MiB of weights, so that it matters whether they are there."""
    shape = {"num_layers": 3, "d_model": 512, "num_heads": 8, "num_kv_heads": 8, "head_dim": 64}
    path = tmp_path_factory.mktemp("heavy") / "heavy.gguf"
    return write_tiny_llama(path, kind="Q8_0", d_ff=3072, context_length=4096, **shape)


def program_mib(home: Path, heavy: Path) -> float:
    """What a server holds before its first model, from what a refusal says it needs with one."""
    with pytest.raises(AssertionError) as caught, served(home, "--model", str(heavy), "--memory", "30MiB"):
        pass
    told = re.search(r"the model needs ([\d,]+) MiB", str(caught.value))
    assert told, caught.value
    need = memory_need(outline(heavy), resident_bytes=0, threads=1)
    return int(told[1].replace(",", "")) - need.total_bytes / MIB


def test_what_fits_together_stays_together(tmp_path: Path, heavy: Path) -> None:
    standing = standing_bytes(outline(heavy), threads=1) / MIB
    ceiling = program_mib(tmp_path, heavy) + 3 * standing + 90
    with (
        served(
            tmp_path, f"--memory={ceiling:.0f}MiB", f"--model={heavy}", settings=tables(heavy, "b", "c")
        ) as server,
        server.client() as client,
    ):
        for model in ("heavy", "b", "c", "heavy", "b"):
            client.chat.completions.create(model=model, messages=HI, max_tokens=2)
        assert [server.status(model) for model in ("heavy", "b", "c")] == ["loaded"] * 3
        pages = [server.metric("kv_pages", model) for model in ("heavy", "b", "c")]
        kv_bytes = outline(heavy).spec.kv_bytes_per_token * 64
        shares = [count * kv_bytes / MIB for count in pages]
        # What the program takes is estimated here: some MiB more or less.
        assert shares == pytest.approx([30] * 3, abs=9), "a third of 90 each"
        assert len(set(shares)) == 1
        assert server.kib("VmHWM") * 1024 <= ceiling * MIB


def test_what_does_not_fit_comes_and_goes_under_the_ceiling(tmp_path: Path, heavy: Path) -> None:
    standing = standing_bytes(outline(heavy), threads=1) / MIB
    ceiling = program_mib(tmp_path, heavy) + standing + 40
    settings = tables(heavy, "b", "c") + f'[models.wide]\npath = "{heavy}"\ncontext = 4096\nparallel = 99\n'
    with (
        served(tmp_path, f"--memory={ceiling:.0f}MiB", f"--model={heavy}", settings=settings) as server,
        server.client() as client,
    ):
        with pytest.raises(openai.InternalServerError, match=r"99 x 4096 tokens of context need [\d,]+ MiB"):
            client.chat.completions.create(model="wide", messages=HI)
        assert server.status("heavy") == "loaded", "nobody left for what never fits"
        for model in ("b", "heavy", "c", "b", "heavy", "c"):
            answer = client.chat.completions.create(model=model, messages=HI, max_tokens=2)
            assert answer.model == model
            there = [name for name in ("heavy", "b", "c") if server.status(name) == "loaded"]
            assert there == [model]
        assert server.metric("model_loads_total", "c") == 2
        assert server.metric("tokens_generated_total", "c") == 4
        assert server.kib("VmHWM") * 1024 <= ceiling * MIB


def test_an_idle_model_goes_by_itself(tmp_path: Path, models: Path) -> None:
    with served(tmp_path, f"--model={models / 'first.gguf'}", "--unload-after=1") as server:
        eventually(lambda: server.status("first") == "unloaded")
        assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
        with server.client() as client:
            assert client.chat.completions.create(model="first", messages=HI, max_tokens=1).usage


def test_killed_while_work_for_another_model_waits(tmp_path: Path, models: Path) -> None:
    arguments = [f"--model={models / name}.gguf" for name in ("first", "second")]
    with served(tmp_path, *arguments) as server, server.client() as client:
        later = client.responses.create(model="second", input="Hi", background=True, max_output_tokens=16)
        server.process.kill()
    with served(tmp_path, *arguments) as server, server.client() as client:
        eventually(lambda: client.responses.retrieve(later.id).status in ("completed", "incomplete"))
        assert client.responses.retrieve(later.id).model == "second"


def test_all_installed_models_by_the_names_they_were_given(penny: Penny, models: Path) -> None:
    assert penny.run("models", "add", "mine", str(models / "second.gguf")).returncode == 0
    assert penny.run("models", "alias", "also-mine", "mine").returncode == 0
    with (
        served(penny.home, "--all-installed", f"--model={models / 'first.gguf'}") as server,
        closing(server.client()) as client,
    ):
        assert {"mine", "also-mine"} < {model.id for model in client.models.list()}
        for name in ("mine", "also-mine"):
            assert client.chat.completions.create(model=name, messages=HI, max_tokens=1).model == name
