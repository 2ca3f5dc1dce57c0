"""POST /v1/chat/completions: reads and checks the body, asks the service, answers whole or in chunks."""

import time

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mlx_harmony.api.answers import StreamedReply, WholeReply
from mlx_harmony.api.body import read_json
from mlx_harmony.api.chat_request import adapter_of, generation_request, read_body, said_by
from mlx_harmony.api.line import Pace
from mlx_harmony.api.openai_chat import ChunkedAnswer, Reply, WholeAnswer
from mlx_harmony.api.schemas import ChatBody
from mlx_harmony.conversation.profiled import with_profile
from mlx_harmony.service import Service

router = APIRouter()


@router.post("/chat/completions", include_in_schema=False)
async def chat_completions(request: Request) -> Response:
    """One answer to a conversation, in OpenAI's shape; `model` may also be an alias or a profile."""
    body = read_body(await read_json(request))
    asked = generation_request(body)
    service: Service = request.app.state.service
    pace: Pace = request.app.state.pace
    # In a thread: looking for a model may scan folders, and other answers are being streamed meanwhile.
    options = await run_in_threadpool(service.routing.profile, body.model)
    if options is not None:
        asked = with_profile(asked, options, said_by(body))
    entry = await run_in_threadpool(service.find_model, options.model if options else body.model, adapter_of(body))
    reply = _reply(body, asked.id, entry.id)
    events = service.generate(entry.id, asked)
    if body.stream:
        return StreamedReply(events, ChunkedAnswer(reply).chunks, pace)
    return WholeReply(events, WholeAnswer(reply))


def _reply(body: ChatBody, id_: str, model: str) -> Reply:
    options = body.stream_options
    return Reply(
        id=id_,
        created=int(time.time()),
        model=model,
        include_usage=bool(options and options.include_usage),
        logprobs=bool(body.logprobs),
    )
