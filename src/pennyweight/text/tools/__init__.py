"""Tools: how a model is told of them, how it calls them, and how its text becomes calls again.

    dialect = find_dialect(metadata)                      # once per model: its own way, or the generic one
    prompt = dialect.prompt(messages, tools)              # what to give `ChatTemplate.render`
    parts = template.render(prompt.messages, tools=prompt.tools)
    mask = dialect.mask(compiler, allowed, required=..., parallel=..., control=tokenizer.special_tokens)
    detokenizer = Detokenizer(tokenizer, shown=dialect.shown(tokenizer.special_tokens))
    parser = dialect.parser(tools)
    for event in parser.push(text): ...                   # TextDelta | CallStart | ArgumentsDelta
    for event in parser.flush(): ...

`find_dialect` is in `detect`, `Tool` and the events in `tool`; `compiler` is the model's
`grammar.compiler.GrammarCompiler`, and a mask is the request's `core.MaskProvider`.

`messages` are plain dictionaries in OpenAI's chat shape: role, content (text), `tool_calls` with
`id`, `type`, `function.name`, `function.arguments` (JSON text) or `custom.name`, `custom.input`, and
`tool_call_id` of results. `tools` are `Tool`s. `allowed` are those the choice leaves over: all of them for
`auto` and `required`, one for a named choice, the listed ones for `allowed_tools`. With the choice `none`
give the tools to `prompt` alone: no grammar, no parser.

Promises: with `required` the answer is one call or more and nothing else (or its end is `length`);
arguments of a strict function are valid against its schema, those of others are a JSON object; a custom
tool's input follows its format. The parser never fails: what is no call stays text.
"""
