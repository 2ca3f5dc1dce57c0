"""The figures of an answer that was made in two runs, as one. Pure."""

from mlx_harmony.records import Speculated, Timings, Usage


def both_usages(first: Usage, second: Usage) -> Usage:
    """What the answer took in tokens: the first run's prompt, all that was written."""
    return Usage(
        prompt_tokens=first.prompt_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cached_tokens=first.cached_tokens,
        reasoning_tokens=first.reasoning_tokens + second.reasoning_tokens,
    )


def both_timings(first: Timings, second: Timings) -> Timings:
    """What the answer took in time: both runs together; the first token is the first run's."""
    return Timings(
        prompt_n=first.prompt_n + second.prompt_n,
        cached_n=first.cached_n + second.cached_n,
        prompt_ms=first.prompt_ms + second.prompt_ms,
        predicted_n=first.predicted_n + second.predicted_n,
        predicted_ms=first.predicted_ms + second.predicted_ms,
        queued_ms=first.queued_ms + second.queued_ms,
        first_token_ms=first.first_token_ms,
    )


def both_guesses(first: Speculated | None, second: Speculated | None) -> Speculated | None:
    """What guessing brought in both runs; the note is the second's."""
    if first is None or second is None:
        return second or first
    kinds = {kind for kind in (first.kind, second.kind) if kind != "none"}
    return Speculated(
        kind=kinds.pop() if len(kinds) == 1 else ("mixed" if kinds else "none"),
        drafted=first.drafted + second.drafted,
        accepted=first.accepted + second.accepted,
        passes=first.passes + second.passes,
        draft_model=second.draft_model or first.draft_model,
        paused=second.paused,
        note=second.note,
    )
