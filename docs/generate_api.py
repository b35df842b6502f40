"""Writes docs/api.md from the tables the server reads requests by; `python docs/generate_api.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.answers.chat_fields import CHAT_FIELDS
from pennyweight.answers.completion_fields import COMPLETION_FIELDS
from pennyweight.answers.embedding_schema import EMBEDDING_FIELDS
from pennyweight.answers.responses_fields import INPUT_TOKENS_FIELDS, RESPONSES_FIELDS
from pennyweight.answers.tokens_schema import DETOKENIZE_FIELDS, TOKENIZE_FIELDS
from pennyweight.answers.tool_fields import HOSTED
from pennyweight.history.assistants.assistant_fields import CREATE_ASSISTANT, UPDATE_ASSISTANT
from pennyweight.history.assistants.message_fields import CREATE_MESSAGE
from pennyweight.history.assistants.run_fields import CREATE_RUN, CREATE_THREAD_AND_RUN, SUBMIT_OUTPUTS
from pennyweight.history.assistants.thread_fields import CREATE_THREAD, UPDATE_THREAD
from pennyweight.history.conversation_fields import CONVERSATION_FIELDS, ITEMS_FIELDS
from pennyweight.history.metadata_fields import METADATA_FIELDS
from pennyweight.jobs.batch_request import BATCH_FIELDS
from pennyweight.jobs.tuning_request import TUNING_FIELDS
from pennyweight.retrieval.search_fields import SEARCH_FIELDS
from pennyweight.retrieval.store_fields import (
    ADD_BATCH,
    ADD_FILE,
    CREATE_STORE,
    UPDATE_FILE,
    UPDATE_STORE,
)
from pennyweight.server.organization_fields import (
    CREATE_ACCOUNT,
    CREATE_ADMIN_KEY,
    CREATE_KEY,
    CREATE_PROJECT,
    LIST_QUERY,
    RATE_LIMIT,
    SPEND_LIMIT,
    UPDATE_ACCOUNT,
    UPDATE_KEY,
    UPDATE_PROJECT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.answers.field_tables import FieldTables
    from pennyweight.answers.fields import Field

OUTPUT = Path(__file__).parent / "api.md"
ENDPOINTS: tuple[tuple[str, FieldTables], ...] = (
    ("POST /v1/chat/completions", CHAT_FIELDS),
    ("POST /v1/completions", COMPLETION_FIELDS),
    ("POST /v1/responses", RESPONSES_FIELDS),
    ("POST /v1/responses/input_tokens", INPUT_TOKENS_FIELDS),
    ("POST /v1/chat/completions/{id}, POST /v1/conversations/{id}", METADATA_FIELDS),
    ("POST /v1/conversations", CONVERSATION_FIELDS),
    ("POST /v1/conversations/{id}/items", ITEMS_FIELDS),
    ("POST /tokenize", TOKENIZE_FIELDS),
    ("POST /detokenize", DETOKENIZE_FIELDS),
    ("POST /v1/embeddings", EMBEDDING_FIELDS),
    ("POST /v1/batches", BATCH_FIELDS),
    ("POST /v1/fine_tuning/jobs", TUNING_FIELDS),
    ("POST /v1/assistants", CREATE_ASSISTANT),
    ("POST /v1/assistants/{id}", UPDATE_ASSISTANT),
    ("POST /v1/threads", CREATE_THREAD),
    ("POST /v1/threads/{id}", UPDATE_THREAD),
    ("POST /v1/threads/{id}/messages", CREATE_MESSAGE),
    ("POST /v1/threads/{id}/runs", CREATE_RUN),
    ("POST /v1/threads/runs", CREATE_THREAD_AND_RUN),
    ("POST /v1/threads/{id}/runs/{id}/submit_tool_outputs", SUBMIT_OUTPUTS),
    ("POST /v1/vector_stores", CREATE_STORE),
    ("POST /v1/vector_stores/{id}", UPDATE_STORE),
    ("POST /v1/vector_stores/{id}/search", SEARCH_FIELDS),
    ("POST /v1/vector_stores/{id}/files", ADD_FILE),
    ("POST /v1/vector_stores/{id}/files/{id}", UPDATE_FILE),
    ("POST /v1/vector_stores/{id}/file_batches", ADD_BATCH),
    ("POST /v1/organization/projects", CREATE_PROJECT),
    ("POST /v1/organization/projects/{id}", UPDATE_PROJECT),
    ("POST /v1/organization/projects/{id}/spend_limit", SPEND_LIMIT),
    ("POST /v1/organization/projects/{id}/rate_limits/rl-all", RATE_LIMIT),
    ("POST /v1/organization/projects/{id}/service_accounts", CREATE_ACCOUNT),
    ("POST /v1/organization/projects/{id}/service_accounts/{id}", UPDATE_ACCOUNT),
    ("POST /v1/organization/projects/{id}/service_accounts/{id}/api_keys", CREATE_KEY),
    ("POST /v1/organization/projects/{id}/api_keys/{id}", UPDATE_KEY),
    ("POST /v1/organization/admin_api_keys", CREATE_ADMIN_KEY),
    ("GET /v1/organization/... (lists)", LIST_QUERY),
)
_HEAD = """# The HTTP interface, field by field

Written by `docs/generate_api.py` from the tables the server itself reads requests by; do not edit.

- **honoured**: does what it says; a test of each field fails if it is lost on the way to the engine.
- **advisory**: accepted, because it cannot change the answer.
- **neutral only**: accepted at the values given, which change nothing; any other is refused with the reason.

Every other top-level field is refused with a 400 that names it (and the nearest one that exists). `null` is
absent, everywhere, and what an answer held is accepted back: arguments of a call that a limit cut off are
closed where they end. Unknown keys inside messages, parts and tools are dropped and named in the header
`x-pennyweight-ignored`; so are keywords of schemas without `strict` that are not enforced, and tools that
OpenAI runs on its own machines, which are refused only where `tool_choice` demands one:
{hosted}. Of these `/v1/responses` does `file_search` here; chat completions drop it like the others.
Images, audio and files are refused by name. A custom tool's Lark grammar may have 16 kB and 1,000 rules;
where a step of it, or of a large schema, takes longer than half a second, because the same text can be read
in too many ways, that answer ends with an error.

Names of OpenAI's models are aliases of what runs here. `logit_bias`, `stop_token_ids` and prompts of ids sent
under such a name hold that model's ids: they are translated where its vocabulary is installed (setting
`vocabularies`, or `tiktoken`'s cache), else refused.

## Models elsewhere

`penny serve --upstream NAME=URL#MODEL` (or a table `[models.NAME]` of the settings file with `upstream`,
`key`, `model`, `kind`, `timeout_s`) serves a model of another OpenAI-compatible service as `NAME`:
chat completions and responses ask it by its own chat completions. Its key is read from the variable that
`key` names, else from `NAME_API_KEY`. The tables below hold for it, except that

- fields beyond OpenAI's (`top_k`, `min_p`, `repetition_penalty`, `stop_token_ids`, `min_tokens`,
  `ignore_eos`, `chat_template_kwargs`) are sent where `kind` is `vllm` or `pennyweight`
  (`NAME=vllm+URL#MODEL`) and refused by name where it is `openai`, the default; so are more than 4 `stop`
  strings there, and custom tools where it is `vllm`;
- `prediction` (`vllm`) and `reasoning_content` of earlier turns (`openai`) are left out and named in
  `x-pennyweight-ignored`; reasoning that the service streams beside its answer is not passed on;
- plain completions, counts of input tokens and tokenizing are refused: its tokens are not known here;
- what the service refuses as wrong is a 400 in its words that names the field as the client wrote it, what it
  says in `x-pennyweight-ignored` is in ours too; its rate limit a 429 with its `retry-after`; a
  wrong key, an unknown model, an answer that breaks off are 502, silence is 504, no connection 503.

`--model none` serves models elsewhere alone.

## Stored answers

- `GET /v1/chat/completions` (`model`, `metadata[name]`, `order`: `asc` unless told, `after`, `limit`), and
  `GET`, `POST` (metadata), `DELETE` of one, `GET .../messages`.
- `GET`, `DELETE /v1/responses/{{id}}`, `GET .../input_items` (`order`: `desc` unless told, `after`, `limit`,
  `include[]`), the items of the whole chain; `POST .../cancel` of one in the background.
  `GET ...?stream=true&starting_after=N` sends the events behind number N of one made with `background` and
  `stream`, and follows it to its end; one that was cancelled ends with `response.incomplete`.
- `/v1/conversations` and `/items`, 20 items at a time; items have no `include` to ask for, all is told.
- Errors: `previous_response_not_found` (also where a link of the chain was deleted, which the message names),
  `previous_response_not_completed`, `conversation_changed` (409: it grew while it was answered; clients try
  again), `storage_full` (507).

## Usage and costs

`GET /v1/organization/usage/completions`, `/embeddings` and `GET /v1/organization/costs` need an admin key:
`start_time` (required), `end_time`, `bucket_width` (`1m`, `1h`, `1d`; costs `1d`), `group_by` (`project_id`,
`api_key_id`, `model`, `batch`; costs also `line_item`, the model), `project_ids`, `api_key_ids`, `models`,
`batch`, `limit`, `page`. `user_id` and `service_tier` are told as null and `default`. OpenAI's other kinds of
usage answer with empty buckets; any other parameter is a 400. `num_model_requests` counts what a model worked
for.
"""


def render() -> str:
    """The whole page."""
    hosted = ", ".join(f"`{name}`" for name in sorted(HOSTED) if "20" not in name)
    lines = [_HEAD.format(hosted=hosted)]
    for endpoint, tables in ENDPOINTS:
        lines += [f"## `{endpoint}`", "", "| field | here | meaning |", "|---|---|---|"]
        lines += [*_rows(tables), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rows(tables: FieldTables) -> Iterator[str]:
    for field in tables.honoured:
        required = " (required)" if field.name in tables.required else ""
        yield _row(field, f"honoured{required}")
    for field in tables.advisory:
        yield _row(field, "advisory")
    for item in tables.neutral:
        values = ", ".join(f"`{json.dumps(value)}`" for value in (*item.values, None))
        yield f"| `{item.name}` | neutral only: {values} | {_cell(item.reason)} |"


def _row(field: Field, verdict: str) -> str:
    return f"| `{field.name}` | {verdict} | {_cell(field.doc)}{_range(field)} |"


def _range(field: Field) -> str:
    low, high = field.schema.get("minimum"), field.schema.get("maximum")
    if low is None:
        return ""
    if high is None or high >= 2**31 - 1:
        return f" From {low}."
    return f" From {low} to {high}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    OUTPUT.write_text(render(), encoding="utf-8")
