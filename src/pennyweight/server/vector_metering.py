"""Usage rows of what vector stores embed, portions of files and queries.

They have no price, as at OpenAI, and count as nobody's requests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pennyweight.store.identifiers import new_id
from pennyweight.store.usage import VECTOR_STORES, UsageRow

if TYPE_CHECKING:
    from pennyweight.cost.usage_journal import UsageJournal
    from pennyweight.retrieval.metering import Meter, VectorUse


def vector_meter(journal: UsageJournal) -> Meter:
    """A row for each use. What a crash makes be embedded again is used, and counted, again."""

    def note(use: VectorUse) -> None:
        journal.check()
        row = UsageRow(
            request_id=new_id("emb_"),
            ended_at=int(time.time()),
            project_id=use.client.project,
            key_id=use.client.key,
            kind=VECTOR_STORES,
            endpoint=use.client.endpoint,
            model_asked=use.model,
            model=use.model,
            prompt_tokens=use.num_tokens,
            total_ms=round(1000 * use.total_s),
            outcome="completed",
            status=200,
        )
        journal.add(row)

    return note
