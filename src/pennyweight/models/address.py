"""What a person may write after `penny pull` instead of a name: `hf:owner/name`, a URL, a path.

`hf:owner/name[@revision][:file]`; in place of the file a type such as `Q4_K_M`, or `safetensors`. Pages of
the hub itself (`https://huggingface.co/owner/name/blob/main/m.gguf`) mean the same.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pennyweight.errors import FetchError
from pennyweight.models.catalog import LocalPath, Url

_PART: Final = r"[A-Za-z0-9][\w.-]{0,95}"
_HUB: Final = re.compile(
    rf"hf:(?P<repo>{_PART}/{_PART})(?:@(?P<revision>[^:\s]+))?(?::(?P<file>[^\s].*))?", re.ASCII
)
_HUB_PAGE: Final = re.compile(
    rf"/(?P<repo>{_PART}/{_PART})(?:/(?:resolve|blob|tree)/(?P<revision>[^/]+)(?:/(?P<file>.+))?)?/?",
    re.ASCII,
)
_HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAddress:
    """A Hugging Face repository. `revision` None: its main branch; `file` None: what suits this machine."""

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"hf:{self.repo}{revision}{'' if self.file is None else f':{self.file}'}"


Address = HubAddress | Url | LocalPath


def parse_address(text: str) -> Address | None:
    """Where `text` leads; None if it is a plain name. FetchError says how an address is written."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        is_path = os.sep in text or text.startswith("~") or text.endswith((".gguf", ".safetensors"))
        return _path(text) if is_path else None
    if scheme[0].lower() in ("http:", "https:"):
        return _page(text) or Url(url=text)
    if scheme[0] == "hf:":
        return _hub(text)
    if Path(text).exists():
        return LocalPath(path=text)
    raise FetchError(
        f"{text!r} cannot be fetched: write hf:OWNER/NAME, an http or https address, or the path of a file"
    )


def _hub(text: str) -> HubAddress:
    match = _HUB.fullmatch(text)
    file = None if match is None else match["file"]
    if match is None or (file is not None and not _is_inside(file)):
        raise FetchError(f"{text!r} is no address: write hf:OWNER/NAME or hf:OWNER/NAME@REVISION:FILE")
    return HubAddress(repo=match["repo"], revision=match["revision"], file=file)


def _page(url: str) -> HubAddress | None:
    """The repository a page of the hub is about; None for an address elsewhere."""
    parts = urlsplit(url)
    match = _HUB_PAGE.fullmatch(parts.path) if parts.netloc in _HUB_HOSTS else None
    if match is None:
        return None
    revision, file = (None if part is None else unquote(part) for part in match.group("revision", "file"))
    if file is not None and not _is_inside(file):
        return None
    return HubAddress(repo=match["repo"], revision=revision, file=file)


def _path(text: str) -> LocalPath:
    path = Path(text).expanduser()
    if not path.exists():
        hint = f"; for Hugging Face write hf:{text}" if re.fullmatch(f"{_PART}/{_PART}", text) else ""
        raise FetchError(f"there is no file {text}{hint}")
    return LocalPath(path=str(path))


def _is_inside(file: str) -> bool:
    return not any(part in ("", ".", "..") for part in file.split("/"))
