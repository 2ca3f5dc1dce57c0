"""The figures of an answer that was made in two runs, as one. Pure."""

from mlx_harmony.records import Timings, Usage


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
