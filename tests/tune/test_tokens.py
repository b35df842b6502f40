"""What is learnt: exactly the answers and the tokens that end them, behind exactly what serving asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.answers.conversation import Conversation
from pennyweight.answers.prompt import PromptBuilder
from pennyweight.errors import InvalidRequestError
from pennyweight.text.template import ChatTemplate
from pennyweight.text.tokenizer import Tokenizer
from pennyweight.text.tools.detect import find_dialect
from pennyweight.tune.example_line import read_example, read_preference
from pennyweight.tune.tokens import Renderer
from tests.models.tiny_vocabulary import bpe_vocabulary, spm_vocabulary
from tests.tune.lines import preference

if TYPE_CHECKING:
    from pennyweight.tune.example import Example

FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.last %}({{ m.reasoning_content }}){% endif %}"
    "{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Drops the reasoning of earlier turns."""
NAGGING = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}now!{% endif %}"


def plain(metadata: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Metadata as a file's reader gives it."""
    return {key: getattr(value, "value", value) for key, value in (metadata | changes).items()}


CHATML = plain(bpe_vocabulary())
GEMMA = plain(spm_vocabulary())
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
TURNS = st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from([0, 1])), min_size=1, max_size=4).filter(
    lambda turns: any(weight for *_, weight in turns)
)


def conversation_of(turns: list[tuple[str, str, int]]) -> Example:
    messages: list[dict[str, Any]] = []
    for question, answer, weight in turns:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer, "weight": weight})
    return read_example({"messages": messages}, 1, set())


def builder(metadata: dict[str, Any]) -> PromptBuilder:
    return PromptBuilder(
        model_name="tiny",
        tokenizer=Tokenizer.from_metadata(metadata),
        template=ChatTemplate.from_metadata(metadata),
        dialect=find_dialect(metadata),
        context=10_000,
    )


@pytest.mark.parametrize(("metadata", "end"), [(CHATML, "<|im_end|>"), (GEMMA, "<end_of_turn>")])
@given(turns=TURNS)
def test_learnt_is_every_answer_with_weight_and_nothing_else(
    metadata: dict[str, Any], end: str, turns: list[tuple[str, str, int]]
) -> None:
    example, renderer, prompts = (
        conversation_of(turns),
        Renderer.from_metadata(metadata, model_name="t"),
        None,
    )
    prompts = builder(metadata)
    sequences = renderer.supervised(example)
    learnt = [
        (sequence.tokens[:start], sequence.tokens[start:stop])
        for sequence in sequences
        for start, stop in sequence.learnt
    ]
    assert len(learnt) == len(example.trained)
    for index, (prompt, answer) in zip(example.trained, learnt, strict=True):
        asked = Conversation(messages=example.conversation.messages[:index])
        text = example.conversation.messages[index].text
        assert prompt == prompts.build(asked, {})
        said = renderer.tokenizer.decode(answer, skip_special=False)
        assert said == (text if metadata is CHATML else text.strip()) + end
    for sequence in sequences:
        assert sequence.tokens[-1] in renderer.tokenizer.end_token_ids


def test_turns_of_one_conversation_share_a_sequence() -> None:
    example = conversation_of([("hi", "hello", 1), ("more", "so", 0), ("and", "yes", 1)])
    (sequence,) = Renderer.from_metadata(CHATML, model_name="t").supervised(example)
    assert len(sequence.learnt) == 2
    assert sequence.num_learnt == sum(end - start for start, end in sequence.learnt)


def test_a_template_that_forgets_reasoning_makes_a_sequence_for_each_answer() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
        {"role": "user", "content": "more"},
        {"role": "assistant", "content": "b", "reasoning_content": "well"},
    ]
    metadata = CHATML | {"tokenizer.chat_template": FORGETFUL}
    renderer = Renderer.from_metadata(metadata, model_name="t")
    sequences = renderer.supervised(read_example({"messages": messages}, 1, set()))
    said = [renderer.tokenizer.decode(s.tokens[s.learnt[0][0] :]) for s in sequences]
    assert said == ["(hm)a", "(well)b"]


def test_both_answers_of_a_preference_follow_the_same_prompt() -> None:
    renderer = Renderer.from_metadata(CHATML, model_name="t")
    pair = read_preference(preference("which?", "red", "blue"), 1, set())
    preferred, rejected = renderer.preference(pair)
    start = preferred.learnt[0][0]
    assert preferred.tokens[:start] == rejected.tokens[:start]
    assert preferred.tokens[start:] != rejected.tokens[start:]


def test_the_text_of_a_control_token_in_an_answer_is_text() -> None:
    example = conversation_of([("hi", "a<|im_end|>b", 1)])
    renderer = Renderer.from_metadata(CHATML, model_name="t")
    ((start, end),) = renderer.supervised(example)[0].learnt
    assert end - start == len("a<|im_end|>b") + 1


def test_a_template_that_cannot_be_trained_with_is_refused() -> None:
    renderer = Renderer.from_metadata(CHATML | {"tokenizer.chat_template": NAGGING}, model_name="t")
    with pytest.raises(InvalidRequestError, match="differently from the prompt"):
        renderer.supervised(conversation_of([("hi", "hello", 1)]))


def test_a_model_without_a_template_is_refused() -> None:
    metadata = {key: value for key, value in CHATML.items() if key != "tokenizer.chat_template"}
    with pytest.raises(InvalidRequestError, match="no chat template"):
        Renderer.from_metadata(metadata, model_name="t")
