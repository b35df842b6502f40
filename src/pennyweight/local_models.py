"""Models that run here beside the first one: what the settings say of each.

In the settings file a table `[models.NAME]` with `path`, a model file or folder, and if need be `context`,
`parallel` and `kv_cache_dtype` of its own; one with `upstream` instead is a model elsewhere (`upstreams`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pennyweight.errors import ConfigError
from pennyweight.kv_format import KvFormat, check_kv_format

_FIELDS: Final = ("path", "context", "parallel", "kv_cache_dtype")
_LARGEST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """One model, served as `name`. `source` is a name or a path; None: the default model.

    `context`, `parallel` and `kv_cache_dtype` None: those of the server.
    """

    name: str
    source: str | None
    context: int | None = None
    parallel: int | None = None
    kv_cache_dtype: KvFormat | None = None


def read_local_models(value: object, source: str) -> dict[str, LocalModel]:
    """Tables by the names of their models, checked. ConfigError names what is wrong and `source`."""
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: models are tables [models.NAME], not {value!r}")
    return {name: _read(name, table, f"{source}: [models.{name}]") for name, table in value.items()}


def _read(name: str, table: object, place: str) -> LocalModel:
    if not name or not name.isprintable():
        raise ConfigError(f"{place}: a model's name must be a text that is not empty")
    if not isinstance(table, dict) or "path" not in table:
        raise ConfigError(
            f"{place} needs a 'path' of a model here, or an 'upstream', the address of one elsewhere"
        )
    if unknown := sorted(set(table) - set(_FIELDS)):
        raise ConfigError(f"{place} has the unknown key {unknown[0]!r}; keys are {', '.join(_FIELDS)}")
    path = table["path"]
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{place} 'path' must be a text that is not empty, not {path!r}")
    sizes = {key: _size(table[key], f"{place} {key!r}") for key in ("context", "parallel") if key in table}
    kv_cache_dtype = _kv_format(table["kv_cache_dtype"], place) if "kv_cache_dtype" in table else None
    return LocalModel(name=name, source=path, kv_cache_dtype=kv_cache_dtype, **sizes)


def _kv_format(value: Any, place: str) -> KvFormat:
    try:
        return check_kv_format("" if value is None else value)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}") from error


def _size(value: Any, place: str) -> int:
    if type(value) is not int or not 1 <= value <= _LARGEST:
        raise ConfigError(f"{place} must be a whole number from 1 to {_LARGEST}, not {value!r}")
    return value
