"""Half of the layers, taught: a tiny student comes closer to its teacher, and the engine serves it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import pennyweight
from pennyweight.models.gguf import GGUFFile
from pennyweight.native import _native
from tests.models.tiny import write_tiny_llama

torch = pytest.importorskip("torch", reason="the extra tune is not installed")
from examples.half_depth.__main__ import main as half_depth  # noqa: E402
from examples.half_depth.divergence import divergence  # noqa: E402
from examples.half_depth.lesson import Lesson  # noqa: E402
from examples.half_depth.rounding import rounded  # noqa: E402
from examples.half_depth.shallow import kept_layers, write_shallow, write_trained  # noqa: E402
from examples.half_depth.texts import documents, is_held_out  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("half") / "tiny.gguf", num_layers=4, kind="Q4_1")


def test_first_and_last_layers_are_kept() -> None:
    assert kept_layers(30) == (0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29)
    assert kept_layers(4) == (0, 3)
    assert kept_layers(1) == (0,)


def test_the_gradient_is_that_of_the_divergence() -> None:
    torch.manual_seed(3)
    own, wanted = (torch.randn(9, 8, requires_grad=needs) for needs in (True, False))
    head, labels = torch.randn(40, 8), torch.randint(0, 40, (9,))
    loss, seen = divergence(own, wanted, labels, heads=(head, head))
    loss.backward()
    plain = own.detach().clone().requires_grad_()
    scores, told = (plain @ head.T).log_softmax(1), (wanted @ head.T).log_softmax(1)
    expected = torch.nn.functional.kl_div(scores, told, log_target=True, reduction="sum")
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(own.grad, plain.grad)
    assert seen.positions == 9
    assert seen.teacher == pytest.approx(-float(told.gather(1, labels[:, None]).sum()), rel=1e-5)


def test_untrained_matrices_come_back_as_they_were(teacher: Path, tmp_path: Path) -> None:
    shallow, again = tmp_path / "shallow.gguf", tmp_path / "again.gguf"
    write_shallow(teacher, shallow)
    write_trained(shallow, again, Lesson(teacher, shallow).student, kind="F32")
    first, second = Lesson(teacher, shallow), Lesson(teacher, again)
    for name, value in first.student.network.named_parameters():
        torch.testing.assert_close(second.student.network.get_parameter(name), value)
    with GGUFFile.open(teacher) as whole, GGUFFile.open(shallow) as half:
        assert half.read("blk.1.attn_q.weight") == whole.read("blk.3.attn_q.weight")


def test_four_bits_are_what_a_file_holds() -> None:
    torch.manual_seed(3)
    given = torch.nn.Parameter(torch.randn(16, 64))
    before = given.detach().clone()
    with rounded([given]):
        held = given.detach().clone()
        (given * 2).sum().backward()
    assert torch.equal(given, before)
    assert torch.equal(given.grad, torch.full_like(before, 2))
    assert 0.01 < float((held - before).norm() / before.norm()) < 0.12
    blocks = _native.requantize(held.numpy(), type="F32", to="Q4_1", columns=64)
    file = _native.requantize(blocks, type="Q4_1", to="F32", columns=64)
    torch.testing.assert_close(
        torch.frombuffer(bytearray(file), dtype=torch.float32).view_as(held), held, atol=2e-3, rtol=0
    )


def test_texts_are_read_and_set_aside(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}]},
        {"instruction": "Greet.", "input": "", "response": "Hello"},
        {"text": "Plain."},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(documents(path)) == [("Add.\n\n1 2", "3"), ("Greet.", "Hello"), "Plain.", ("a", "b")]
    assert 10 < sum(is_held_out(str(number)) for number in range(1000)) < 80


def test_it_comes_closer_and_is_served(teacher: Path, tmp_path: Path) -> None:
    texts, out, results = tmp_path / "texts.txt", tmp_path / "out", tmp_path / "results.json"
    texts.write_text("".join(f"{number} and {number * number}, the lamp fell.\n" for number in range(3000)))
    asked = ["--results", str(results), "train", str(texts), "--model", str(teacher), "--out", str(out)]
    sizes = ["--tokens", "12000", "--step-tokens", "512", "--measured", "1500", "--rate", "0.003"]
    half_depth([*asked, *sizes])
    found = json.loads(results.read_text())
    test, trained = found["test"], found["trainings"]["taught"]
    assert test["taught"]["kl"] < 0.9 * test["untrained"]["kl"]
    assert test["untrained"]["teacher_perplexity"] == test["taught"]["teacher_perplexity"]
    assert trained["layers"] == [0, 3]
    half_depth([*asked, *sizes])
    again = json.loads(results.read_text())["trainings"]["taught"]
    assert (again["steps"], again["minutes"]) == (trained["steps"], trained["minutes"]), "all was done"
    half_depth(["--results", str(results), "speed", "--model", str(teacher), "--out", str(out)])
    assert json.loads(results.read_text())["speed"]["student"]["tokens_per_s"] > 0
    with pennyweight.Engine.open(out / "student.gguf", threads=1) as engine:
        assert engine.model.spec.num_layers == 2
        assert engine.chat("Hi", max_tokens=4, temperature=0).usage.completion_tokens > 0
