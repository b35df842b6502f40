"""The bodies that create and change a thread.

(https://platform.openai.com/docs/api-reference/threads/createThread)
"""

from __future__ import annotations

from typing import Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import Field, ListOf
from pennyweight.history.assistants.assistant_fields import NEW_RESOURCES, RESOURCES
from pennyweight.history.assistants.message_fields import CREATE_MESSAGE
from pennyweight.history.metadata import METADATA
from pennyweight.history.nested import Nested

MESSAGES: Final = ListOf(item=Nested(CREATE_MESSAGE))
CREATE_THREAD: Final = FieldTables(
    honoured=(
        Field(name="messages", kind=MESSAGES, doc="What it begins with, as in `POST .../messages`."),
        NEW_RESOURCES,
        METADATA,
    ),
    advisory=(),
    neutral=(),
    required=(),
)
UPDATE_THREAD: Final = FieldTables(honoured=(RESOURCES, METADATA), advisory=(), neutral=(), required=())
