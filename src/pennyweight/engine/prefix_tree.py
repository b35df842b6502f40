"""What the KV pages already hold, keyed by namespace and content: a tree with one page per node.

A node's keys are the content of its page (up to 64 positions); its children continue the text. Whole pages
are shared as they are. A page that matches only in its first tokens is copied and continued, so prefixes are
shared at token granularity. A node may be shorter than its page while the sequence that writes the page still
runs: what lies behind the node's keys is not promised.

Every sequence that holds a node's page holds its ancestors' pages (`insert` sees to it) and gives them back
last, so the longest idle page is always a leaf and eviction needs no search.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from operator import eq, indexOf
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS, CacheNamespace, pages_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.engine.block_table import BlockTable
    from pennyweight.engine.page_label import PageLabel
    from pennyweight.engine.pages import PagePool

PositionKey = int
"""Content of one position: a token, or a negative number for a place in an embedding span."""

MIN_TAIL_TOKENS = 8  # below this, computing anew is cheaper than copying a page: every chat starts alike


@dataclass(slots=True, eq=False)
class Branch:
    """Where texts part. Children stand in the order of their keys, no two of which are the same."""

    children: list[Node] = field(default_factory=list)

    def best(self, run: tuple[PositionKey, ...]) -> tuple[Node | None, int]:
        """The child sharing most leading keys with `run`, next to where it would stand, and how many."""
        chosen, longest = None, 0
        at = self._place_of(run)
        for node in self.children[max(0, at - 1) : at + 1]:
            shared = common_length(node.keys, run)
            if shared > longest:
                chosen, longest = node, shared
        return chosen, longest

    def add(self, node: Node) -> None:
        self.children.insert(self._place_of(node.keys), node)

    def remove(self, node: Node) -> None:
        del self.children[self._place_of(node.keys)]

    def following(self, node: Node) -> Node | None:
        """The child next to `node`; one that starts with all its keys would be it."""
        at = self._place_of(node.keys) + 1
        return self.children[at] if at < len(self.children) else None

    def _place_of(self, keys: tuple[PositionKey, ...]) -> int:
        return bisect_left(self.children, keys, key=lambda node: node.keys)


@dataclass(slots=True, eq=False, kw_only=True)
class Root(Branch):
    """Where the texts of one namespace start."""

    namespace: CacheNamespace


@dataclass(slots=True, eq=False, kw_only=True)
class Node(Branch):
    """One page and the content promised for its first `len(keys)` positions."""

    keys: tuple[PositionKey, ...]
    page: int
    number: int  # of the page in its text, from 0
    parent: Root | Node
    label: PageLabel | None = None  # of a whole page, once somebody asked

    @property
    def is_whole(self) -> bool:
        return len(self.keys) == PAGE_TOKENS

    @property
    def is_outgrown(self) -> bool:
        """Whether another page holds the same and more."""
        size = len(self.keys)
        following = self.parent.following(self)
        return following is not None and following.keys[:size] == self.keys

    def path(self) -> list[Node]:
        """From the first page of the text to this one."""
        path = [self]
        while isinstance(path[-1].parent, Node):
            path.append(path[-1].parent)
        path.reverse()
        return path


@dataclass(frozen=True, slots=True)
class Tail:
    """The first `num_tokens` positions of `page` are of use; the page has to be copied."""

    page: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Match:
    """The longest known prefix: whole pages, then perhaps part of one."""

    pages: tuple[int, ...]
    tail: Tail | None

    @property
    def num_tokens(self) -> int:
        return len(self.pages) * PAGE_TOKENS + (self.tail.num_tokens if self.tail else 0)


def common_length(first: Sequence[PositionKey], second: Sequence[PositionKey]) -> int:
    """Number of leading keys two contents share."""
    try:
        return indexOf(map(eq, first, second), False)  # at C speed: up to thousands a step are compared
    except ValueError:
        return min(len(first), len(second))


class PrefixTree:
    """The pages of `pool` that can serve another request."""

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        self._roots: dict[CacheNamespace, Root] = {}
        self._nodes: dict[int, Node] = {}
        self._unsaved: dict[int, None] = {}  # new or grown since `take_unsaved` named them

    def match(self, namespace: CacheNamespace, keys: Sequence[PositionKey], *, limit: int) -> Match:
        """The longest prefix of `keys[:limit]` in the tree. Holds nothing: share the pages at once."""
        branch: Branch | None = self._roots.get(namespace)
        pages: list[int] = []
        while branch is not None and len(pages) * PAGE_TOKENS < limit:
            start = len(pages) * PAGE_TOKENS
            node, shared = branch.best(tuple(keys[start : min(start + PAGE_TOKENS, limit)]))
            if node is not None and shared == PAGE_TOKENS:
                pages.append(node.page)
            elif node is not None and shared >= MIN_TAIL_TOKENS:
                return Match(tuple(pages), Tail(node.page, shared))
            else:
                break
            branch = node
        return Match(tuple(pages), None)

    def insert(
        self,
        namespace: CacheNamespace,
        keys: Sequence[PositionKey],
        table: BlockTable,
        *,
        limit: int,
        known: int = 0,
    ) -> None:
        """`table` holds the computed content `keys[:limit]`. Whole pages the tree knows replace its own.

        `known` positions came from `match` or an earlier insertion: their whole pages are nodes, which the
        table keeps from eviction, so the walk starts behind them and costs only what is new.
        """
        if limit == 0:
            return
        first = known // PAGE_TOKENS
        branch: Root | Node = self._nodes[table[first - 1]] if first else self._root(namespace)
        for index in range(first, pages_for(limit)):
            start = index * PAGE_TOKENS
            run = tuple(keys[start : min(start + PAGE_TOKENS, limit)])
            branch = self._place(branch, run, table, index)

    def make_room(self, num_pages: int) -> None:
        """Evict idle pages, longest unused first, until `num_pages` are free."""
        while self._pool.num_free < num_pages:
            self._remove(self._nodes[self._pool.oldest_idle()])

    def forget_part(self, page: int) -> None:
        """Evict a page that is not whole, unless somebody holds it."""
        node = self._nodes.get(page)
        if node is not None and not node.is_whole and not self._pool.references(page):
            self._remove(node)

    def has(self, node: Node) -> bool:
        """Whether `node` is still there."""
        return self._nodes.get(node.page) is node

    def nodes(self) -> Iterator[Node]:
        """All pages, those of a text in order. The tree must not change meanwhile."""
        pending = deque[Branch](self._roots.values())
        while pending:
            for node in pending.popleft().children:
                yield node
                pending.append(node)

    def take_unsaved(self) -> Node | None:
        """A page that was not named yet, or has grown since, and is written to no more; None: no such."""
        for page in self._unsaved:
            node = self._nodes[page]
            if node.is_whole or not self._pool.references(page):  # whoever writes to a page holds it
                del self._unsaved[page]
                return node
        return None

    def check_integrity(self) -> None:
        """Raise AssertionError unless links, lengths, pages and the pool's view agree."""
        seen: set[int] = set()
        pending: list[Branch] = list(self._roots.values())
        assert all(root.namespace == namespace for namespace, root in self._roots.items())
        assert all(root.children for root in pending), "an empty root stays behind"
        while pending:
            branch = pending.pop()
            keys = [node.keys for node in branch.children]
            assert keys == sorted(set(keys)), "children are out of order, or two are the same"
            for node in branch.children:
                assert node.parent is branch
                assert node.number == (branch.number + 1 if isinstance(branch, Node) else 0)
                assert 0 < len(node.keys) <= PAGE_TOKENS
                assert len(node.keys) == PAGE_TOKENS or not node.children, "text goes on after a partial page"
                assert self._nodes.get(node.page) is node
                assert node.page not in seen
                if isinstance(branch, Node):
                    assert self._pool.references(branch.page) >= self._pool.references(node.page)
                seen.add(node.page)
                pending.append(node)
        assert seen == set(self._nodes), "a node is out of reach"
        assert len(seen) == self._pool.num_cached
        assert seen.issuperset(self._unsaved)

    def _root(self, namespace: CacheNamespace) -> Root:
        return self._roots.setdefault(namespace, Root(namespace=namespace))

    def _place(
        self, branch: Root | Node, run: tuple[PositionKey, ...], table: BlockTable, index: int
    ) -> Node:
        """The node that covers `run` under `branch`: found, grown or new."""
        own = self._nodes.get(table[index])  # from an earlier, shorter insertion of the same sequence
        twin, shared = branch.best(run)
        if twin is not None and shared == len(run):
            if twin is not own and len(run) == PAGE_TOKENS:
                if own is not None:
                    self._remove(own)
                table.replace(index, twin.page)
            return twin
        if own is not None:
            assert own.parent is branch, "a computed page moved"
            assert run[: len(own.keys)] == own.keys, "a computed page changed"
            branch.remove(own)
            own.keys = run
            branch.add(own)
            self._unsaved[own.page] = None
            return own
        node = Node(keys=run, page=table[index], number=index, parent=branch)
        branch.add(node)
        self._nodes[node.page] = node
        self._unsaved[node.page] = None
        self._pool.keep(node.page)
        return node

    def _remove(self, node: Node) -> None:
        assert not node.children, "only leaves are removed"
        node.parent.remove(node)
        del self._nodes[node.page]
        self._unsaved.pop(node.page, None)
        self._pool.drop(node.page)
        if not node.parent.children and isinstance(node.parent, Root):
            del self._roots[node.parent.namespace]
