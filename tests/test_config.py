"""Settings: file < environment < flag, and nothing unknown passes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pennyweight.config import Settings, config_path
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PENNYWEIGHT_CONFIG": str(tmp_path / "config.toml")}


def write(environ: dict[str, str], text: str) -> None:
    from pathlib import Path

    Path(environ["PENNYWEIGHT_CONFIG"]).write_text(text, encoding="utf-8")


def test_defaults(environ: dict[str, str]) -> None:
    assert Settings.load({}, environ=environ) == Settings()


def test_file_environment_and_flag_in_this_order(environ: dict[str, str]) -> None:
    write(environ, 'host = "a"\nport = 1\nparallel = 2\n')
    environ |= {"PENNYWEIGHT_HOST": "b", "PENNYWEIGHT_PORT": "3"}
    settings = Settings.load({"host": "c", "port": None}, environ=environ)
    assert (settings.host, settings.port, settings.parallel) == ("c", 3, 2)


def test_where_the_file_is(tmp_path: Path) -> None:
    assert config_path({"XDG_CONFIG_HOME": str(tmp_path)}) == tmp_path / "pennyweight" / "config.toml"
    assert config_path({"HOME": str(tmp_path)}) == tmp_path / ".config" / "pennyweight" / "config.toml"


def test_an_unknown_key_in_the_file(environ: dict[str, str]) -> None:
    write(environ, 'api_keys = "x"\n')
    with pytest.raises(ConfigError, match=r"config.toml names an unknown setting 'api_keys'.*'api_key'"):
        Settings.load({}, environ=environ)


def test_an_unknown_variable(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"PENNYWEIGHT_API_KEYS.*'api_keys'.*did you mean 'api_key'"):
        Settings.load({}, environ={**environ, "PENNYWEIGHT_API_KEYS": "x"})


def test_variables_that_others_read_are_let_be(environ: dict[str, str]) -> None:
    others = {"PENNYWEIGHT_ISA": "avx2", "PENNYWEIGHT_SHARED": "/data", "PENNY": "x"}
    assert Settings.load({}, environ={**environ, **others}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("PORT", "eighty", "'port' must be a whole number"),
        ("PORT", "65536", "'port' is 65536; it must be from 0 to 65535"),
        ("CONTEXT", "0", "'context' is 0"),
        ("INSECURE", "maybe", "'insecure' must be true or false"),
        ("API_KEY", "", "'api_key' is empty"),
    ],
)
def test_values_are_checked(environ: dict[str, str], variable: str, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Settings.load({}, environ={**environ, f"PENNYWEIGHT_{variable}": text})


def test_truth_in_the_environment(environ: dict[str, str]) -> None:
    for text, truth in (("1", True), ("yes", True), ("False", False), ("off", False)):
        assert Settings.load({}, environ={**environ, "PENNYWEIGHT_INSECURE": text}).insecure is truth


def test_a_file_of_the_wrong_kind(environ: dict[str, str]) -> None:
    write(environ, "port = ")
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.load({}, environ=environ)
    write(environ, 'port = "80"\n')
    with pytest.raises(ConfigError, match="'port' must be a whole number, not '80'"):
        Settings.load({}, environ=environ)


def test_lists_and_tables(environ: dict[str, str]) -> None:
    write(environ, 'allow_hosts = ["a", "b"]\n[aliases]\n"ft:gpt-4o-mini:acme::x1" = "tiny"\n')
    settings = Settings.load({}, environ=environ)
    assert settings.allow_hosts == ("a", "b")
    assert settings.aliases == {"ft:gpt-4o-mini:acme::x1": "tiny"}
    environ |= {"PENNYWEIGHT_ALIASES": "a=b, c=d", "PENNYWEIGHT_ALLOW_HOSTS": "x,y"}
    settings = Settings.load({}, environ=environ)
    assert (settings.aliases, settings.allow_hosts) == ({"a": "b", "c": "d"}, ("x", "y"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("allow_hosts = [1]", "'allow_hosts' must be a list of texts"),
        ('allow_hosts = "a"', "'allow_hosts' must be a list of texts"),
        ("aliases = {a = 1}", "'aliases' must be a table of texts"),
        ("prices = [1]", "'prices' must be a list of tables"),
        ("idle_watts = true", "'idle_watts' must be a number"),
        ("idle_watts = -1.5", "'idle_watts' is -1.5; it must be from 0"),
        ("idle_watts = nan", "'idle_watts' is NaN"),
    ],
)
def test_lists_and_tables_of_the_wrong_kind(environ: dict[str, str], text: str, complaint: str) -> None:
    write(environ, text)
    with pytest.raises(ConfigError, match=complaint):
        Settings.load({}, environ=environ)


def test_an_alias_is_written_with_a_sign(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="NAME=MODEL"):
        Settings.load({}, environ={**environ, "PENNYWEIGHT_ALIASES": "a:b"})


def test_the_share_of_batches_is_a_percentage_that_leaves_room() -> None:
    assert Settings.load({}, environ={"PENNYWEIGHT_BATCH_SHARE": "0"}).batch_share == 0
    with pytest.raises(ConfigError, match="from 0 to 90"):
        Settings.load({}, environ={"PENNYWEIGHT_BATCH_SHARE": "100"})


def test_numbers_are_exact(environ: dict[str, str]) -> None:
    write(environ, "hardware_per_hour = 0.1\nidle_watts = 7\n[[prices]]\ninput = 0.15\n")
    settings = Settings.load({}, environ={**environ, "PENNYWEIGHT_BUSY_WATTS": "45.5"})
    assert (settings.hardware_per_hour, settings.idle_watts, settings.busy_watts) == (
        Decimal("0.1"),
        Decimal(7),
        Decimal("45.5"),
    )
    assert settings.prices == [{"input": Decimal("0.15")}]
    with pytest.raises(ConfigError, match="'prices' must be a list of tables in the settings file"):
        Settings.load({}, environ={**environ, "PENNYWEIGHT_PRICES": "0.15"})
