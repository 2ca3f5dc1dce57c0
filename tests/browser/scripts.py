"""What the scripted model says, chosen by words of the last message."""

from collections.abc import Sequence

from mlx_harmony.events import Event, Failed, MessageStarted, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest
from tests.fixtures.scripted import call, say
from tests.ui.hostile import SNIPPETS

LONG = " ".join(f"word{number}" for number in range(600))


def script(request: GenerationRequest) -> Sequence[Event]:
    assert isinstance(request.prompt, ChatPrompt)
    said = request.prompt.messages[-1].content
    if said.startswith("hostile "):
        snippet = SNIPPETS[int(said.split()[1])]
        return say(snippet, thinking=snippet, pieces=2)
    match said.split()[0]:
        case "long":
            return say(LONG, thinking="A long answer was asked for.", pieces=400)
        case "think":
            return say("Thought through.", thinking=LONG, pieces=40)
        case "call":
            return call("python", "python", '{"code": "print(417 * 36)"}')
        case "crash":
            text = TextDelta(index=0, channel="final", text="So far and")
            return [MessageStarted(index=0, channel="final"), text, Failed(code="engine_crashed", message="It was killed.")]
        case "lines":
            return say("\n\n".join(f"Line {number}." for number in range(80)), pieces=40)
        case _:
            return say(f"You said: {said}", thinking="They said something.")
