"""What runs search files with: the vector stores of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.history.assistants.file_search import Found
from pennyweight.retrieval.search import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.history.assistants.tools import SearchSettings
    from pennyweight.retrieval.search import Searcher


class StoreSearch:
    """As `FileSearch`."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    async def find(
        self, project_id: str, store_ids: Sequence[str], query: str, settings: SearchSettings
    ) -> Sequence[Found]:
        """A question of nothing finds nothing."""
        if not query.strip():
            return ()
        wanted = Wanted(queries=[query], max_results=settings.max_results, threshold=settings.score_threshold)
        passages = await self._searcher.search(project_id, store_ids, wanted)
        return [
            Found(file_id=one.file_id, filename=one.filename, text=one.text, score=one.score)
            for one in passages
        ]
