"""The bodies that make conversations and add items to them.

(https://platform.openai.com/docs/api-reference/conversations)
"""

from __future__ import annotations

from typing import Final

from pennyweight.answers.chat_fields import METADATA
from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import AnyObject, Field, ListOf

MOST_ITEMS: Final = 20
_ITEMS: Final = ListOf(item=AnyObject(), high=MOST_ITEMS)
CONVERSATION_FIELDS: Final = FieldTables(
    honoured=(
        Field(name="items", kind=_ITEMS, doc="The first items, as in `input` of a response."),
        Field(name="metadata", kind=METADATA, doc="Kept and told again."),
    ),
    advisory=(),
    neutral=(),
    required=(),
)
ITEMS_FIELDS: Final = FieldTables(
    honoured=(Field(name="items", kind=_ITEMS, doc="Appended; messages, calls of tools and their outputs."),),
    advisory=(),
    neutral=(),
    required=("items",),
)
