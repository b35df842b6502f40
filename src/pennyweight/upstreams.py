"""Models elsewhere whose answers are served here: what the settings say of an OpenAI-compatible service.

In the settings file a table `[models.NAME]` with `upstream`, its address, and if need be `key`, the variable
that holds its key, `model`, `kind`, `timeout_s`; on the command line `NAME=URL#MODEL` or, for a kind,
`NAME=vllm+URL#MODEL`. The key itself is read from the environment only: files and command lines are read by
others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UpstreamKind = Literal["openai", "vllm", "pennyweight"]
"""Which fields a service takes: `openai` those of OpenAI's interface alone, the others further ones."""

_LONGEST_WAIT_S: Final = 86_400.0
_FIELDS: Final = {
    "upstream": "url",
    "key": "key_env",
    "model": "model",
    "kind": "kind",
    "timeout_s": "timeout_s",
}
"""The keys of a table, and what they are here."""
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One model elsewhere, served here as `name` and called `model` there.

    `url` is what `/chat/completions` follows, `key_env` the variable with the key, `timeout_s` how long the
    service may be silent.
    """

    name: str
    url: str
    model: str
    kind: UpstreamKind = "openai"
    key_env: str | None = None
    timeout_s: float = 600.0

    def key(self, environ: Mapping[str, str]) -> str | None:
        """The key; without `key_env` that of NAME_API_KEY, if there is one.

        ConfigError if the variable is not set or holds what no header can.
        """
        variable = self.key_env or re.sub(r"\W", "_", self.name, flags=re.ASCII).upper() + "_API_KEY"
        key = environ.get(variable, "").strip()
        if not key and self.key_env is not None:
            message = f"the upstream {self.name!r} reads its key from {variable}, which is not set; set it"
            raise ConfigError(message)
        if not key.isascii() or not key.isprintable():
            raise ConfigError(f"the key in {variable} has characters that no HTTP header can hold")
        return key or None


def upstream_tables(items: Iterable[str]) -> dict[str, dict[str, object]]:
    """`NAME=URL#MODEL` texts as the tables a settings file would have."""
    tables: dict[str, dict[str, object]] = {}
    for item in items:
        name, sign, rest = item.partition("=")
        url, _, model = rest.partition("#")
        if not (name and sign and url):
            raise ConfigError(f"an upstream is written NAME=URL#MODEL, not {item!r}")
        table: dict[str, object] = {"model": model} if model else {}
        kind, plus, plain = url.partition("+")
        if plus and kind in get_args(UpstreamKind):
            table["kind"], url = kind, plain
        tables[name] = {**table, "upstream": url}
    return tables


def read_upstreams(value: object, source: str) -> dict[str, Upstream]:
    """Tables by the names of their models, checked. ConfigError names what is wrong and `source`."""
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: models elsewhere are tables [models.NAME], not {value!r}")
    return {name: _read(name, table, f"{source}: [models.{name}]") for name, table in value.items()}


def _read(name: str, table: object, place: str) -> Upstream:
    if not isinstance(table, dict):
        raise ConfigError(f"{place} must be a table with the key 'upstream', not {table!r}")
    if unknown := sorted(set(table) - set(_FIELDS)):
        raise ConfigError(
            f"{place} has the unknown key {unknown[0]!r}; keys are {', '.join(sorted(_FIELDS))}"
        )
    texts = {key: _text(table[key], f"{place} {key!r}") for key in table if key != "timeout_s"}
    if "upstream" not in texts:
        raise ConfigError(f"{place} needs an 'upstream', such as 'https://api.openai.com/v1'")
    kinds = get_args(UpstreamKind)
    if texts.get("kind", kinds[0]) not in kinds:
        raise ConfigError(f"{place} 'kind' is {texts['kind']!r}; it may be {', '.join(kinds)}")
    if not _VARIABLE.fullmatch(texts.get("key", "_")):  # not repeated: it may be the key itself
        raise ConfigError(
            f"{place} 'key' must name a variable of the environment, in capitals, that holds it"
        )
    values: dict[str, Any] = {"model": name, **{_FIELDS[key]: text for key, text in texts.items()}}
    values["url"] = _url(texts["upstream"], f"{place} 'upstream'")
    if "timeout_s" in table:
        values["timeout_s"] = _seconds(table["timeout_s"], f"{place} 'timeout_s'")
    return Upstream(name=_text(name, f"{place} name"), **values)


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError(f"{place} must be a text that is not empty, not {value!r}")
    return value


def _seconds(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST_WAIT_S:
        raise ConfigError(f"{place} must be seconds from above 0 to {_LONGEST_WAIT_S:g}, not {value!r}")
    return float(value)


def _url(text: str, place: str) -> str:
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or an address that is none
        named = False
    if not named or " " in text:
        raise ConfigError(f"{place} must be an http or https address such as 'http://gpu:8000/v1'")
    # The message does not repeat it: it may hold a password.
    if parts.username or parts.password or parts.query or parts.fragment:
        message = f"{place} must be an address alone; a key belongs into the variable that 'key' names"
        raise ConfigError(message)
    return text.rstrip("/")
