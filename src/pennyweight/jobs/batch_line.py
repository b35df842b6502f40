"""One line of a batch's input: OpenAI's `{"custom_id", "method", "url", "body"}`.

(https://platform.openai.com/docs/api-reference/batch/request-input)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.answers.json_body import read_json_object
from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Collection

ENDPOINTS: Final = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
"""What a batch may ask."""
_FIELDS = ("custom_id", "method", "url", "body")


class LineError(InvalidRequestError):
    """A line that makes its file no batch."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        # Kept and told as UTF-8, which halves of surrogate pairs in what it quotes do not have.
        super().__init__(_as_utf8(message), param=None if param is None else _as_utf8(param))
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """`number` is the line's in its file, from 1; `model` is `body`'s."""

    number: int
    custom_id: str
    url: str
    model: str
    body: dict[str, object]


def _as_utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def parse_line(raw: bytes, *, number: int, urls: Collection[str]) -> BatchLine:
    """Raises LineError. `urls` are the endpoints there are, or the one that is left."""
    try:
        fields = read_json_object(raw, name="The line")
    except InvalidRequestError as error:
        raise LineError(error.message, code="invalid_json_line") from error
    for name in _FIELDS:
        if fields.get(name) is None:
            raise LineError(
                f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name
            )
    unknown = sorted(fields.keys() - set(_FIELDS))
    if unknown:
        message = f"Unknown parameter: '{unknown[0]:.80}'; a line has {', '.join(_FIELDS)}."
        raise LineError(message, code="unknown_parameter", param=unknown[0])
    custom_id, body = fields["custom_id"], fields["body"]
    if not isinstance(custom_id, str) or not custom_id:
        message = "'custom_id' must be a string that is not empty."
        raise LineError(message, code="invalid_custom_id", param="custom_id")
    if _as_utf8(custom_id) != custom_id:
        message = "'custom_id' has half a surrogate pair; send whole characters."
        raise LineError(message, code="invalid_custom_id", param="custom_id")
    if fields["method"] != "POST":
        raise LineError("'method' must be POST.", code="invalid_method", param="method")
    if fields["url"] not in urls:
        wanted = " or ".join(sorted(urls))
        message = f"The url of the line must be {wanted}, the endpoint of the batch."
        raise LineError(message, code="invalid_url", param="url")
    if not isinstance(body, dict):
        raise LineError("'body' must be an object.", code="invalid_type", param="body")
    if not isinstance(body.get("model"), str):
        raise LineError("The body names no model.", code="missing_required_parameter", param="body.model")
    return BatchLine(
        number=number, custom_id=custom_id, url=str(fields["url"]), model=str(body["model"]), body=body
    )
