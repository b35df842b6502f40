"""How long a step takes, learnt from the steps that ran, and the prompt chunk that follows from it.

Model: seconds = decode(rows) + tokens * token_s. Both parts are running averages, decode by powers of two of
the number of rows. Longer contexts and a busier machine show up in the averages within a few steps.
"""

from __future__ import annotations

GAP_S = 0.070  # longest wanted gap between two tokens of a running stream
IDLE_STEP_S = 0.250  # longest step when no stream runs: what an arrival or a cancel may have to wait
MIN_CHUNK = 16  # a prompt advances by as much however slow the decode rows are
MAX_CHUNK = 1024
MIN_TOKEN_S = 1e-6  # a decode average of other rows may exceed a whole mixed step
NEW_WEIGHT = 0.25  # weight of the newest measurement


class StepCost:
    """Fed with measured steps by the loop, asked for chunk sizes by the scheduler."""

    def __init__(self, *, token_s: float = 1e-3) -> None:
        self._token_s = token_s  # the guess lasts until the first prompt was measured
        self._measured = False
        self._decode_s: dict[int, float] = {}

    def observe(self, *, prefill_tokens: int, decode_rows: int, seconds: float) -> None:
        """One step of `decode_rows` single tokens and `prefill_tokens` prompt tokens took `seconds`."""
        if prefill_tokens == 0 and decode_rows > 0:
            bucket = decode_rows.bit_length()
            self._decode_s[bucket] = _average(self._decode_s.get(bucket, seconds), seconds)
        elif prefill_tokens >= MIN_CHUNK:  # shorter ones measure the fixed part of a step
            token_s = max(MIN_TOKEN_S, (seconds - self.decode_s(decode_rows)) / prefill_tokens)
            self._token_s = _average(self._token_s if self._measured else token_s, token_s)
            self._measured = True

    def decode_s(self, rows: int) -> float:
        """Expected seconds of a step of `rows` single tokens: of the nearest number of rows measured."""
        if rows == 0 or not self._decode_s:
            return 0.0
        wanted = rows.bit_length()
        return self._decode_s[min(self._decode_s, key=lambda bucket: (abs(bucket - wanted), bucket))]

    def chunk_tokens(self, *, decode_rows: int) -> int:
        """Prompt tokens the next step may compute beside `decode_rows` running streams."""
        left_s = GAP_S - self.decode_s(decode_rows) if decode_rows else IDLE_STEP_S
        if left_s >= MAX_CHUNK * self._token_s:
            return MAX_CHUNK
        return max(MIN_CHUNK, int(left_s / self._token_s))


def _average(old: float, new: float) -> float:
    return old + NEW_WEIGHT * (new - old)
