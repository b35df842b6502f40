"""`penny models`, `pull`, `rm`, `doctor` and `bench`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.penny import Penny


def install(penny: Penny, path: Path) -> Path:
    folder = penny.home / "cache" / "pennyweight" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(path, folder / path.name))


def test_models_and_rm(penny: Penny, tiny_llama_path: Path) -> None:
    installed = install(penny, tiny_llama_path)
    rows = {row["name"]: row for row in json.loads(penny.run("models", "--json").stdout)}
    assert set(rows) == {"tiny-llama", "smollm2-135m-instruct", "gemma-3-270m", "all-minilm-l6-v2"}
    assert rows["tiny-llama"]["installed"] == "yes"
    assert (rows["tiny-llama"]["architecture"], rows["tiny-llama"]["context"]) == ("llama", 512)
    assert rows["tiny-llama"]["format"] == "Q4_0"
    assert rows["tiny-llama"]["size"] == installed.stat().st_size
    assert rows["gemma-3-270m"]["installed"] == "no"
    assert (rows["gemma-3-270m"]["source"], rows["tiny-llama"]["source"]) == ("catalog", "")
    table = penny.run("models")
    assert table.returncode == 0
    assert "tiny-llama" in table.stdout
    assert table.stdout.splitlines()[1].split()[-1] == "source"
    assert "catalog" in table.stdout
    assert penny.run("run", "Hi", "--model", "tiny-llama", "--max-tokens", "1").returncode == 0
    assert penny.run("rm", "tiny-llama").returncode == 0
    assert not installed.exists()
    again = penny.run("rm", "tiny-llama")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1


def test_a_damaged_file_is_listed_as_such(penny: Penny, tiny_llama_path: Path) -> None:
    path = install(penny, tiny_llama_path)
    path.write_bytes(path.read_bytes()[:2000])
    rows = {row["name"]: row for row in json.loads(penny.run("models", "--json").stdout)}
    assert rows["tiny-llama"]["installed"].startswith("unusable: ")
    assert penny.run("models").returncode == 0


def test_pulling_what_the_catalog_does_not_know(penny: Penny) -> None:
    done = penny.run("pull", "smollm2-135m")
    assert done.returncode == 1
    assert "did you mean smollm2-135m-instruct?" in done.stderr


def test_doctor(penny: Penny) -> None:
    done = penny.run("doctor")
    assert done.returncode == 0
    for subject in ("processor", "instruction set", "threads", "memory", "cache folder", "default model"):
        assert subject in done.stdout
    assert "penny pull smollm2-135m-instruct" in done.stdout
    findings = json.loads(penny.run("doctor", "--json").stdout)
    assert all(set(finding) == {"subject", "value", "remedy", "wrong"} for finding in findings)


def test_doctor_finds_a_damaged_model_and_a_misspelt_setting(penny: Penny, tiny_llama_path: Path) -> None:
    path = install(penny, tiny_llama_path)
    path.rename(path.with_name("SmolLM2-135M-Instruct.Q4_1.gguf"))
    (penny.home / "config" / "pennyweight").mkdir(parents=True)
    (penny.home / "config" / "pennyweight" / "config.toml").write_text("prot = 1\n")
    done = penny.run("doctor")
    assert done.returncode == 1
    assert "is damaged" in done.stdout
    assert "did you mean 'port'" in done.stdout


def test_doctor_finds_a_cache_that_is_no_folder(penny: Penny) -> None:
    (penny.home / "cache").write_text("a file")
    done = penny.run("doctor")
    assert done.returncode == 1
    assert "is not a folder" in done.stdout
    assert "XDG_CACHE_HOME" in done.stdout


@pytest.mark.parametrize("command", [("run", "Hi"), ("bench",), ("doctor",)])
def test_an_instruction_set_that_cannot_run_here(
    penny: Penny, tiny_llama_path: Path, command: tuple[str, ...]
) -> None:
    model = () if command == ("doctor",) else ("--model", str(tiny_llama_path))
    process = penny.start(*command, *model, PENNYWEIGHT_ISA="abacus")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "abacus" in output + errors
    assert "scalar" in output + errors
    assert "Traceback" not in errors


def test_bench(penny: Penny, tiny_llama_path: Path) -> None:
    arguments = (
        "bench",
        "--model",
        str(tiny_llama_path),
        "--length",
        "64",
        "--streams",
        "1",
        "--streams",
        "2",
    )
    report = json.loads(penny.run(*arguments, "--kv-cache-dtype", "int4", "--json").stdout)
    assert (report["model"], report["kv_cache_dtype"]) == ("tiny-llama", "int4")
    assert report["machine"]["bytes_per_s"] > 0
    kinds = [(figure["kind"], figure["length"], figure["streams"]) for figure in report["figures"]]
    assert kinds == [("prompt", 64, 1), ("decode", 128, 1), ("decode", 128, 2)]
    for figure in report["figures"]:
        assert figure["tokens_per_s"] > 0
        assert 0 < figure["peak_share"] < 1
    assert "tokens/s" in penny.run(*arguments[:-2]).stdout
    assert penny.run("bench", "--model", str(tiny_llama_path), "--length", "9999").returncode == 2
