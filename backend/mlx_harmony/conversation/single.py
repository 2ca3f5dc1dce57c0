"""One prompt without a chat, as the request that a chat would begin with. Pure; knows no storage."""

import time
import uuid

from mlx_harmony.conversation.history import framed
from mlx_harmony.conversation.records import TurnOptions
from mlx_harmony.prompting.records import ChatSetup
from mlx_harmony.records import GenerationRequest, Message


def single_request(text: str, options: TurnOptions) -> GenerationRequest:
    """The request for one answer, with all that a chat would begin with but its greeting."""
    setup = options.setup or ChatSetup()
    return GenerationRequest(
        id=uuid.uuid4().hex,
        prompt=framed((Message(role="user", content=text),), options, time.time()),
        sampling=options.sampling,
        max_tokens=options.max_tokens,
        stop=options.stop,
        loop_detection=setup.loop_detection,
        kv=options.kv,
        max_context_tokens=setup.max_context_tokens,
        context_margin=setup.max_context_tokens_margin,
        prompt_budget=setup.prompt_token_budget,
        speculation=options.speculation,
        num_draft_tokens=options.num_draft_tokens,
        draft_model=options.draft_model,
    )
