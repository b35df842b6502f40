"""How long a step takes, learnt from the steps that ran, and the prompt chunk that follows from it.

Model: seconds = decode(tokens) + prompt tokens * (token_s + attend_s * mean context). `decode` is the curve
below running averages at about four sizes per doubling, drafts included, that bends upwards only: a size that
ran but once, when the machine was slow, is not shunned for ever. The two others are a running
regression over steps with prompts in them. Longer contexts and a busier machine show up within a few steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

GAP_S = 0.045  # wanted gap between tokens of running streams beside prompts: 80 ms is the limit
BATCH_GAP_S = 0.100  # likewise where all are lines of batches: nobody follows these, but somebody may arrive
IDLE_STEP_S = 0.250  # longest step when no stream runs: what an arrival or a cancel may have to wait
MIN_CHUNK = 16  # a prompt advances by as much however slow the decode rows are
MAX_CHUNK = 1024
MIN_TOKEN_S = 1e-6  # a decode average of other rows may exceed a whole mixed step
NEW_WEIGHT = 0.25  # weight of the newest measurement
DECODE_GUESS_S = 0.003  # of the first token, until one was measured
TOKEN_GUESS_S = 4e-3  # of a prompt token, likewise; too slow costs one small step, too fast a long gap
DRAFT_COST = 1.3  # a draft token against one of a prompt: it needs logits and is sampled
DOUBT = 2.0  # prompt tokens that seem as many times faster than before are not
FIRST_DOUBT = 20.0  # as long as before is the guess, or one of the
NUM_FIRST = 3  # first measurements, which are often slow
MAX_SLOWDOWN = 1.5  # of a decode step that is believed: a stall says nothing about the next one
SPREAD = 128.0  # contexts must differ by as many positions before a slope is told from noise
SLOPE_WEIGHT = 0.1  # of the newest slope: on a busy machine single ones are wild
MAX_SHARE = 0.5  # of the mean cost that the slope may explain: without it a chunk at position 0 seems free


@dataclass(frozen=True, slots=True)
class StepShape:
    """What a step computes: tokens of decode rows and drafts, prompt tokens, and the positions these see."""

    decode_tokens: int
    prompt_tokens: int = 0
    attended: int = 0  # summed over the prompt tokens


class StepCost:
    """Fed with measured steps by the loop, asked for chunks and drafts by the scheduler."""

    def __init__(self, *, token_s: float = TOKEN_GUESS_S) -> None:
        self._prompt = _Line(token_s)  # the guess lasts until the first prompt was measured
        self._decode: dict[int, tuple[float, float]] = {}  # size class -> running (tokens, seconds)
        self._curve: list[tuple[float, float]] = []  # the lower hull of these; empty: to be drawn again
        self.spent_s = 0.0  # of the gap that the next step ends: others had the cores for so long

    def observe(self, shape: StepShape, seconds: float) -> None:
        """One step of this shape took `seconds`."""
        if shape.prompt_tokens == 0 and shape.decode_tokens > 0:
            self._observe_decode(shape.decode_tokens, seconds)
        elif shape.prompt_tokens >= MIN_CHUNK:  # shorter ones measure the fixed part of a step
            self._observe_mixed(shape, seconds)

    def decode_s(self, tokens: int) -> float:
        """Expected seconds of a step of `tokens` tokens that all sample."""
        if tokens == 0:
            return 0.0
        points = self._curve = self._curve or _lower_hull(self._decode.values()) or [(1.0, DECODE_GUESS_S)]
        for (left, left_s), (right, right_s) in pairwise(points):
            if left <= tokens < right:
                return left_s + (right_s - left_s) * (tokens - left) / (right - left)
        if tokens < points[0][0]:
            return points[0][1]
        last, last_s = points[-1]
        return last_s + (tokens - last) * DRAFT_COST * self._prompt.at(0.0)

    def prompt_s(self, *, start: int, tokens: int) -> float:
        """Expected seconds that `tokens` prompt tokens from position `start` on add to a step."""
        return tokens * self._prompt.at(start + tokens / 2)

    def prompt_budget_s(self, *, decode_tokens: int, gap_s: float = GAP_S) -> float:
        """Seconds the next step may spend on prompts beside running streams that want gaps of `gap_s`."""
        if not decode_tokens:
            return IDLE_STEP_S
        return gap_s - self.decode_s(decode_tokens) - self.spent_s

    def chunk_tokens(self, left_s: float, *, start: int) -> int:
        """Prompt tokens from position `start` on that take `left_s` seconds; at most MAX_CHUNK."""
        each_s, slope_s = self._prompt.at(start), self._prompt.slope / 2
        # n * (each + slope * n) = left, in the form that loses no digits when the slope is tiny or 0
        root = math.sqrt(each_s * each_s + 4 * slope_s * max(0.0, left_s))
        return int(min(MAX_CHUNK, 2 * max(0.0, left_s) / (each_s + root)))

    def _observe_mixed(self, shape: StepShape, seconds: float) -> None:
        """What the decode rows leave is the prompts', unless that is far too little to be true."""
        context = shape.attended / shape.prompt_tokens
        decode_s = self.decode_s(shape.decode_tokens) if self._decode else 0.0
        believed_s = self._prompt.at(context)
        each_s = (seconds - decode_s) / shape.prompt_tokens
        if decode_s and each_s < believed_s / (FIRST_DOUBT if self._prompt.is_new else DOUBT):
            # Not the prompts got faster, the decode rows were believed too slow, after a stall perhaps. While
            # prompts wait nothing else corrects that, and chunks would grow without bound.
            faster = seconds / (decode_s + shape.prompt_tokens * believed_s)
            self._observe_decode(shape.decode_tokens, decode_s * faster)
            self._prompt.scale(_average(1.0, faster))
            return
        self._prompt.add(context, max(MIN_TOKEN_S, each_s))

    def _observe_decode(self, tokens: int, seconds: float) -> None:
        self._curve = []
        size = round(4 * math.log2(tokens))
        seconds = max(MIN_TOKEN_S, seconds)
        if size not in self._decode:
            # A lone outlier must not scare everybody off: nobody would measure again.
            most_s = 2 * self.decode_s(tokens) if self._decode else seconds
            self._decode[size], self._curve = (tokens, min(seconds, most_s)), []
            return
        old_tokens, old_s = self._decode[size]
        new_s = _average(old_s, min(seconds, MAX_SLOWDOWN * old_s))
        # The machine's speed is common to all sizes: those not run at the moment follow half of the way.
        drift = math.sqrt(new_s / old_s)
        self._decode = {other: (count, s * drift) for other, (count, s) in self._decode.items()}
        self._decode[size] = _average(old_tokens, tokens), new_s


class _Line:
    """Running least squares of y over x: recent points count most."""

    def __init__(self, guess: float) -> None:
        self._mean_x, self._mean_y = 0.0, guess
        self._xx, self._xy = 0.0, 0.0
        self._count = 0
        self.slope = 0.0

    @property
    def is_new(self) -> bool:
        """Whether what is believed rests on a guess or on little."""
        return self._count < NUM_FIRST

    def add(self, x: float, y: float) -> None:
        self._count += 1
        if self._count == 1:
            self._mean_x, self._mean_y = x, y
            return
        y = min(y, 2 * self.at(x))  # a stall of the machine says nothing about the next step
        dx, dy = x - self._mean_x, y - self._mean_y
        # The first of all may have been the stall, which only ever makes a step slower.
        weight = 1.0 if self._count <= NUM_FIRST and dy < 0 else NEW_WEIGHT
        self._mean_x += weight * dx
        self._mean_y += weight * dy
        self._xx = (1 - weight) * (self._xx + weight * dx * dx)
        self._xy = (1 - weight) * (self._xy + weight * dx * dy)
        if self._xx > SPREAD * SPREAD:
            steepest = MAX_SHARE * self._mean_y / max(1.0, self._mean_x)
            measured = min(steepest, max(0.0, self._xy / self._xx))
            self.slope += SLOPE_WEIGHT * (measured - self.slope)

    def scale(self, factor: float) -> None:
        """Without a measurement: everything takes `factor` times what was believed."""
        self._mean_y *= factor
        self._xy *= factor
        self.slope *= factor

    def at(self, x: float) -> float:
        least = max(MIN_TOKEN_S, (1 - MAX_SHARE) * self._mean_y)
        return max(least, self._mean_y + self.slope * (x - self._mean_x))


def _average(old: float, new: float) -> float:
    return old + NEW_WEIGHT * (new - old)


def _lower_hull(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Andrew's monotone chain: of rising x, the points that no line between two others passes below."""
    hull: list[tuple[float, float]] = []
    for x, y in sorted(points):
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (y1 - y0) * (x - x0) < (y - y0) * (x1 - x0):
                break
            hull.pop()
        hull.append((x, y))
    return hull
