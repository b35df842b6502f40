"""`penny run --model ft:...`: an answer of a model that was fine-tuned here, without a server."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.models.adapter.files import AdapterFiles, content_identity
from pennyweight.store.blobs import BlobStore
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.projects import DEFAULT_PROJECT
from pennyweight.store.tuned_models import StoredModel, StoredModels
from pennyweight.store.tuning_jobs import TuningJobs
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.huggingface.tiny_folder import write_folder
from tests.models.tiny import llama_shape, write_tiny, write_tiny_llama
from tests.store.tuned import new_job

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny

NAME = "ft:mine:pennyweight:own:12345678"


def keep(data: Path, adapter: Path, *, base: str, source: Path | None = None) -> None:
    """The adapter in the folder, as if it had been trained here, by a job that is known with a `source`."""
    (data / "blobs").mkdir(parents=True, exist_ok=True)
    folder = DataFolder.open(str(data))
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    with Database.open(folder.database_url) as database:
        blobs = BlobStore(folder.path, database)
        with blobs.receive(DEFAULT_PROJECT, max_bytes=len(weights)) as incoming:
            incoming.write(weights)
            blob = incoming.finish()
            model = StoredModel(
                name=NAME,
                project_id=DEFAULT_PROJECT,
                job_id="ftjob-12345678",
                base=base,
                identity=content_identity(AdapterFiles.of(adapter)),
                config=(adapter / "adapter_config.json").read_text(encoding="utf-8"),
                card="",
                step=None,
                created_at=int(time.time()),
            )
            database.write_now(lambda c: StoredModels().add(c, model, blob))
            if source is not None:
                job = replace(new_job(), id=model.job_id, project_id=DEFAULT_PROJECT, source=str(source))
                database.write_now(lambda c: TuningJobs().add(c, job, blob, None))


def test_it_answers_as_its_base_with_the_adapter(penny: Penny, tmp_path: Path) -> None:
    base = str(write_tiny_llama(tmp_path / "tiny.gguf"))
    adapter = write_adapter(tmp_path / "adapter", llama_shape())
    assert penny.run("models", "add", "mine", base).returncode == 0
    keep(tmp_path / "data" / "pennyweight", adapter, base="mine")
    asked = ("run", "Hi", "--temperature", "0", "--max-tokens", "8")
    tuned = penny.run(*asked, "--model", NAME)
    assert tuned.returncode == 0, tuned.stderr
    assert tuned.stdout == penny.run(*asked, "--model", "mine", "--adapter", str(adapter)).stdout
    assert tuned.stdout != penny.run(*asked, "--model", "mine").stdout


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_base_that_was_given_by_its_path(is_folder: bool, penny: Penny, tmp_path: Path) -> None:
    shape = llama_shape(kind="F16", kinds={})
    source = tmp_path / "own.gguf"
    if is_folder:
        source = write_folder(tmp_path / "own", shape) / "model.safetensors"
    else:
        write_tiny(source, shape)
    adapter = write_adapter(tmp_path / "adapter", shape)
    keep(tmp_path / "data" / "pennyweight", adapter, base="own", source=source)
    asked = ("run", "Hi", "--temperature", "0", "--max-tokens", "8")
    tuned = penny.run(*asked, "--model", NAME)
    assert tuned.returncode == 0, tuned.stderr
    own = str(source.parent if is_folder else source)
    assert tuned.stdout == penny.run(*asked, "--model", own, "--adapter", str(adapter)).stdout
    source.unlink()
    gone = penny.run(*asked, "--model", NAME)
    assert gone.returncode == 1
    assert f"was trained from {source}, which is not there any more; put it back" in gone.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model", "ft:mine:pennyweight::none"), "nothing is kept yet"),
        (("--model", NAME, "--adapter", "."), "has an adapter of its own"),
    ],
)
def test_what_cannot_answer_is_told(penny: Penny, flags: tuple[str, ...], message: str) -> None:
    done = penny.run("run", "Hi", *flags)
    assert done.returncode != 0
    assert message in done.stderr
