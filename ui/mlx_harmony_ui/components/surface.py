"""The two parts the page is built of: surfaces that the server draws on, and the bridge over which the page speaks. No chat in here."""

import json
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import gradio as gr

EVENTS = (
    "open",
    "earlier",
    "look",
    "search",
    "rename",
    "remove",
    "undo",
    "restore",
    "empty_trash",
    "send",
    "regenerate",
    "replay",
    "edit",
    "go_on",
    "fork",
    "drop",
    "undrop",
    "stop",
    "version",
    "copy",
    "as_text",
    "details",
    "context",
    "copy_as",
    "imported",
    "tray",
    "detach",
    "into_text",
    "attachment",
    "command",
    "options",
    "profile",
    "preset",
    "pulse",
    "show",
    "cache",
    "cache_act",
    "models",
    "models_act",
    "models_ask",
    "models_remove",
    "models_restore",
    "models_empty",
    "models_trash",
    "alias_form",
    "alias_save",
    "alias_remove",
    "find_models",
    "offer",
    "get_model",
    "compare_look",
    "compare",
    "compare_back",
    "compare_stop",
    "compare_keep",
    "jobs",
    "job",
    "load_model",
    "unload_model",
    "setting",
)
_serials = count(1)


def surface(name: str, elem_id: str, value: str = "") -> gr.HTML:
    """A place for HTML that is merged in by keys. The value never becomes a template: braces and `${}` in it stay text."""
    script = f"harmony.surface({json.dumps(name)}, element, props, watch);"
    return gr.HTML(value, elem_id=elem_id, html_template="", js_on_load=script, apply_default_css=False)


def bridge() -> gr.HTML:
    """The page's side of every event; its value carries commands to the page."""
    script = f"/* {' '.join(repr(name) for name in EVENTS)} */ harmony.bridge(trigger, props, watch);"
    return gr.HTML("", elem_id="bridge", html_template="", js_on_load=script, apply_default_css=False)


class Handler(NamedTuple):
    """What runs on an event: `fn` takes the event, and the request where it asks for one; `outputs` are drawn on."""

    fn: Callable[..., Any]
    outputs: Sequence[gr.HTML] = ()
    queue: bool = True


def wire(speaker: gr.HTML, event: str, handler: Handler) -> None:
    """Bind one event of the bridge, private and without Gradio's own progress."""
    getattr(speaker, event)(
        handler.fn,
        inputs=None,
        outputs=list(handler.outputs),
        queue=handler.queue,
        show_progress="hidden",
        trigger_mode="multiple",
        concurrency_limit=None,
        api_visibility="private",
    )


class Commands:
    """Commands to the page, gathered over one event: each is obeyed once, however often the list is sent."""

    def __init__(self) -> None:
        self._commands: list[dict[str, object]] = []

    def add(self, do: str, **details: object) -> "Commands":
        self._commands.append({"serial": next(_serials), "do": do, **details})
        return self

    def fail(self, text: str) -> "Commands":
        """Say that something was refused or failed: it is told in that tone and stays until it is closed."""
        return self.add("say", text=text, tone="bad")

    def __str__(self) -> str:
        # Without a < in it, for Gradio looks for tags in all that a component is given.
        return json.dumps(self._commands).replace("<", "\\u003c")


def text_of(event: gr.EventData, name: str, limit: int = 1_000_000) -> str:
    """A text the page sent; anything else that a client may send in its place counts as empty."""
    value = _given(event, name)
    return value if isinstance(value, str) and len(value) <= limit else ""


def number_of(event: gr.EventData, name: str) -> int:
    """A whole number the page sent; 0 in place of anything else."""
    value = _given(event, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def ids_of(event: gr.EventData, name: str, most: int = 100) -> tuple[str, ...]:
    """The ids the page sent, at most so many; whatever else stands among them is passed over."""
    return tuple(each for each in texts_of(event, name) if len(each) <= 64)[:most]


def texts_of(event: gr.EventData, name: str) -> tuple[str, ...]:
    """The texts of a list the page sent; whatever else stands in it is passed over."""
    value = _given(event, name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def record_of(event: gr.EventData, name: str) -> dict[str, Any]:
    """A record the page sent; an empty one in place of anything else."""
    value = _given(event, name)
    return value if isinstance(value, dict) else {}


def _given(event: gr.EventData, name: str) -> object:
    return event._data.get(name) if isinstance(event._data, dict) else None
