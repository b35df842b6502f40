"""Settings of the program: a TOML file, overridden by the environment, overridden by command-line flags.

The file is `PENNYWEIGHT_CONFIG`, else `pennyweight/config.toml` in the XDG configuration folder; a setting
`port` is `PENNYWEIGHT_PORT` in the environment. An unknown key in either is an error that names it and the
nearest known one: a misspelt `api_key` must not start a server without a key.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.errors import ConfigError
from pennyweight.local_models import LocalModel, read_local_models
from pennyweight.upstreams import Upstream, read_upstreams, upstream_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PREFIX = "PENNYWEIGHT_"
_READ_ELSEWHERE = frozenset(
    {"PENNYWEIGHT_CONFIG", "PENNYWEIGHT_FAILPOINT", "PENNYWEIGHT_ISA", "PENNYWEIGHT_SHARED"}
)
_LARGEST = 2**31 - 1
_BOUNDS = {"port": (0, 65535), "batch_share": (0, 90)}
_EXPECTED: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    tuple: "a list of texts",
    dict: "a table of texts",
    list: "a list of tables in the settings file",
    Decimal: "a number",
}
NO_MODEL = "none"
"""The setting `model` of a server that only passes requests on."""
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default. `context`, `parallel`, `threads` None: chosen to suit the machine."""

    model: str = "smollm2-135m-instruct"  # a catalog name, the path of a GGUF file, or `none`
    further_models: tuple[str, ...] = ()  # likewise; served too, and loaded when first asked for
    models: dict[str, LocalModel] = field(default_factory=dict)  # likewise, under names of one's own
    all_installed: bool = False  # serve all other installed models too
    load_timeout: int = 120  # seconds that a request waits for its model to be loaded
    unload_after: int | None = None  # seconds after which an idle model is unloaded; None: for others alone
    embedding_model: str | None = None  # a name or path; None: the default one, at the first request
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free port
    api_key: str | None = None
    insecure: bool = False  # serve beyond this machine without a key
    data: str | None = None  # folder of the database and the files; None: in the XDG data folder
    database: str | None = None  # URL of a PostgreSQL database; None: a file in the data folder
    record: bool = False  # keep chats and responses that do not say whether to; only with people's consent
    redact: str | None = None  # `module:function` that sees what is to be kept first
    keep_generations_days: int = 30  # stored answers, counted from their end
    keep_events_days: int = 1  # what a stored answer streamed
    keep_usage_days: int = 400
    context: int | None = None  # tokens of prompt and answer together
    parallel: int | None = None  # whole contexts that fit the memory for keys and values at once
    memory: str | None = None  # ceiling on the whole process, such as 1.5GiB
    threads: int | None = None
    weights: str | None = None  # q8_0, q4_0 or q4_1: what models of floats are rounded to as they are read
    kv_cache_dtype: str | None = None  # int8 or int4: what keys and values are kept in; None: int8
    prefix_cache_dir: str | None = None  # folder that prefixes of prompts are spilled to; None: nowhere
    prefix_cache_size: str | None = None  # most that they take there, such as 2GiB
    batch_share: int = 10  # percent of the engine's time that batches get although people wait
    max_queued_batches: int = 100  # of one project, that have not ended
    max_queued_batch_bytes: int = 2_000_000_000  # of their inputs together
    max_queued_answers: int = 1000  # of one project: runs and responses in the background under way
    tuning_jobs: int = 1  # jobs of fine-tuning that are trained at a time
    tuning_threads: int | None = None  # of a trainer; None: one per physical core, behind all else
    max_body_bytes: int = 32 * 2**20
    aliases: dict[str, str] = field(default_factory=dict)  # further names of models served
    adapters: dict[str, str] = field(default_factory=dict)  # names and folders that PEFT saved
    upstream: dict[str, Upstream] = field(default_factory=dict)  # models elsewhere, by the names served here
    allow_hosts: tuple[str, ...] = ()  # names this server is asked by, beside its address
    allow_origins: tuple[str, ...] = ()  # of web pages that may ask this server
    vocabularies: str | None = None  # folder of published vocabularies, such as o200k_base.tiktoken
    prices: list[dict[str, object]] = field(default_factory=list)  # the price list; `cost/price_list.py`
    hardware_per_hour: Decimal | None = None  # dollars that this machine costs, busy or not
    power_per_kwh: Decimal | None = None  # dollars
    idle_watts: Decimal | None = None  # of the whole machine, at the wall
    busy_watts: Decimal | None = None  # likewise with all cores at work

    @classmethod
    def load(cls, flags: Mapping[str, object], *, environ: Mapping[str, str] | None = None) -> Settings:
        """Merge file, environment and `flags` (None: not given). ConfigError says what is wrong where."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        values.update(_from_file(config_path(environ)))
        values.update(_from_environment(environ))
        for name, value in flags.items():
            if value is not None:
                values[name] = _checked(name, value, f"the flag --{name.replace('_', '-')}")
        return cls(**values)  # type: ignore[arg-type]  # every value was checked against its field


def config_path(environ: Mapping[str, str]) -> Path:
    """Where the settings file is, whether it exists or not."""
    if named := environ.get("PENNYWEIGHT_CONFIG"):
        return Path(named)
    folder = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(folder) / "pennyweight" / "config.toml"


def _from_file(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the settings file {path} cannot be read: {error}") from error
    source = str(path)
    if "upstream" in table:
        message = f"{source}: write a model elsewhere as a table [models.NAME] with 'upstream' and 'key'"
        raise ConfigError(f"{message}, not as [upstream.NAME]")
    if "models" in table:
        table |= _models(table.pop("models"))
    return {name: _checked(name, value, source) for name, value in table.items()}


def _models(value: object) -> dict[str, object]:
    """The tables `[models.NAME]` by the setting that each kind of them belongs to."""
    if not isinstance(value, dict):
        return {"models": value}
    elsewhere = {name for name, table in value.items() if isinstance(table, dict) and "upstream" in table}
    kinds = {
        "upstream": {name: table for name, table in value.items() if name in elsewhere},
        "models": {name: table for name, table in value.items() if name not in elsewhere},
    }
    return {setting: tables for setting, tables in kinds.items() if tables}


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in _READ_ELSEWHERE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        values[name] = _checked(name, _parsed(name, text), f"the environment variable {variable}")
    return values


def _parsed(name: str, text: str) -> Any:
    """The value a variable's text stands for; `_checked` refuses text that does not parse."""
    kind = _kind(name)
    if kind is int and text.strip().lstrip("-").isascii() and text.strip().lstrip("-").isdigit():
        return int(text)
    if kind is bool and text.strip().lower() in _TRUE | _FALSE:
        return text.strip().lower() in _TRUE
    if kind is Decimal:
        return _decimal(text)
    if kind is tuple:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if kind is dict:
        items = (item.strip() for item in text.split(",") if item.strip())
        return _TABLES[name](items)
    return text


def alias_table(items: Iterable[str]) -> dict[str, str]:
    """`NAME=MODEL` texts as a table. Names such as `ft:gpt-4o-mini:acme::x1` have colons, never `=`."""
    return dict(_pairs(items, "an alias is written NAME=MODEL"))


def _pairs(items: Iterable[str], form: str) -> Iterator[tuple[str, str]]:
    for item in items:
        name, sign, rest = item.partition("=")
        if not (name and sign and rest):
            raise ConfigError(f"{form}, not {item!r}")
        yield name, rest


def adapter_table(items: Iterable[str]) -> dict[str, str]:
    """`NAME=FOLDER` texts as a table."""
    return dict(_pairs(items, "an adapter is written NAME=FOLDER"))


def path_tables(items: Iterable[str]) -> dict[str, dict[str, str]]:
    """`NAME=PATH` texts as the tables a settings file would have."""
    return {name: {"path": path} for name, path in _pairs(items, "a model is written NAME=PATH")}


_TABLES = {
    "upstream": upstream_tables,
    "models": path_tables,
    "aliases": alias_table,
    "adapters": adapter_table,
}
"""What texts of the environment stand for."""


def _kind(name: str) -> type | None:
    plain: tuple[type, ...] = (str, int, bool, tuple, dict, list, Decimal)
    kinds = {kind.__name__: kind for kind in plain}
    annotations = {item.name: re.split(r"\W", str(item.type))[0] for item in fields(Settings)}
    return kinds[annotations[name]] if name in annotations else None


def _checked(name: str, value: object, source: str) -> object:
    kind = _kind(name)
    if kind is None:
        raise ConfigError(f"{source} names an unknown setting {name!r}{_nearest(name)}")
    if name == "upstream":
        return read_upstreams(value, source)
    if name == "models":
        return read_local_models(value, source)
    if kind is tuple and type(value) is list:
        value = tuple(value)
    if kind is Decimal and type(value) is int:
        value = Decimal(value)
    if type(value) is not kind or not _holds_texts(value):
        raise ConfigError(f"{source}: the setting {name!r} must be {_EXPECTED[kind]}, not {value!r}")
    if isinstance(value, int) and kind is int:
        low, high = _BOUNDS.get(name, (1, _LARGEST))
        if not low <= value <= high:
            raise ConfigError(f"{source}: the setting {name!r} is {value}; it must be from {low} to {high}")
    if isinstance(value, Decimal) and not (value.is_finite() and 0 <= value <= _LARGEST):
        raise ConfigError(f"{source}: the setting {name!r} is {value}; it must be from 0 to {_LARGEST}")
    if value == "":
        raise ConfigError(f"{source}: the setting {name!r} is empty; give it a value or leave it out")
    return value


def _decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _holds_texts(value: object) -> bool:
    """Collections hold texts, but for lists, which hold tables."""
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    if isinstance(value, dict):
        return all(isinstance(item, str) for pair in value.items() for item in pair)
    return not isinstance(value, tuple) or all(isinstance(item, str) for item in value)


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    known = [item.name for item in fields(Settings)]
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; the settings are {', '.join(known)}"
