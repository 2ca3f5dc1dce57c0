"""How much of a model's context a request may use, and how much of that its prompt. Pure sums; knows no model and no tokenizer."""

from mlx_harmony.records import GenerationRequest

ANSWER_SHARE = 4
"""At most one part in so many of the context is kept free for the answer."""


def context_of(request: GenerationRequest, context_length: int) -> int:
    """The tokens that this request may use of a model's context. A margin that leaves nothing of it is ignored."""
    context = min(context_length, request.max_context_tokens or context_length)
    return context - request.context_margin if request.context_margin < context else context


def prompt_room(request: GenerationRequest, context_length: int, usual_answer: int) -> int:
    """The most tokens a prompt may have before turns go: the context less room for the answer, and no more than its budget.

    `usual_answer` is how long an answer may get where the request does not say.
    """
    context = context_of(request, context_length)
    asked = usual_answer if request.max_tokens is None else request.max_tokens
    limit = context - min(asked, context // ANSWER_SHARE)
    return min(limit, request.prompt_budget or limit)
