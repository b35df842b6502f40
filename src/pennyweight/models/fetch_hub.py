"""Orders for models of the Hugging Face hub: a revision pinned to its commit, files chosen, digests known.

Asking twice for the same commit fetches nothing; without a network, what an address was pulled to before is
what it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pennyweight.errors import FetchError, ModelFileError
from pennyweight.models import fetch_http, hub
from pennyweight.models.architectures import architecture_of
from pennyweight.models.bert import NAME as ENCODER
from pennyweight.models.delivery import Item, Order
from pennyweight.models.gguf import model_stem
from pennyweight.models.hub_choice import Choice, Variant, choose, gguf_variants
from pennyweight.models.huggingface.consolidated import translate_params
from pennyweight.models.huggingface.families import translate
from pennyweight.models.huggingface.shards import FOLDER_FILES
from pennyweight.models.json_file import read_object

if TYPE_CHECKING:
    from pennyweight.models.address import HubAddress
    from pennyweight.models.fetch_pypi import Report
    from pennyweight.models.receiver import Receiver


_SETTINGS: Final = ("config.json", "params.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOffer:
    """What a repository has, and what of it would be fetched."""

    repository: hub.HubRepository
    variants: tuple[Variant, ...]
    choice: Choice


def offer(address: HubAddress, *, memory_bytes: int) -> HubOffer:
    """Ask the hub. FetchError for what is not there, or not for you, or that this engine does not run."""
    repository = hub.look_up(address.repo, address.revision)
    choice = choose(repository, address.file, memory_bytes=memory_bytes)
    if choice.form == "gguf" and repository.architecture:
        try:
            architecture_of({"general.architecture": repository.architecture})
        except ModelFileError as error:
            raise FetchError(f"{address.repo}: {error.message}") from error
    return HubOffer(repository=repository, variants=tuple(gguf_variants(repository.files)), choice=choice)


def hub_order(address: HubAddress, found: HubOffer, *, name: str | None) -> Order:
    """The order for what was offered; `name` None: called as its file, or its repository, is."""
    repository, choice = found.repository, found.choice
    stem = model_stem(Path(choice.files[0].name))
    name = name or (stem if choice.form == "gguf" else repository.repo.split("/")[1])
    items = [
        Item(
            target=_target(name, file.name, stem, choice),
            size=file.size,
            sha256=file.sha256,
            git_blob=file.git_blob,
            receive=partial(_receive, repository, file.name),
            check=partial(_check_config, repository.repo) if file.name in _SETTINGS else None,
        )
        for file in choice.files
    ]
    if choice.form == "safetensors":
        items.sort(key=lambda item: not item.target.endswith(FOLDER_FILES))
    whole = "" if choice.form == "safetensors" else f":{choice.files[0].name}"
    return Order(
        name=name,
        items=tuple(items),
        asked=str(address),
        source=f"hf:{repository.repo}@{repository.commit}{whole}",
        key=f"{repository.repo}@{repository.commit}{whole} as {name}",
        commit=repository.commit,
        licence=repository.licence,
    )


def _target(name: str, file: str, stem: str, choice: Choice) -> str:
    """Where a file goes: beside the other models under the model's name, or in a folder of that name."""
    if choice.form == "safetensors":
        return f"{name}/{file}"
    return name + Path(file).name.removeprefix(stem)


def _receive(repository: hub.HubRepository, file: str, receiver: Receiver, report: Report) -> None:
    here = hub.cached(repository.repo, repository.commit, file)
    if here is not None and here.stat().st_size == receiver.size:
        receiver.restart()
        with here.open("rb") as stream:
            receiver.copy(stream)
        if receiver.mistake() is None:
            return
        receiver.restart()
    locate = partial(hub.locate, repository.repo, repository.commit, file)
    fetch_http.receive(locate, receiver, report=report)


def _check_config(repo: str, path: Path) -> None:
    """Raise ModelFileError for a model that this engine does not run, before its weights are fetched."""
    config = read_object(path)
    if config.get("model_type") == ENCODER:
        return
    try:
        found = translate_params(config) if path.name == "params.json" else translate(config)
        architecture_of(found.metadata)
    except ModelFileError as error:
        raise ModelFileError(f"{repo}: {error.message}") from error
