"""`penny pull` and `penny models --fit`, as a person sees them; the hub is on this machine."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import constants

from pennyweight.cli.fit import Machine, fits, largest
from pennyweight.models import fetch_http
from pennyweight.models.recommended import RECOMMENDED
from tests.models.fake_hugging_face import COMMIT, HuggingFace, repository, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.penny import Penny

REPO = "owner/Tiny-GGUF"
GIB = 2**30


@pytest.fixture
def hub(tiny_llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HuggingFace]:
    model = tiny_llama_path.read_bytes()
    files = {"Tiny-Q4_K_M.gguf": model, "Tiny-Q8_0.gguf": model + bytes(999), "README.md": b"a card"}
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(fetch_http, "_PAUSE_S", 0.01)
    with serving(HuggingFace(repositories={REPO: repository(files, architecture="llama")})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def test_a_repository_is_shown_and_its_default_taken_and_run(penny: Penny, hub: HuggingFace) -> None:
    listed = penny.run("pull", f"hf:{REPO}", "--list")
    assert listed.returncode == 0
    assert "* Tiny-Q4_K_M.gguf" in listed.stdout
    assert "  Tiny-Q8_0.gguf" in listed.stdout
    assert hub.cdn.requests == []
    done = penny.run("pull", f"hf:{REPO}")
    assert done.returncode == 0
    assert f"{REPO} at {COMMIT[:12]}, licence apache-2.0" in done.stderr
    assert "Taking Q4_K_M: the usual choice, and it fits the memory" in done.stderr
    assert f"from hf:{REPO}@{COMMIT}:Tiny-Q4_K_M.gguf" in done.stderr
    assert done.stdout == ""
    rows = {row["name"]: row for row in json.loads(penny.run("models", "--json").stdout)}
    assert rows["Tiny-Q4_K_M"]["source"] == f"hf:{REPO}@{COMMIT}:Tiny-Q4_K_M.gguf"
    assert penny.run("run", "Hi", "--model", "Tiny-Q4_K_M", "--max-tokens", "1").returncode == 0
    assert penny.run("rm", "Tiny-Q4_K_M").returncode == 0
    assert list((penny.home / "cache" / "pennyweight" / "models" / ".pulled").iterdir()) == []


def test_names_and_what_has_them_already(penny: Penny, hub: HuggingFace) -> None:
    assert penny.run("pull", f"hf:{REPO}:Q4_K_M", "--name", "mine").returncode == 0
    taken = penny.run("pull", f"hf:{REPO}:Q8_0", "--name", "mine")
    assert taken.returncode == 1
    assert "mine.gguf is there already with other bytes" in taken.stderr
    assert penny.run("pull", f"hf:{REPO}:Q8_0", "--name", "mine", "--replace").returncode == 0
    assert penny.run("pull", f"hf:{REPO}", "--name", "gemma-3-270m").returncode == 1
    assert hub.cdn.requests != []


def test_a_recommended_model_comes_by_name(penny: Penny, hub: HuggingFace, tiny_llama_path: Path) -> None:
    entry = RECOMMENDED["llama-3.2-1b-instruct"]
    hub.repositories[entry.repo] = repository({entry.file: tiny_llama_path.read_bytes()})
    asked = penny.run("pull", entry.name)
    assert asked.returncode == 1
    assert f"{entry.licence.name}: {entry.licence.url}" in asked.stderr
    assert "--accept-licence" in asked.stderr
    missing = penny.run("run", "Hi", "--model", entry.name)
    assert f"not installed; get it with `penny pull {entry.name}`" in missing.stderr
    done = penny.run("pull", entry.name, "--accept-licence")
    assert done.returncode == 0, done.stderr
    assert penny.run("run", "Hi", "--model", entry.name, "--max-tokens", "1").returncode == 0
    found = json.loads(penny.run("models", "--fit", "--json").stdout)
    assert next(row for row in found["models"] if row["name"] == entry.name)["installed"] is True


def test_an_address_may_be_a_path_or_a_url(penny: Penny, hub: HuggingFace, tiny_llama_path: Path) -> None:
    assert penny.run("pull", str(tiny_llama_path), "--name", "copied").returncode == 0
    hub.cdn.files["/own.gguf"] = tiny_llama_path.read_bytes()
    assert penny.run("pull", f"{hub.cdn.address}/own.gguf").returncode == 0
    hub.cdn.files["/broken.gguf"] = b"GGUF and then nothing"
    broken = penny.run("pull", f"{hub.cdn.address}/broken.gguf")
    assert "All of it is here, but this engine cannot run it" in broken.stderr
    names = {row["name"] for row in json.loads(penny.run("models", "--json").stdout)}
    assert {"copied", "own", "broken"} < names


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("hf:owner/nothing",), "no repository owner/nothing that you may see"),
        ((f"hf:{REPO}:Q5_0",), "has no Q5_0; it has Tiny-Q4_K_M.gguf"),
        (("ftp://example.org/m.gguf",), "cannot be fetched: write hf:OWNER/NAME"),
        (("owner/Tiny-GGUF",), "for Hugging Face write hf:owner/Tiny-GGUF"),
        (("qwen3-4",), "did you mean qwen3-4b?"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(
    penny: Penny, hub: HuggingFace, arguments: tuple[str, ...], saying: str
) -> None:
    done = penny.run("pull", *arguments)
    assert done.returncode == 1
    assert saying in done.stderr
    assert done.stderr.count("\n") == 1
    assert hub.cdn.requests == []


def test_flags_that_say_nothing_there_are_wrong_usage(penny: Penny, hub: HuggingFace) -> None:
    assert penny.run("pull", f"hf:{REPO}", "--sha256", "0" * 64).returncode == 2
    assert penny.run("pull", f"{hub.cdn.address}/own.gguf", "--list").returncode == 2
    assert penny.run("models", "--context", "100").returncode == 2


def test_offline_what_is_here_is_what_an_address_means(penny: Penny, hub: HuggingFace) -> None:
    assert penny.run("pull", f"hf:{REPO}").returncode == 0
    hub.requests.clear()
    for address, code, saying in (
        (f"hf:{REPO}", 0, f"is here, from hf:{REPO}@{COMMIT}"),
        (f"hf:{REPO}:Q8_0", 1, "HF_HUB_OFFLINE forbids to ask the hub"),
    ):
        process = penny.start("pull", address, HF_HUB_OFFLINE="1")
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors.count("\n")) == (code, 1), errors
        assert saying in errors
    assert hub.requests == []


def test_what_fits_this_machine(penny: Penny) -> None:
    asked = ("models", "--fit", "--context", "4096", "--kv-cache-dtype", "int4", "--json")
    found = json.loads(penny.run(*asked).stdout)
    assert found["kv_cache_dtype"] == "int4"
    names = [row["name"] for row in found["models"]]
    assert {"smollm2-135m-instruct", "gemma-3-270m", *RECOMMENDED} == set(names)
    assert found["context"] == 4096
    for row in found["models"]:
        assert row["fits"] == (row["problem"] == "")
        assert row["memory_bytes"] > row["download_bytes"] * 0.9
    assert found["largest"] in [row["name"] for row in found["models"] if row["fits"]]
    table = penny.run("models", "--fit")
    assert table.returncode == 0
    assert "The largest that fits: `penny pull" in table.stdout
    assert "smollm2-360m-instruct" in table.stdout


def machine(memory: float, disk: float = 1000) -> Machine:
    return Machine(
        memory_bytes=int(memory * GIB), resident_bytes=60 * 2**20, disk_bytes=int(disk * GIB), threads=2
    )


def test_the_reasons_that_a_model_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    by_name = {fit.name: fit for fit in fits(machine(2, disk=0.5), 16_384)}
    assert by_name["llama-3.2-1b-instruct"].problem == "the disk has 0.5 GB free"
    assert by_name["mistral-7b-instruct-v0.3"].problem.endswith(" GiB of memory too little")
    assert by_name["smollm2-360m-instruct"].problem == "made for 8,192 tokens"
    assert by_name["gemma-3-270m"].fits
    assert largest(fits(machine(0.2), None)) is None
    small, large = (largest(fits(machine(memory), 8192)) for memory in (1.5, 64))
    assert small is not None
    assert large is not None
    assert small.parameters < large.parameters
    assert large.name == "mistral-nemo-instruct-2407"


def test_memory_grows_with_context_by_its_keys_and_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    short, long = (
        {fit.name: fit for fit in fits(machine(64), context)}["llama-3.2-3b-instruct"]
        for context in (1024, 131_072)
    )
    per_token = 28 * 8 * (2 * 128 + 4 * (128 // 32 + 1))
    assert long.memory_bytes - short.memory_bytes == (131_072 - 1024) * per_token
    found = fits(machine(64), 131_072, kv_format="int4")
    halved = {fit.name: fit for fit in found}["llama-3.2-3b-instruct"]
    assert long.memory_bytes - halved.memory_bytes == 131_072 * per_token // 2


def test_no_room_on_the_disk_is_told(penny: Penny, hub: HuggingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    done = penny.run("pull", f"hf:{REPO}")
    assert done.returncode == 1
    assert "MB of disk and" in done.stderr
    assert hub.cdn.requests == []
