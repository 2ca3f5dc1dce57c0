"""Frames survive the wire as they are, and bytes that are no frames say so."""

import pytest

from mlx_harmony.engine.wire import (
    MAX_FRAME_BYTES,
    Cancel,
    EventFrame,
    Frame,
    FrameReader,
    Generate,
    Load,
    LoadRefused,
    Progress,
    Shutdown,
    WireError,
    encode,
)
from mlx_harmony.events import Failed, Finished, TextDelta, TokenLogprob
from mlx_harmony.records import ChatPrompt, GenerationRequest, LoadOptions, Message, Sampling, TextPrompt, Timings, TokenPrompt, Tool, Usage

REQUEST = GenerationRequest(
    id="r1",
    prompt=ChatPrompt(
        messages=(Message(role="user", content="grüß dich 👋"),),
        tools=(Tool(kind="function", name="f", parameters={"type": "object", "n": 1.5}),),
    ),
    sampling=Sampling(logit_bias={5: -1.5}, seed=2**62),
    stop=("\n\n",),
)
FRAMES: list[Frame] = [
    Load(options=LoadOptions(path="/models/a", max_context_tokens=10)),
    Generate(request=REQUEST),
    Generate(request=GenerationRequest(id="r2", prompt=TokenPrompt(tokens=(1, 2)))),
    Cancel(request_id="r1"),
    Shutdown(),
    Progress(stage="Reading weights", fraction=0.5),
    LoadRefused(problem=Failed(code="load_failed", message="no", hint="try")),
    EventFrame(
        request_id="r1",
        event=TextDelta(
            index=0, channel="final", text="hi", logprobs=(TokenLogprob(token="hi", token_id=3, logprob=-0.5, top=(("ho", 4, -2.0),)),)
        ),
    ),
    EventFrame(
        request_id="r1",
        event=Finished(
            reason="stop",
            usage=Usage(prompt_tokens=1, completion_tokens=1),
            timings=Timings(prompt_n=1, cached_n=0, prompt_ms=1, predicted_n=1, predicted_ms=2),
        ),
    ),
]


def test_every_frame_comes_back_as_it_went() -> None:
    assert FrameReader().feed(b"".join(map(encode, FRAMES))) == FRAMES


def test_frames_cut_anywhere_are_put_together_again() -> None:
    stream, reader = b"".join(map(encode, FRAMES)), FrameReader()
    received = [frame for at in range(len(stream)) for frame in reader.feed(stream[at : at + 1])]
    assert received == FRAMES
    assert not reader.incomplete


def test_a_stream_that_ends_in_the_middle_of_a_frame_is_known_as_cut() -> None:
    reader = FrameReader()
    assert reader.feed(encode(Shutdown())[:-1]) == []
    assert reader.incomplete


@pytest.mark.parametrize(
    "data",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x01\x01",
        b"\x00\x00\x00\x02\x91\x01",
        (9).to_bytes(4, "big") + b"\x81\xa4type\xa3abc"[:9],
        (11).to_bytes(4, "big") + b"\x81\xa4type\xa4nope",
        (4096).to_bytes(4, "big") + b"\x91" * 4096,
    ],
)
def test_bytes_that_are_no_frame_are_a_clear_error(data: bytes) -> None:
    with pytest.raises(WireError):
        FrameReader().feed(data)


def test_half_a_character_cannot_be_sent_and_says_so() -> None:
    broken = GenerationRequest(id="r", prompt=TextPrompt(text="\ud83d"))
    with pytest.raises(WireError, match="cannot be encoded"):
        encode(Generate(request=broken))


def test_a_frame_over_the_limit_is_not_sent() -> None:
    huge = GenerationRequest(id="r", prompt=TextPrompt(text="x" * (MAX_FRAME_BYTES + 1)))
    with pytest.raises(WireError, match="over the limit"):
        encode(Generate(request=huge))
