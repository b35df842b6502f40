"""A package index in a folder: wheels made on the spot, found through pip's own environment variables."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

from pennyweight.core import SamplingParams
from pennyweight.models.catalog import CatalogEntry, Licence, PyPIWheels, Source, Wheel, WheelMember

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

FREE = Licence(name="Apache-2.0", url="https://example.org/licence")


def use_folder_as_index(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make `folder` the one place pip and uv look in."""
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(folder),
    }.items():
        monkeypatch.setenv(name, value)


def make_wheel(folder: Path, package: str, members: Mapping[str, bytes], *, version: str = "1.0") -> Path:
    """A wheel that depends on a package nobody has: installing it whole would fail."""
    stem = f"{package.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    contents = dict(members) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        "Requires-Dist: a-package-nobody-has\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in contents.items())
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in contents.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return path


def member(package: str, name: str, *, version: str = "1.0") -> WheelMember:
    return WheelMember(wheel=Wheel(package=package, version=version, num_bytes=1000), member=name)


def wheels(*parts: WheelMember) -> PyPIWheels:
    return PyPIWheels(parts=parts)


def entry_for(data: bytes, *sources: Source, name: str = "tiny", licence: Licence = FREE) -> CatalogEntry:
    """An entry whose file is `data`."""
    return CatalogEntry(
        name=name,
        file_name=f"{name}.gguf",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        licence=licence,
        context_length=512,
        summary="a test",
        sources=sources,
        sampling=SamplingParams(),
    )


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
