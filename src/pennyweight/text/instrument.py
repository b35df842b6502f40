"""What a chat template's syntax tree goes through before it is compiled.

Jinja compiles loops, comparisons, slices and `~` without asking the environment; here they are sent through
its filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.visitor import NodeTransformer

if TYPE_CHECKING:
    from jinja2.parser import Parser

METERED, READ, READ_DEEPLY, JOINED = "_metered", "_read", "_read_deeply", "_joined"
"""Filters the environment must have; their names cannot be written in a template."""


class Instrument(NodeTransformer):
    """Method names are Jinja's."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, METERED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes).set_lineno(node.lineno), JOINED)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        operands: list[nodes.Compare | nodes.Operand] = [node, *node.ops]
        # Beside a constant nothing deep can happen: `tools != none`, `'x' in content`.
        shallow = any(isinstance(operand.expr, nodes.Const) for operand in operands)
        for operand in operands:
            operand.expr = _filtered(operand.expr, READ if shallow else READ_DEEPLY)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, READ)
        return node


class Generation(Extension):
    """`{% generation %}` marks what a model is trained to say; for rendering it is transparent."""

    tags = frozenset({"generation"})  # type: ignore[assignment]

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _filtered(node: nodes.Node, name: str) -> nodes.Expr:
    return cast("nodes.Expr", nodes.Filter(node, name, [], [], None, None).set_lineno(node.lineno))
