"""One request from its prompt to its end, as events. Owns nothing that outlives the request; knows no queue and no transport.

Between its events it says what it waits for, so that whoever drives it can bring many together: the loop does, `run` drives one alone.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

import msgspec

from mlx_harmony.cache_records import Reuse
from mlx_harmony.events import Event, Finished, FinishReason, Prefill, Trimmed
from mlx_harmony.records import GenerationRequest, KvOptions, Prompt, PromptCount, Timings, Usage
from mlx_harmony.worker.batch import Batch
from mlx_harmony.worker.cache.account import Asker
from mlx_harmony.worker.decode import Drawing, Row
from mlx_harmony.worker.footprint import peak_bytes
from mlx_harmony.worker.formats import Rendered
from mlx_harmony.worker.kv import PLAIN, KvSize, size_of
from mlx_harmony.worker.kv_caches import KvCaches, KvUse
from mlx_harmony.worker.load import LoadedModel
from mlx_harmony.worker.pace import Pace
from mlx_harmony.worker.prompt_cache import Layers, PromptCache
from mlx_harmony.worker.reading import Reading
from mlx_harmony.worker.rendering import Rendering, beside
from mlx_harmony.worker.reply import Reply
from mlx_harmony.worker.sampling import Penalties, Sampler
from mlx_harmony.worker.speculation.draft_model import Draft
from mlx_harmony.worker.speculation.drafting import NO_DRAFT_MODEL, TOO_LONG, Drafter, Drafting, Lookup
from mlx_harmony.worker.speculation.drafts import Drafts, Found
from mlx_harmony.worker.speculation.gain import MOST, Choice
from mlx_harmony.worker.trim import capped, fit_prompt, prompt_limit
from mlx_harmony.worker.turns import Turn
from mlx_harmony.worker.validate import check_against_model, check_prompt, check_request, end_token_ids, tokens_left

Cancelled = Callable[[], bool]
RenderGuard = Callable[[], AbstractContextManager[None]]
"""Stands around the rendering of a prompt, which runs a model's own template."""


Wait = Rendering | Turn | Reading | Row
"""What a generation waits for: a long prompt's rendering, a turn of what is fetched for it, its turn to read the next chunk, or the next
token of its row."""

Steps = Generator[Event | Wait, Drawing | None, None]


class Desk(NamedTuple):
    """What outlives a request: the model, what it has read before, and how fast it reads; and the draft model beside it."""

    loaded: LoadedModel
    cache: PromptCache
    pace: Pace
    guard: RenderGuard = nullcontext
    drafts: Drafts | None = None
    caches: KvCaches | None = None

    def kept(self, kv: KvOptions) -> KvUse:
        """Where a request with such KV finds and keeps what was read. Raises InvalidRequest where the model cannot have it so."""
        return (self.caches or KvCaches(self.loaded.model, self.cache)).use(kv)

    def render(self, prompt: Prompt) -> Rendered:
        """The prompt's tokens, rendered under guard."""
        with self.guard():
            return self.loaded.format.render(prompt)


class Generation:
    """Answers one request. `run` may be left at any point; what was read is then kept for the next prompt."""

    def __init__(self, desk: Desk, request: GenerationRequest, cancelled: Cancelled, asked_at: float) -> None:
        self._desk = desk
        self._request = request
        self._cancelled = cancelled
        self._asked_at = asked_at
        self._began_at = time.perf_counter()
        self._first_at = 0.0
        self._prompt: list[int] = []
        self._cached = 0
        self._reuse: Reuse | None = None
        self._drafting: Drafting | None = None
        self._kept = KvUse(PLAIN, desk.cache)
        self._size = KvSize()

    def run(self, gain: Choice | None = None) -> Iterator[Event]:
        """The events of an answer that is made alone."""
        batch = Batch(self._desk.loaded.model, gain)
        steps = self.steps(batch)
        step = next(steps, None)
        while step is not None:
            if isinstance(step, Row):
                ((_, drawing),) = batch.step()
                step = steps.send(drawing)
                continue
            if isinstance(step, Reading | Turn):
                step.wait()
            elif not isinstance(step, Rendering):
                yield step
            step = next(steps, None)

    def steps(self, batch: Batch) -> Steps:
        """The events, ending in Finished, and between them what this waits for: its turn to read on, or its row's next Drawing.

        Raises RequestError for what the model cannot take; anything else is the model's failure.
        """
        request, loaded = self._request, self._desk.loaded
        check_request(request)
        check_against_model(request, loaded.card)
        end_token_ids(request, loaded.format)
        self._kept = self._desk.kept(request.kv)
        found = yield from self._draft_model()
        rendered = yield from self._fit(busy=len(batch) > 0) if request.trim else self._whole(busy=len(batch) > 0)
        self._prompt = rendered.tokens
        check_prompt(self._prompt, capped(loaded.card, request))
        sampler = self._sampler()
        asker = Asker(request.chat, partial(self._place, rendered))
        reading = Reading(loaded.model, self._kept, self._desk.pace, self._prompt, asker)
        yield from self._read(reading, rendered.boundaries)
        self._drafting = self._guessing(found, batch.gain, sampler)
        if self._cancelled():
            yield self._finished("cancelled", sampler.seed)
            return
        yield from self._write(batch, reading.layers, sampler)

    def _place(self, rendered: Rendered, position: int) -> str:
        """In which part of the prompt a token stands; a model's own template may have to be asked."""
        with self._desk.guard():
            return rendered.place(position)

    def _whole(self, *, busy: bool) -> Generator[Event | Wait, Drawing | None, Rendered]:
        """The prompt as it is."""
        prompt = self._request.prompt
        return (yield from beside(prompt, lambda: self._desk.render(prompt), busy=busy))

    def _fit(self, *, busy: bool) -> Generator[Event | Wait, Drawing | None, Rendered]:
        """The prompt less what the context has no room for; the event says what went."""
        loaded = self._desk.loaded
        limit = prompt_limit(self._request, loaded.format.defaults, loaded.card)
        prompt = self._request.prompt
        fitted = yield from beside(prompt, lambda: fit_prompt(self._desk.render, prompt, limit), busy=busy)
        if fitted.dropped:
            self._request = msgspec.structs.replace(self._request, prompt=fitted.prompt)
            yield Trimmed(messages=fitted.dropped)
        return fitted.rendered

    def _sampler(self) -> Sampler:
        sampling, defaults = self._request.sampling, self._desk.loaded.format.defaults
        window = sampling.repetition_context_size
        chosen = (sampling.repetition_penalty, self._desk.loaded.repetition_penalty, defaults.repetition_penalty)
        penalties = Penalties(
            repetition=next(value for value in chosen if value is not None),
            presence=sampling.presence_penalty,
            frequency=sampling.frequency_penalty,
            window=defaults.repetition_context_size if window is None else window,
            bias=sampling.logit_bias,
        )
        kept = sampling.xtc_special_tokens
        if kept is None and sampling.xtc_probability > 0:
            kept = tuple(protected_from_xtc(self._desk.loaded))
        return Sampler(sampling, penalties, kept or (), self._prompt)

    def _read(self, reading: Reading, boundaries: Sequence[int]) -> Steps:
        total = len(self._prompt)
        yield from self._begin(reading, boundaries)
        if not reading.begun:
            return
        self._cached, self._reuse = reading.cached, reading.reuse
        yield Prefill(done=reading.done, total=total, cached=self._cached)
        while not reading.over and not self._cancelled():
            reading.read()
            yield Prefill(done=reading.seen, total=total, cached=self._cached)
            if not reading.over:
                yield reading
        if self._cancelled():
            reading.leave()
            self._size = size_of(reading.layers)

    def _begin(self, reading: Reading, boundaries: Sequence[int] = ()) -> Steps:
        """Wait for its turn and for what it takes from the disk; who is cancelled meanwhile does not begin."""
        yield reading
        while not self._cancelled() and not reading.begin(boundaries):
            yield reading
        if not reading.begun:
            reading.leave()

    def _write(self, batch: Batch, layers: Layers, sampler: Sampler) -> Steps:
        loaded, request = self._desk.loaded, self._request
        reply = Reply(loaded, request)
        left = tokens_left(len(self._prompt), request.max_tokens, loaded.format.defaults, capped(loaded.card, request))
        row = Row(sampler, request.top_logprobs, len(self._prompt) - 1, left, self._drafting, self._kept.form)
        batch.join(row, layers, self._prompt[-1:])
        try:
            yield from self._draw(batch, row, reply)
            yield from reply.ending()
            layers = batch.leave(row)
            self._size = size_of(layers)
            said = [*self._prompt, *reply.written][: row.held]
            self._kept.cache.put(said, layers, len(self._prompt), request.chat)
            if self._desk.caches is not None:
                self._desk.caches.settle(self._kept.form)
        finally:
            batch.drop(row)
            if self._drafting is not None:
                self._drafting.close()
        called = reply.parser.called_tool and reply.reason == "stop" and reply.stop is None
        yield self._finished("tool_calls" if called else reply.reason, sampler.seed, reply)

    def _draft_model(self) -> Generator[Event | Wait, Drawing | None, Found]:
        """The draft model that is to guess for this answer, loaded where it is not yet."""
        request, drafts = self._request, self._desk.drafts
        if drafts is None or request.speculation not in ("auto", "draft"):
            return Found()
        found = yield from drafts.wanted(request, self._cancelled)
        if request.speculation == "draft" and found == Found():
            return Found(note=NO_DRAFT_MODEL)
        return found

    def _guessing(self, found: Found, gain: Choice, sampler: Sampler) -> Drafting | None:
        """Who guesses the tokens of this answer, None where nobody is to."""
        request, draft, note = self._request, found.draft, found.note
        if request.speculation == "off" or self._cancelled():
            return None
        drafters: list[Drafter] = [] if request.speculation == "draft" else [Lookup(self._prompt)]
        if draft is not None and not draft.can_read(self._prompt):
            draft, note = None, TOO_LONG
        if draft is not None:
            drafters.append(Draft(draft, self._prompt, sampler, self._desk.loaded.card.vocabulary_size))
        return Drafting(drafters, gain, request.num_draft_tokens or MOST, note, draft.id if draft is not None else "")

    def _draw(self, batch: Batch, row: Row, reply: Reply) -> Steps:
        """The answer's events until it is over; thinking is closed where its budget is used up."""
        if (closing := reply.closing(row.left)) is not None:
            yield self._begun()
            yield from self._say(batch, row, reply, closing)
        while row.left > 0:
            drawing = yield row
            if row.problem is not None:
                raise row.problem.error()
            if drawing is not None:
                if not reply.written:
                    yield self._begun()
                yield from reply.take(drawing)
            if reply.over:
                return
            if self._cancelled():
                reply.reason = "cancelled"
                return
            if row.lost and row.left > 0:
                yield from self._resume(batch, row, reply)
                if row.lost:
                    return
            if (closing := reply.closing(row.left)) is not None:
                yield from self._say(batch, row, reply, closing)

    def _say(self, batch: Batch, row: Row, reply: Reply, tokens: list[int]) -> Steps:
        """Put words into the model's mouth: it goes on as if it had said these tokens itself."""
        yield from reply.say(tokens)
        row.sampler.look_back_on([*self._prompt, *reply.written])
        batch.say(row, tokens)

    def _resume(self, batch: Batch, row: Row, reply: Reply) -> Steps:
        """Read again what a row had read and said, whose caches were lost when others failed beside it."""
        again, asker = [*self._prompt, *reply.written], Asker(self._request.chat)
        reading = Reading(self._desk.loaded.model, self._kept, self._desk.pace, again, asker)
        yield from self._begin(reading)
        while not reading.over and not self._cancelled():
            reading.read()
            yield reading
        if not reading.over:
            reply.reason = "cancelled"
            return
        row.lost, row.held = False, reading.end
        batch.join(row, reading.layers, again[-1:])

    def _begun(self) -> Prefill:
        """The prompt is read and the first token drawn."""
        self._first_at = time.perf_counter()
        return Prefill(done=len(self._prompt), total=len(self._prompt), cached=self._cached)

    def _finished(self, reason: FinishReason, seed: int, reply: Reply | None = None) -> Finished:
        now, written = time.perf_counter(), len(reply.written) if reply else 0
        first_at = self._first_at or now
        return Finished(
            reason=reason,
            usage=Usage(
                prompt_tokens=len(self._prompt),
                completion_tokens=written,
                cached_tokens=self._cached,
                reasoning_tokens=reply.parser.reasoning_tokens if reply else 0,
            ),
            timings=Timings(
                prompt_n=len(self._prompt) - self._cached,
                cached_n=self._cached,
                prompt_ms=(first_at - self._began_at) * 1000,
                predicted_n=written,
                predicted_ms=(now - first_at) * 1000 if written else 0.0,
                queued_ms=(self._began_at - self._asked_at) * 1000,
                first_token_ms=(first_at - self._asked_at) * 1000 if written else 0.0,
                kv_length=self._size.length,
                kv_bytes=self._size.bytes,
                peak_bytes=peak_bytes(self._desk.loaded.card.device),
                kept_bytes=self._desk.caches.kept_bytes if self._desk.caches else 0,
            ),
            seed=seed,
            stop=reply.stop if reply else None,
            repaired=reply.parser.repaired if reply else "",
            note=reply.note if reply else "",
            reuse=self._reuse,
            speculation=self._drafting.record() if self._drafting is not None else None,
        )


def count_prompt(desk: Desk, request: GenerationRequest) -> PromptCount:
    """How long a request's prompt is and what of it would go. Raises RequestError as the request itself would."""
    check_request(request)
    loaded = desk.loaded
    limit = prompt_limit(request, loaded.format.defaults, loaded.card)
    fitted = fit_prompt(desk.render, request.prompt, limit)
    kept = desk.kept(request.kv).cache
    reused, token_s = kept.peek(fitted.rendered.tokens), kept.token_s
    return PromptCount(
        total=len(fitted.whole.tokens),
        limit=limit,
        context_length=capped(loaded.card, request).context_length,
        sent=len(fitted.rendered.tokens),
        messages=fitted.whole.parts,
        dropped=fitted.dropped,
        tokenised=fitted.whole.tokenised + (fitted.rendered.tokenised if fitted.dropped else 0),
        reused=reused,
        seconds=(len(fitted.rendered.tokens) - reused) * token_s if token_s else None,
    )


def protected_from_xtc(loaded: LoadedModel) -> list[int]:
    """What XTC must never exclude: the tokens that end an answer, and the line break."""
    breaks = loaded.tokenizer.encode("\n", add_special_tokens=False)
    return sorted({*loaded.format.stop_tokens, *breaks[-1:]})
