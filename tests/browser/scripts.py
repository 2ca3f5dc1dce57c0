"""What the scripted model says, chosen by words of the last message."""

from collections.abc import Sequence

import msgspec

from mlx_harmony.events import Event, Failed, Loading, MessageEnded, MessageStarted, Queued, TextDelta
from mlx_harmony.records import ChatPrompt, GenerationRequest
from tests.fixtures.scripted import call, finished, say
from tests.ui.hostile import SNIPPETS

LONG = " ".join(f"word{number}" for number in range(600))

EVERYTHING = """A sentence with **weight**, `code`, [a link](https://example.com/page) and ~~a slip~~. And a second one.

## What there is

1. First, with a [mail address](mailto:someone@example.com).
2. Second.

> A word that somebody else said.

| Planet | Moons |
|--------|------:|
| Mars   | 2     |

```python
def moons(planet: str) -> int:  # how many
    return {"Mars": 2}.get(planet, 0)
```

![a picture](https://example.com/a.png)

$$x^2 + y_1 = \\frac{1}{2}$$
"""


def chorus() -> list[Event]:
    """An answer with every voice: thinking, a word beforehand, a call, and all of Markdown."""
    events: list[Event] = []
    for index, (channel, text) in enumerate((("analysis", "Let me think."), ("commentary", "I will look at the moons first."))):
        events += [MessageStarted(index=index, channel=channel), TextDelta(index=index, channel=channel, text=text)]  # type: ignore[arg-type]
        events.append(MessageEnded(index=index, stop_token="<|end|>", raw=text, tokens=4))
    asked = [msgspec.structs.replace(event, index=2) for event in call("python", "python", '{"code": "moons()"}')[:-1]]  # type: ignore[call-arg]
    final = [
        MessageStarted(index=3, channel="final"),
        *(TextDelta(index=3, channel="final", text=line) for line in EVERYTHING.splitlines(True)),
    ]
    return [*events, *asked, *final, MessageEnded(index=3, stop_token="<|return|>", raw=EVERYTHING, tokens=90), finished("stop")]


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
        case "voices":
            return chorus()
        case "loading":
            return [*(Loading(stage="reading weights", fraction=min(0.4, at / 250)) for at in range(600)), *say("Loaded.")]
        case "queued":
            return [*(Queued(position=3) for _ in range(600)), *say("At last.")]
        case "lines":
            return say("\n\n".join(f"Line {number}." for number in range(80)), pieces=40)
        case "slowly":
            return say("\n\n".join(f"Line {number}." for number in range(80)), pieces=300)
        case _:
            return say(f"You said: {said}", thinking="They said something.")
