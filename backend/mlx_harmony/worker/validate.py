"""Every number and id of a request against this model, before any of it reaches mlx, which would die of a bad one."""

from collections.abc import Iterable

from mlx_harmony.errors import ContextTooLong, InvalidRequest
from mlx_harmony.ranges import check_request
from mlx_harmony.records import GenerationRequest, ModelCard
from mlx_harmony.worker.formats import FormatDefaults, PromptFormat

__all__ = ["check_against_model", "check_prompt", "check_request", "end_token_ids", "tokens_left"]


def check_against_model(request: GenerationRequest, card: ModelCard) -> None:
    """Refuse ids and sizes beyond the model's vocabulary. Ranges are `check_request`'s."""
    sampling, size = request.sampling, card.vocabulary_size
    check_ids("logit_bias", sampling.logit_bias, size)
    check_ids("xtc_special_tokens", sampling.xtc_special_tokens or (), size)
    for name, value in (("top_k", sampling.top_k), ("top_logprobs", request.top_logprobs or 0)):
        if value >= size:
            raise InvalidRequest(f"{name} must be below the size of the model's vocabulary, {size}.", param=name)


def end_token_ids(request: GenerationRequest, spoken: PromptFormat) -> dict[int, str]:
    """The control tokens that end this answer besides the format's own, by id. Refuses an end token that the model does not have."""
    known = spoken.tokens.control_ids
    for name in request.end_tokens:
        if name not in known:
            raise InvalidRequest(
                f"end_tokens holds {name[:40]!r}, which is no control token of this model.",
                hint=f"This model's are {', '.join(sorted(known)[:12]) or 'none'}; any other text belongs in stop.",
                param="end_tokens",
            )
    ends = {known[name]: name for name in (*request.end_tokens, *request.stop) if name in known}
    return {token: name for token, name in ends.items() if token not in spoken.stop_tokens}


def check_prompt(tokens: list[int], card: ModelCard) -> None:
    """Refuse an empty prompt, ids outside the vocabulary and a prompt that leaves no room to answer."""
    if not tokens:
        raise InvalidRequest("The prompt is empty.", hint="Type a message first.", param="prompt")
    check_ids("prompt", tokens, card.vocabulary_size)
    if len(tokens) >= card.context_length:
        raise ContextTooLong(
            f"The prompt has {len(tokens)} tokens; the model's context holds {card.context_length}, answer included.",
            hint="Shorten the message, start a new chat, or choose a model with a longer context.",
            param="messages",
        )


def check_ids(param: str, ids: Iterable[int], size: int) -> None:
    """Refuse the first id that is no row of the model's vocabulary."""
    for token in ids:
        if not 0 <= token < size:
            raise InvalidRequest(f"{param} holds the token id {token}; this model's ids go from 0 to {size - 1}.", param=param)


def tokens_left(prompt_length: int, asked: int | None, defaults: FormatDefaults, card: ModelCard) -> int:
    """How many tokens may be generated: what was asked or the format's default, clipped to what the context leaves."""
    return min(asked if asked is not None else defaults.max_tokens, card.context_length - prompt_length)
