"""Drives a server as its clients would: one stream, many at once, a long chat. Knows nothing of which server it is."""

import asyncio
import itertools
import time
from typing import Any

from mlx_harmony.bench.client import Streamed, streamed
from mlx_harmony.bench.figures import Bare, Http, Turn, percentile
from mlx_harmony.bench.sides import Way
from mlx_harmony.bench.work import Work, chat_messages, prompt_ids, question

GREEDY = {"temperature": 0, "repetition_penalty": 0.0, "loop_detection": "off", "speculation": "off"}
"""As mlx_lm.server answers by itself; it does not know the last two."""
TOKENS_A_WORD = 2
CHAT_TOKENS = 16
CHAT_WORDS = 40
TRIES = 4
"""So many questions are tried for an answer that is long enough to time."""


class Rounds:
    """Gathers the rounds of one server, so that two servers can take turns."""

    def __init__(self, port: int, work: Work) -> None:
        self._port = port
        self._work = work
        self._one: list[Streamed] = []
        self._crowds: list[tuple[float, list[Streamed]]] = []
        self._chat: list[Turn] = []

    @property
    def prompt_tokens(self) -> int:
        """How long the clients' prompts are for this model."""
        return max(answer.prompt_tokens for _, crowd in self._crowds for answer in crowd)

    async def run(self, number: int) -> None:
        """One round: one client, then all of them at once. Raises Unmeasured."""
        for another in range(TRIES):
            self._one.append(await self._ask(number * 1000 + 999 - another))
            if self._one[-1].tokens >= self._work.tokens // 2:
                break
        began = time.perf_counter()
        crowd = await asyncio.gather(*(self._ask(number * 1000 + client) for client in range(self._work.clients)))
        self._crowds.append((time.perf_counter() - began, list(crowd)))

    async def talk(self) -> None:
        """A chat, turn after turn. Raises Unmeasured."""
        for turn in range(self._work.turns):
            body = {"messages": chat_messages(turn, CHAT_WORDS), "max_tokens": CHAT_TOKENS, **GREEDY}
            answer = await streamed(self._port, body)
            read = answer.prompt_tokens - answer.cached_tokens
            self._chat.append(Turn(prompt_tokens=answer.prompt_tokens, read_tokens=read, first_token_s=answer.first_token_s))

    def figures(self) -> Http:
        """The best round's rates; waits and gaps of all."""
        answers = [answer for _, crowd in self._crowds for answer in crowd]
        gaps = [(after - before) * 1000 for answer in answers for before, after in itertools.pairwise(answer.stamps)]
        return Http(
            clients=self._work.clients,
            tokens_per_second=max((sum(answer.tokens for answer in crowd) / seconds for seconds, crowd in self._crowds), default=0.0),
            one_client_per_second=max((answer.decode_per_second for answer in self._one), default=0.0),
            first_token_p95_s=percentile([answer.first_token_s for answer in answers], 0.95),
            gap_p95_ms=percentile(gaps, 0.95),
            prompt_tokens=max((answer.prompt_tokens for answer in answers), default=0),
            chat=tuple(self._chat),
        )

    async def _ask(self, number: int) -> Streamed:
        content = question(number, self._work.prompt_tokens // TOKENS_A_WORD)
        body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "max_tokens": self._work.tokens, **GREEDY}
        return await streamed(self._port, body)


class BareRounds:
    """The same work for bare loops: prompts as long as the clients', no server."""

    def __init__(self, way: Way, work: Work) -> None:
        self._way = way
        self._work = work
        self._one: list[float] = []
        self._many: list[float] = []
        self._length = 0

    async def run(self, number: int, length: int) -> None:
        """One round with prompts of so many tokens. Raises Unmeasured."""
        self._length = length
        prompts = [prompt_ids(number * 1000 + at, length, self._way.vocabulary) for at in range(self._work.clients + 1)]
        self._one.append((await self._way.one(prompts[-1], self._work.tokens)).decode_per_second)
        self._many.append(await self._way.many(prompts[:-1], self._work.tokens))

    def figures(self) -> Bare:
        """The best round's."""
        return Bare(prompt_tokens=self._length, one_per_second=max(self._one), many_per_second=max(self._many))
