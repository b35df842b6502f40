"""Models of a hub, fetched over real HTTP from one on this machine that redirects, cuts, lies and refuses."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import constants

from pennyweight.errors import FetchError, ModelFileError
from pennyweight.models import fetch_http
from pennyweight.models.address import HubAddress, parse_address
from pennyweight.models.cache import models_folder
from pennyweight.models.delivery import deliver
from pennyweight.models.fetch_hub import hub_order, offer
from pennyweight.models.local import installed_models, remove, resolve
from pennyweight.models.pulled import read_pulled
from pennyweight.models.registry import register
from tests.models.fake_hugging_face import COMMIT, HuggingFace, Repository, repository, serving
from tests.models.huggingface.tiny_folder import write_folder
from tests.models.tiny import llama_shape, write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = "owner/tiny-GGUF"
OTHER_COMMIT = "f" * 40
ENCODER = b'{"model_type": "bert"}'
DATA = random.Random(5).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch_http, "_PAUSE_S", 0.01)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HuggingFace]:
    files = {"tiny-Q4_K_M.gguf": DATA, "tiny-Q8_0.gguf": DATA + DATA, "README.md": b"a card"}
    with serving(HuggingFace(repositories={REPO: repository(files)})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def fetch(text: str, *, name: str | None = None, replace: bool = False) -> Path:
    address = parse_address(text)
    assert isinstance(address, HubAddress)
    found = offer(address, memory_bytes=2**32)
    return deliver(hub_order(address, found, name=name), replace=replace)


def contents() -> list[str]:
    """What is in the folder of models, hidden things apart."""
    return sorted(path.name for path in models_folder().iterdir() if not path.name.startswith("."))


def partial() -> list[Path]:
    return [path for path in models_folder().glob(".partial-*/*") if path.is_file()]


def test_the_default_file_arrives_from_another_host_and_is_pinned(hub: HuggingFace) -> None:
    path = fetch(f"hf:{REPO}")
    assert path.read_bytes() == DATA
    assert contents() == ["tiny-Q4_K_M.gguf"]
    known = read_pulled("tiny-Q4_K_M")
    assert known is not None
    assert (known.commit, known.licence) == (COMMIT, "apache-2.0")
    assert known.source == f"hf:{REPO}@{COMMIT}:tiny-Q4_K_M.gguf"
    assert f"HEAD /{REPO}/resolve/{COMMIT}/tiny-Q4_K_M.gguf" in hub.requests
    assert len(hub.cdn.requests) == 1


def test_what_is_here_is_not_fetched_again(hub: HuggingFace) -> None:
    fetch(f"hf:{REPO}")
    fetch(f"hf:{REPO}@main:Q4_K_M")
    assert len(hub.cdn.requests) == 1
    (models_folder() / "tiny-Q4_K_M.gguf").write_bytes(DATA[:-1] + b"x")
    with pytest.raises(FetchError, match="there already with other bytes, from hf:owner/tiny-GGUF@1234"):
        fetch(f"hf:{REPO}")
    assert fetch(f"hf:{REPO}", replace=True).read_bytes() == DATA


def test_a_file_copied_there_by_hand_is_recognised(hub: HuggingFace) -> None:
    models_folder().mkdir(parents=True)
    (models_folder() / "tiny-Q4_K_M.gguf").write_bytes(DATA)
    fetch(f"hf:{REPO}")
    assert hub.cdn.requests == []
    assert read_pulled("tiny-Q4_K_M") is not None


def test_what_other_tools_have_in_their_cache_is_copied(hub: HuggingFace) -> None:
    snapshot = Path(constants.HF_HUB_CACHE) / f"models--{REPO.replace('/', '--')}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "tiny-Q4_K_M.gguf").write_bytes(DATA)
    assert fetch(f"hf:{REPO}").read_bytes() == DATA
    assert hub.cdn.requests == []
    (snapshot / "tiny-Q8_0.gguf").write_bytes(DATA + DATA[::-1])
    assert fetch(f"hf:{REPO}:Q8_0").read_bytes() == DATA + DATA
    assert len(hub.cdn.requests) == 1


def test_revisions(hub: HuggingFace) -> None:
    newer = DATA[::-1]
    repo = hub.repositories[REPO]
    repo.commits[OTHER_COMMIT] = {"tiny-Q4_K_M.gguf": newer}
    repo.branches = {"main": OTHER_COMMIT, "v1": COMMIT, "refs/pr/1": COMMIT}
    assert fetch(f"hf:{REPO}@v1").read_bytes() == DATA
    with pytest.raises(FetchError, match="--name NAME keeps both"):
        fetch(f"hf:{REPO}")
    assert fetch(f"hf:{REPO}", name="newest").read_bytes() == newer
    assert contents() == ["newest.gguf", "tiny-Q4_K_M.gguf"]
    assert fetch(f"hf:{REPO}@refs/pr/1:Q8_0").read_bytes() == DATA + DATA
    assert fetch(f"hf:{REPO}@{COMMIT}") == models_folder() / "tiny-Q4_K_M.gguf"
    with pytest.raises(FetchError, match="has no revision 'v9'; leave it out for the newest"):
        fetch(f"hf:{REPO}@v9")


def test_a_cut_transfer_goes_on_where_it_broke(hub: HuggingFace) -> None:
    hub.cdn.cut_after = [1_000_000, 500_000]
    assert fetch(f"hf:{REPO}").read_bytes() == DATA
    assert [wanted for _, wanted in hub.cdn.requests] == [None, "bytes=1000000-", "bytes=1500000-"]
    # each connection asks the hub for a fresh address: signed ones expire
    assert sum(request.startswith("HEAD") for request in hub.requests) == 3


def test_an_interrupted_command_goes_on_where_it_ended(hub: HuggingFace) -> None:
    hub.cdn.cut_after = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(FetchError, match="what has arrived is kept, and the same command goes on"):
        fetch(f"hf:{REPO}")
    assert contents() == []
    assert [path.stat().st_size for path in partial()] == [1_000_000]
    hub.cdn.requests.clear()
    assert fetch(f"hf:{REPO}").read_bytes() == DATA
    assert [wanted for _, wanted in hub.cdn.requests] == ["bytes=1000000-"]
    assert partial() == []


def test_wrong_bytes_are_refused_and_forgotten(hub: HuggingFace) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    hub.cdn.files[f"/{digest}"] = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with pytest.raises(FetchError, match=f"its SHA-256 is .* instead of {digest}"):
        fetch(f"hf:{REPO}")
    assert contents() == []
    hub.cdn.files[f"/{digest}"] = DATA[:-1]
    with pytest.raises(FetchError, match="sends 2999999 bytes instead of 3000000"):
        fetch(f"hf:{REPO}")
    hub.cdn.files[f"/{digest}"] = DATA
    assert fetch(f"hf:{REPO}").read_bytes() == DATA


def test_a_lack_of_space_is_said_before_the_download(
    hub: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"needs 3 MB of disk and .* has 1 MB free; remove a model"):
        fetch(f"hf:{REPO}")
    assert hub.cdn.requests == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hub_that_stumbles_is_asked_again(hub: HuggingFace, status: int) -> None:
    hub.statuses = [status] * 2
    assert fetch(f"hf:{REPO}").read_bytes() == DATA
    hub.statuses = [status] * 99
    with pytest.raises(FetchError, match=f"cannot be reached: it answers {status}"):
        fetch(f"hf:{REPO}:Q8_0")


def test_no_network_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9 cannot be reached") as failure:
        fetch(f"hf:{REPO}")
    assert "\n" not in failure.value.message


def test_a_server_that_is_no_hub(hub: HuggingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.cdn.files[f"/api/models/{REPO}"] = b"<html>"
    hub.cdn.files[f"/api/models/{REPO}?blobs=True"] = b"<html>"
    hub.cdn.files[f"/api/models/{REPO}?blobs=true"] = b"<html>"
    monkeypatch.setenv("HF_ENDPOINT", hub.cdn.address)
    with pytest.raises(FetchError, match="does not answer as a Hugging Face hub does; check HF_ENDPOINT"):
        fetch(f"hf:{REPO}")


def test_a_gated_repository(hub: HuggingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[REPO].gated = True
    hub.tokens = {"stranger": set(), "friend": {REPO}}
    with pytest.raises(FetchError, match=f"gated: accept its terms at {hub.address}/{REPO}, then give"):
        fetch(f"hf:{REPO}")
    monkeypatch.setenv("HF_TOKEN", "stranger")
    with pytest.raises(FetchError, match="the account of your token is not let in"):
        fetch(f"hf:{REPO}")
    monkeypatch.setenv("HF_TOKEN", "expired")
    with pytest.raises(FetchError, match=r"refuses the token \(401\)"):
        fetch(f"hf:{REPO}")
    monkeypatch.setenv("HF_TOKEN", "friend")
    assert fetch(f"hf:{REPO}").read_bytes() == DATA
    assert "Bearer friend" in hub.authorizations
    assert hub.cdn.authorizations == [None], "the token is for the hub alone"


def test_a_stored_token_is_found(hub: HuggingFace) -> None:
    hub.repositories[REPO].gated = True
    hub.tokens = {"friend": {REPO}}
    Path(constants.HF_TOKEN_PATH).write_text("friend\n")
    assert fetch(f"hf:{REPO}").read_bytes() == DATA


def test_a_small_file_of_a_gated_repository_needs_the_token_to_the_end(
    hub: HuggingFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[REPO] = repository({"tiny-Q4_0.gguf": DATA[:500]}, gated=True)
    hub.tokens = {"friend": {REPO}}
    monkeypatch.setenv("HF_TOKEN", "friend")
    assert fetch(f"hf:{REPO}").read_bytes() == DATA[:500]
    assert set(hub.authorizations) == {"Bearer friend"}


def test_a_repository_that_is_not_there_or_private(hub: HuggingFace, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["owner/secret"] = repository({"a-Q4_0.gguf": DATA}, private=True)
    hub.tokens = {"friend": {"owner/secret"}}
    for name in ("owner/nothing", "owner/secret"):
        with pytest.raises(FetchError, match=f"no repository {name} that you may see; check the name"):
            fetch(f"hf:{name}")
    monkeypatch.setenv("HF_TOKEN", "friend")
    assert fetch("hf:owner/secret").read_bytes() == DATA


def test_an_architecture_nobody_runs_is_said_before_the_download(hub: HuggingFace) -> None:
    hub.repositories[REPO].architecture = "mamba-of-2031"
    with pytest.raises(FetchError, match="'mamba-of-2031' is not supported"):
        fetch(f"hf:{REPO}")
    assert hub.cdn.requests == []


def test_what_a_terminal_would_obey_is_left_out(hub: HuggingFace) -> None:
    files = {"a-Q4_0.gguf": DATA, "\x1b[31mb-Q4_K_M.gguf": DATA}
    hub.repositories[REPO] = repository(files, licence="mit\x1b]0;title\x07")
    found = offer(HubAddress(repo=REPO), memory_bytes=2**32)
    assert found.repository.licence == "mit]0;title"
    assert [variant.name for variant in found.variants] == ["a-Q4_0.gguf"]


def test_a_split_model_comes_whole(hub: HuggingFace) -> None:
    shards = {f"Q4_0/big-Q4_0-0000{n}-of-00003.gguf": DATA[: 5000 * n] for n in (1, 2, 3)}
    hub.repositories[REPO] = repository({**shards, "old-Q8_0-00001-of-00002.gguf": DATA})
    path = fetch(f"hf:{REPO}", name="large")
    assert contents() == [f"large-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert path.name == "large-00001-of-00003.gguf"
    assert [(models_folder() / name).stat().st_size for name in contents()] == [5000, 10_000, 15_000]
    with pytest.raises(FetchError, match="has no Q8_0; it has Q4_0/big-Q4_0-00001"):
        fetch(f"hf:{REPO}:Q8_0")


def test_a_folder_of_safetensors_comes_without_pickles(hub: HuggingFace) -> None:
    wanted = {
        "config.json": ENCODER,
        "tokenizer.json": DATA[:2000],
        "model.safetensors": DATA[:4000],
        "1_Pooling/config.json": b"{}",
    }
    other = {"pytorch_model.bin": DATA, "onnx/model.onnx": DATA, "evil.py": b"print()", "../out": b"x"}
    hub.repositories["owner/Folder"] = repository({**wanted, **other})
    path = fetch("hf:owner/Folder")
    assert path == models_folder() / "Folder" / "model.safetensors"
    found = {str(file.relative_to(path.parent)): file.read_bytes() for file in path.parent.rglob("*.*")}
    assert {name: data for name, data in found.items() if name != "1_Pooling"} == wanted
    assert [model.name for model in installed_models()] == ["Folder"]
    assert installed_models()[0].source == f"hf:owner/Folder@{COMMIT}"
    assert fetch("hf:owner/Folder") == path
    remove("Folder")
    assert read_pulled("Folder") is None
    assert contents() == []


def test_a_small_file_with_other_bytes_is_refused(hub: HuggingFace) -> None:
    good = {"config.json": ENCODER, "model.safetensors": DATA[:4000]}
    lying = Repository(commits={COMMIT: dict(good)})
    hub.repositories["owner/Folder"] = lying
    address = HubAddress(repo="owner/Folder")
    order = hub_order(address, offer(address, memory_bytes=0), name=None)
    lying.commits[COMMIT]["config.json"] = ENCODER.replace(b"bert", b"hurt")
    with pytest.raises(FetchError, match=r"config\.json could not be fetched: its git SHA-1 is"):
        deliver(order)


def test_a_config_nobody_runs_is_said_before_the_weights_come(hub: HuggingFace) -> None:
    config = b'{"architectures": ["MambaForCausalLM"]}'
    files = {"config.json": config, "model.safetensors": DATA, "tokenizer.json": DATA}
    hub.repositories["owner/Folder"] = repository(files)
    with pytest.raises(ModelFileError, match=r"owner/Folder: .* 'MambaForCausalLM' is not supported"):
        fetch("hf:owner/Folder")
    assert hub.cdn.requests == []
    assert contents() == []


def test_a_sharded_folder_of_this_engine_is_usable_at_once(hub: HuggingFace, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", llama_shape(kind="F16", kinds={}), shards=2)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub.repositories["owner/Sharded"] = repository(files | {"model-00003-of-00002.bin": b"x"})
    path = fetch("hf:owner/Sharded")
    assert path == models_folder() / "Sharded" / "model.safetensors.index.json"
    (found,) = installed_models()
    assert (found.name, found.problem, found.architecture) == ("Sharded", None, "llama")
    assert resolve("Sharded") == path
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(files)


KILLED_BEFORE_PLACING = """
    import os, signal
    from pennyweight.models import delivery
    from tests.models.test_fetch_hub import REPO, fetch

    delivery._place_all = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    fetch(f"hf:{REPO}")
"""


def test_a_killed_fetch_leaves_no_model_and_the_next_one_needs_no_network(hub: HuggingFace) -> None:
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_BEFORE_PLACING)],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])},
    )
    assert killed.returncode == -signal.SIGKILL
    assert contents() == []
    assert installed_models() == []
    assert len(hub.cdn.requests) == 1
    assert fetch(f"hf:{REPO}").read_bytes() == DATA
    assert len(hub.cdn.requests) == 1


def test_replacing_a_folder_leaves_nothing_of_the_old_one(hub: HuggingFace) -> None:
    files = {"config.json": ENCODER, "model.safetensors": DATA[:4000], "merges.txt": b"a b"}
    hub.repositories["owner/Folder"] = repository(files)
    fetch("hf:owner/Folder")
    newer = {"config.json": ENCODER, "model.safetensors": DATA[:5000]}
    hub.repositories["owner/Folder"].commits[OTHER_COMMIT] = newer
    hub.repositories["owner/Folder"].branches = {"main": OTHER_COMMIT}
    path = fetch("hf:owner/Folder", replace=True)
    assert sorted(file.name for file in path.parent.iterdir()) == ["config.json", "model.safetensors"]
    assert contents() == ["Folder"]


@pytest.mark.parametrize("source", ["hf:owner/Folder", f"hf:{REPO}"])
@pytest.mark.parametrize("of_folder", [True, False])
def test_replacing_a_registered_model_leaves_what_it_stood_for(
    hub: HuggingFace, tmp_path: Path, source: str, of_folder: bool
) -> None:
    hub.repositories["owner/Folder"] = repository({"config.json": ENCODER, "model.safetensors": DATA})
    shape = llama_shape(kind="F16", kinds={})
    own = write_folder(tmp_path / "own", shape) if of_folder else write_tiny_llama(tmp_path / "own.gguf")
    before = {path: path.read_bytes() for path in tmp_path.glob("own*/*")} | (
        {} if of_folder else {own: own.read_bytes()}
    )
    register("mine", own)
    with pytest.raises(FetchError, match="--replace takes"):
        fetch(source, name="mine")
    path = fetch(source, name="mine", replace=True)
    assert resolve("mine") == path
    assert not path.is_symlink()
    assert not path.parent.is_symlink()
    assert len(contents()) == 1
    assert before
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_of_this_engine_is_usable_at_once(hub: HuggingFace, tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "tiny-llama-Q4_0.gguf").read_bytes()
    hub.repositories[REPO] = repository({"tiny-llama-Q4_0.gguf": model}, architecture="llama")
    fetch(f"hf:{REPO}", name="mine")
    (found,) = installed_models()
    assert (found.name, found.problem, found.architecture) == ("mine", None, "llama")


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "smollm2-135m-instruct"])
def test_names_that_cannot_be(hub: HuggingFace, name: str) -> None:
    address = HubAddress(repo=REPO)
    order = hub_order(address, offer(address, memory_bytes=2**32), name="x")
    with pytest.raises(FetchError, match="give another with --name"):
        deliver(replaced(order, name=name))
    assert hub.cdn.requests == []
