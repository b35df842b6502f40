"""How text is cut into words before byte-level BPE: one row per published `tokenizer.ggml.pre`.

A rule is a list of patterns applied one after the other, each cutting the pieces of the one before; what no
pattern matches stays a piece. The patterns are facts about the models: from the `tokenizer.json` each came
with.
"""

from __future__ import annotations

from dataclasses import dataclass

from pennyweight.errors import ModelFileError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _BLANKS
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _BLANKS
_QWEN35 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + _BLANKS
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = r"[^\r\n\p{L}\p{N}]?"
_TEKKEN = (
    f"{_CASED}{_UPPER}*{_LOWER}+|{_CASED}{_UPPER}+{_LOWER}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _BLANKS
)
_GPT4O = (
    f"{_CASED}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_CASED}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _BLANKS
)
_BAILING = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_SEED = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" + _BLANKS
_CASED_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481"
    "\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b"
    "\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d"
    "\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b"
    "\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_LLM = (
    "[\r\n]", rf"\s?[{_CASED_LETTERS}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", _HAN, r"\p{N}+",
)  # fmt: skip
_DEEPSEEK_CODER = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN, r"\p{N}")
_DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + _BLANKS,
)
_FALCON = (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]")
_DIGITS_GPT2 = (r"\p{N}", _GPT2)
_BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenizer:
    """`whole_words`: a word that is itself a token is taken without merging."""

    patterns: tuple[str, ...]
    nfc: bool = False
    whole_words: bool = False
    add_bos: bool = False


_LLAMA3_RULE = PreTokenizer(patterns=(_LLAMA3,), whole_words=True, add_bos=True)
_RULES: tuple[tuple[str, PreTokenizer], ...] = (
    ("gpt-2 phi-2 gigachat mellum exaone4 jais trillion a.x-4.0", PreTokenizer(patterns=(_GPT2,))),
    ("mpt olmo gpt-neox", PreTokenizer(patterns=(_GPT2,), nfc=True)),
    ("smollm starcoder refact codeshell exaone minerva-7b mellum2", PreTokenizer(patterns=_DIGITS_GPT2)),
    ("command-r", PreTokenizer(patterns=_DIGITS_GPT2, nfc=True)),
    ("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2", _LLAMA3_RULE),
    ("dbrx smaug-bpe chatglm-bpe", PreTokenizer(patterns=(_LLAMA3,))),
    ("glm4 glm5", PreTokenizer(patterns=(_LLAMA3,), whole_words=True)),
    ("qwen2 stablelm2 megrez", PreTokenizer(patterns=(_QWEN2,), nfc=True)),
    ("deepseek-r1-qwen hunyuan solar-open grok-2 kormo", PreTokenizer(patterns=(_QWEN2,))),
    ("qwen35", PreTokenizer(patterns=(_QWEN35,), nfc=True)),
    ("deepseek-llm", PreTokenizer(patterns=_DEEPSEEK_LLM)),
    ("deepseek-coder", PreTokenizer(patterns=_DEEPSEEK_CODER)),
    ("deepseek-v3 hunyuan-dense joyai-llm", PreTokenizer(patterns=_DEEPSEEK_V3)),
    ("falcon", PreTokenizer(patterns=_FALCON)),
    ("tekken", PreTokenizer(patterns=(_TEKKEN,), whole_words=True, add_bos=True)),
    ("gpt-4o llama4 kanana2 minimax-m2", PreTokenizer(patterns=(_GPT4O,))),
    ("bailingmoe bailingmoe2 llada-moe", PreTokenizer(patterns=(_BAILING,))),
    ("seed-coder", PreTokenizer(patterns=(_SEED,))),
    ("poro-chat bloom gpt3-finnish", PreTokenizer(patterns=(_BLOOM,))),
    ("viking", PreTokenizer(patterns=(_BLOOM, r"\p{N}"))),
)


def find_pretokenizer(name: str | None, architecture: str | None) -> PreTokenizer:
    """The rule for `tokenizer.ggml.pre`. ModelFileError names an unknown one: a guess changes every token.

    Files older than the key are read for the one family that never needed it, GPT-NeoX.
    """
    if name is None and architecture == "gptneox":
        name = "gpt-neox"
    for names, rule in _RULES:
        if name in names.split():
            return rule
    known = " ".join(names for names, _ in _RULES)
    raise ModelFileError(
        f"tokenizer.ggml.pre is {name!r}, a way to cut words this version does not know. Known: {known}. "
        "Convert the model again with a current converter, or choose another model."
    )


def name_of(patterns: tuple[str, ...], *, nfc: bool, whole_words: bool) -> str | None:
    """A published name for the rule that cuts by `patterns`; None if there is none."""
    for names, rule in _RULES:
        if (rule.patterns, rule.nfc, rule.whole_words) == (patterns, nfc, whole_words):
            return names.split()[0]
    return None
