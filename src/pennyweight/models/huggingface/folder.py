"""A folder as a source of weights: its tensors and settings under the names a GGUF file would have for them.

As with GGUF the files are hostile until checked, tensors are read with `os.preadv`, and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from pennyweight.errors import ModelFileError
from pennyweight.models.block_types import readable_names
from pennyweight.models.gguf_header import TensorInfo
from pennyweight.models.huggingface.consolidated import translate_params
from pennyweight.models.huggingface.families import FolderModel, translate
from pennyweight.models.huggingface.shards import is_consolidated, open_shards, settings_of
from pennyweight.models.huggingface.tensors import FolderTensor, folder_tensors, vector_bytes
from pennyweight.models.huggingface.text_files import read_text_files
from pennyweight.models.json_file import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pennyweight.models.safetensors import SafetensorsFile


class HuggingFaceFolder:
    """One open folder; `path` is the file that stands for it. Close it, or use `with`."""

    def __init__(
        self,
        path: Path,
        model: FolderModel,
        tensors: Mapping[str, FolderTensor],
        *,
        metadata: Mapping[str, Any],
        header_digests: tuple[bytes, ...],
        opened: ExitStack,
    ) -> None:
        """Use `HuggingFaceFolder.open`."""
        self.path = path
        self.metadata: Mapping[str, Any] = MappingProxyType({**model.metadata, **metadata})
        self.header_digests = header_digests
        self.rotary_rows: Final = model.rotary_rows
        self._stored = tensors
        self._computed = {name: vector_bytes(values) for name, values in model.tensors.items()}
        infos = {name: tensor.info for name, tensor in tensors.items()}
        infos |= {name: _vector_info(name, data) for name, data in self._computed.items()}
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(infos)
        self._opened = opened

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the folder of `path`, with all its files. ModelFileError for anything that is not one."""
        folder = path.parent
        config = read_object(settings_of(path))
        with ExitStack() as opened:
            try:
                model = translate_params(config) if is_consolidated(path) else translate(config)
                holders = open_shards(path, opened)
                tensors = folder_tensors(holders, model)
                if model.tied is False and "token_embd.weight" in tensors and "output.weight" not in tensors:
                    raise ModelFileError("the tensor 'lm_head.weight' is missing")
                texts = read_text_files(folder, config)
            except ModelFileError as error:
                raise ModelFileError(f"{folder.absolute().name}: {error.message}") from error
            return cls(
                path,
                model,
                tensors,
                metadata=texts.metadata,
                header_digests=(*_digests(model, holders), texts.digest),
                opened=opened.pop_all(),
            )

    def nbytes(self, name: str) -> int:
        """The size of one tensor; ModelFileError if there is none, or none that this engine reads."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ModelFileError(f"{self.path.parent.name}: there is no tensor {name!r}")
        if tensor.nbytes is None:
            raise ModelFileError(
                f"{self.path.parent.name}: tensor {name!r} has the type {tensor.type}; "
                f"this engine reads {readable_names()}"
            )
        return tensor.nbytes

    def read(self, name: str) -> bytearray:
        """The values of one tensor, row by row."""
        data = bytearray(self.nbytes(name))
        self.read_into(name, memoryview(data))
        return data

    def read_into(self, name: str, target: memoryview, *, start: int = 0) -> None:
        """Fill `target` with the tensor's bytes from `start` on. From any thread."""
        if name in self._computed:
            target[:] = self._computed[name][start : start + len(target)]
        elif len(self.tensors[name].shape) == 1:
            target[:] = self._stored[name].vector()[start : start + len(target)]
        else:
            self._stored[name].read_into(target, start=start)

    def close(self) -> None:
        """Close the files; closing twice does nothing."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _vector_info(name: str, data: bytes) -> TensorInfo:
    return TensorInfo(name=name, type="F32", shape=(len(data) // 4,), nbytes=len(data), file=0, offset=0)


def _digests(model: FolderModel, holders: Mapping[str, SafetensorsFile]) -> list[bytes]:
    """Of what the configuration means, and of the header of each file."""
    files = {file.path.name: file.header_digest for file in holders.values()}
    described = hashlib.sha256(repr((model.metadata, model.tensors, model.tied)).encode()).digest()
    return [described, *(files[name] for name in sorted(files))]
