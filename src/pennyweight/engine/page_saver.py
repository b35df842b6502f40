"""Which pages go to disk, and when: in pauses all there are, beside answers a few, at the end the rest.

Pages are copied long before they are evicted, because then there is no time for it. A text is worth its disk
space when computing it again takes a while; the pages before a saved one are saved as well, or it could not
be found. Runs on the engine's thread, which copies; a `PageWriter` writes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pennyweight.engine.page_label import following_label
from pennyweight.engine.page_writer import PageWriter
from pennyweight.engine.prefix_tree import Node, Root

if TYPE_CHECKING:
    from pennyweight.engine.page_folder import PageFolder
    from pennyweight.engine.page_label import PageLabel
    from pennyweight.engine.prefix_tree import PrefixTree
    from pennyweight.engine.runner import Runner

LEAST_PAGES = 4  # whole ones, of a text: below 256 tokens computing again costs little, and chats are many
LEAST_TAIL_TOKENS = 16  # of a last page: a file is as large as that of a whole one
SHARE = 0.02  # of the engine's time, beside answers
MOST_CREDIT_S = 0.02
STOP_S = 3.0
FULL_S = 0.02  # before a pause asks again whether the writer takes more


class PageSaver:
    """Saves pages of `tree` to `folder`; without a folder there is nothing to do."""

    def __init__(self, folder: PageFolder | None, tree: PrefixTree, runner: Runner) -> None:
        self._folder = folder
        self._tree = tree
        self._runner = runner
        self._writer = None if folder is None else PageWriter(folder)
        self._chosen: Node | None = None
        self._credit_s = 0.0

    @property
    def wait_s(self) -> float | None:
        """How long a pause may sleep before `save_one` has more to do; None: as long as it likes."""
        if self._writer is None or not self._writer.is_writing or self._choose() is None:
            return None
        return FULL_S

    def save_one(self) -> bool:
        """Copy the next page between two plans; False if there is none, or nowhere to put it."""
        if self._writer is None or not self._writer.takes_more:
            return False
        node = self._choose()
        return node is not None and self._put(node)

    def save_beside(self, seconds: float) -> None:
        """Answers had the cores for `seconds`: a small share of that goes to copying."""
        if self._writer is None:
            return
        self._credit_s = min(MOST_CREDIT_S, self._credit_s + SHARE * seconds)
        while self._credit_s > 0:
            started_s = time.perf_counter()
            if not self.save_one():
                return
            self._credit_s -= time.perf_counter() - started_s

    def close(self, *, keep: bool) -> None:
        """End the writing; with `keep` everything worth it is written before, as far as that is quick."""
        if self._folder is None or self._writer is None:
            return
        ends_s = time.monotonic() + STOP_S
        for node in self._tree.nodes() if keep else ():
            left_s = ends_s - time.monotonic()
            if left_s <= 0 or not self._writer.is_writing:
                break
            if is_worth_saving(node):
                while (missing := self._first_missing(node)) is not None:
                    if not self._put(missing, timeout_s=left_s):
                        break
        self._writer.close(timeout_s=max(0.1, ends_s - time.monotonic()))

    def _put(self, node: Node, *, timeout_s: float = 0.0) -> bool:
        """Copy a page for the writer; False if it takes none, or there is no memory to spare for the copy."""
        label = node_label(node)
        assert self._writer is not None
        assert label is not None
        try:
            return self._writer.put(label, self._runner.read_page(node.page), timeout_s=timeout_s)
        except MemoryError:
            return False

    def _choose(self) -> Node | None:
        """The next page to save: the first of a text that is not on disk yet."""
        while True:
            missing = self._first_missing(self._chosen)
            if missing is not None:
                return missing
            self._chosen = self._tree.take_unsaved()
            if self._chosen is None:
                return None
            if not is_worth_saving(self._chosen):
                self._chosen = None

    def _first_missing(self, node: Node | None) -> Node | None:
        """Of `node` and the pages before it; None if all are on disk, or have gone."""
        missing: Node | None = None
        if node is None or self._folder is None or not self._tree.has(node):
            return None
        at: Root | Node = node
        while isinstance(at, Node):
            label = node_label(at)
            if label is None:
                break
            if not self._folder.holds(label):
                missing = at
            elif at.number >= LEAST_PAGES:
                break  # those before it were there when it was saved; the first ones nobody else looks after
            at = at.parent
        return missing


def is_worth_saving(node: Node) -> bool:
    """Whether the text that ends with this page is long enough, and nowhere longer."""
    if not node.is_whole and (len(node.keys) < LEAST_TAIL_TOKENS or node.is_outgrown):
        return False
    return node.number + node.is_whole >= LEAST_PAGES


def node_label(node: Node) -> PageLabel | None:
    """What `node`'s page is called on disk; None if it cannot be."""
    if node.label is not None:
        return node.label
    path = node.path()
    root = path[0].parent
    assert isinstance(root, Root)
    before: PageLabel | None = None
    for step in path:
        label = step.label or following_label(root.namespace, before, step.keys)
        if label is None:
            return None
        if step.is_whole:
            step.label = label
        before = label
    return before
