"""Grammars: what text an answer may have, as masks over the tokens of one model.

`GrammarCompiler` (one per model, built off the request path) turns a `GrammarSource` into mask providers.
`json_schema`, `json_object`, `lark` and `regex` of `source` make sources; `schema` decides what of a JSON
schema can be promised and refuses the rest by name. The matching itself is done by `llguidance`.
"""
