"""What the Hugging Face hub says: which files a repository has at which commit, and where their bytes are.

`huggingface_hub` asks: it knows the token a person has stored, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and what the
hub's refusals mean. The bytes themselves come through `fetch_http` and `Receiver`, which go on where an
earlier try ended and check digests; that library does neither. It is imported by these functions alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from pennyweight.errors import FetchError
from pennyweight.models.fetch_http import Location, PassingError, is_passing, patiently

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_TIMEOUT_S: Final = 30.0
_LOG_IN: Final = "set HF_TOKEN, or store it with `hf auth login`"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a repository. `sha256` is known of large files, `git_blob` of all others."""

    name: str
    size: int
    sha256: str | None = None
    git_blob: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRepository:
    """A repository at one commit. `licence` and `architecture` (of GGUF files) are empty if nobody says."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str = ""
    architecture: str = ""


def hub_page(repo: str) -> str:
    """The address of a repository for people; `HF_ENDPOINT` names a mirror, as for Hugging Face's tools."""
    return f"{_endpoint()}/{repo}"


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids to ask."""
    from huggingface_hub.constants import is_offline_mode

    return is_offline_mode()


def look_up(repo: str, revision: str | None) -> HubRepository:
    """The repository now. FetchError says what it takes to be let in."""

    def ask() -> HubRepository:
        from huggingface_hub import HfApi

        api = HfApi(endpoint=_endpoint(), library_name="pennyweight")
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
        return _described(repo, info)

    return patiently(lambda: _explained(repo, revision or "main", ask))


def locate(repo: str, commit: str, file: str) -> Location:
    """Where the bytes of a file are at this moment, often on another host. FetchError as for `look_up`."""

    def ask() -> Location:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(repo, file, revision=commit, endpoint=_endpoint())
        found = get_hf_file_metadata(
            url, endpoint=_endpoint(), timeout=_TIMEOUT_S, library_name="pennyweight"
        )
        own = urlsplit(found.location).netloc == urlsplit(url).netloc
        headers = build_hf_headers(library_name="pennyweight") if own else {}
        return Location(url=found.location, headers=headers)

    return patiently(lambda: _explained(repo, commit, ask, file=file))


def cached(repo: str, commit: str, file: str) -> Path | None:
    """Where Hugging Face's own tools have put the file on this machine; None if they have not."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=commit)
    return Path(found) if isinstance(found, str) else None


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _described(repo: str, info: ModelInfo) -> HubRepository:
    if not info.sha or info.siblings is None:
        raise FetchError(f"{_endpoint()} does not say which files {repo} has")
    card: Any = info.card_data
    licence = "" if card is None else card.get("license_name") or card.get("license") or ""
    return HubRepository(
        repo=repo,
        commit=info.sha,
        files=tuple(
            _file(one) for one in info.siblings if one.size is not None and one.rfilename.isprintable()
        ),
        licence=_plain(licence if isinstance(licence, str) else ", ".join(map(str, licence))),
        architecture=_plain(str((info.gguf or {}).get("architecture", ""))),
    )


def _is_named(sibling: RepoSibling) -> bool:
    return sibling.size is not None and sibling.rfilename.isprintable()


def _plain(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())


def _file(sibling: RepoSibling) -> HubFile:
    size = sibling.size or 0
    if sibling.lfs is not None:
        return HubFile(name=sibling.rfilename, size=size, sha256=sibling.lfs.sha256)
    return HubFile(name=sibling.rfilename, size=size, git_blob=sibling.blob_id)


def _explained(repo: str, revision: str, ask: Callable[[], T], *, file: str = "") -> T:
    """What `ask` finds; the library's errors, which span several lines, become one sentence with a remedy."""
    import httpx2
    from huggingface_hub import errors

    host = urlsplit(_endpoint()).netloc
    try:
        return ask()
    except errors.OfflineModeIsEnabled as error:
        raise FetchError("HF_HUB_OFFLINE forbids to ask the hub; unset it, or pull a file by path") from error
    except errors.GatedRepoError as error:
        raise FetchError(_gated(repo, error.response.status_code)) from error
    except errors.RepositoryNotFoundError as error:
        raise FetchError(
            f"{host} has no repository {repo} that you may see; check the name, and for a private one "
            f"give a token: {_LOG_IN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FetchError(f"{repo} has no revision {revision!r}; leave it out for the newest") from error
    except errors.EntryNotFoundError as error:
        raise FetchError(f"{repo} has no file {file} at {revision}") from error
    except errors.HfHubHTTPError as error:
        raise _answered(host, error.response.status_code) from error
    except httpx2.TransportError as error:
        raise PassingError(f"{host} cannot be reached: {error or type(error).__name__}") from error
    except (ValueError, KeyError, TypeError, errors.FileMetadataError) as error:
        raise FetchError(f"{host} does not answer as a Hugging Face hub does; check HF_ENDPOINT") from error


def _gated(repo: str, status: int) -> str:
    asked = f"accept its terms at {hub_page(repo)}"
    if status == 401:
        return f"{repo} is gated: {asked}, then give a token of that account: {_LOG_IN}"
    return f"{repo} is gated, and the account of your token is not let in: {asked}, or wait to be"


def _answered(host: str, status: int) -> FetchError:
    if is_passing(status):
        return PassingError(f"{host} cannot be reached: it answers {status}")
    if status in (401, 403):
        return FetchError(f"{host} refuses the token ({status}); {_LOG_IN}, or unset a stale one")
    return FetchError(f"{host} answered {status}")
