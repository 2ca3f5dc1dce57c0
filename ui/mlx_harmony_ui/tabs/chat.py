"""The Chat tab's frame: which surfaces it has and which event of the page leads where. What happens then is in `talk` and `chats`."""

from typing import NamedTuple

import gradio as gr

from mlx_harmony.conversation.commands import suggestions
from mlx_harmony.records import EFFORTS
from mlx_harmony.service import Service
from mlx_harmony_ui.components.surface import Handler, surface, wire
from mlx_harmony_ui.controls import TOOLS
from mlx_harmony_ui.render import render
from mlx_harmony_ui.running import Desk
from mlx_harmony_ui.tabs.attaching import Attaching
from mlx_harmony_ui.tabs.chats import Chats
from mlx_harmony_ui.tabs.commanding import Commanding
from mlx_harmony_ui.tabs.figures import Figures
from mlx_harmony_ui.tabs.files import Files
from mlx_harmony_ui.tabs.messages import Messages
from mlx_harmony_ui.tabs.options import Options
from mlx_harmony_ui.tabs.presets import PresetPicking
from mlx_harmony_ui.tabs.talk import Talk

EXAMPLES = (
    ("Ask about this app", "What does the temperature slider do?"),
    ("Have it remember", "My cat is called Pixel. Please remember that."),
    ("Small tasks", "Sort these words: pear, apple, fig, cherry."),
)


class ChatSurfaces(NamedTuple):
    """The parts of the tab that the server draws on."""

    starter: gr.HTML
    history: gr.HTML
    live: gr.HTML
    chats: gr.HTML
    tuning: gr.HTML
    details: gr.HTML
    meter: gr.HTML


def layout() -> ChatSurfaces:
    """Side, middle and panel, in reading order."""
    with gr.Column(elem_id="side"):
        surface("side", "side-head", render("side"))
        chats = surface("chats", "chats")
        surface("side-foot", "side-foot", render("sidefoot"))
    with gr.Column(elem_id="middle"):
        starter = surface("starter", "starter")
        with gr.Column(elem_id="scroll"):
            surface("welcome", "welcome", render("welcome", examples=EXAMPLES))
            history = surface("history", "history")
            live = surface("live", "live")
        surface("latest", "latest", render("latest"))
        meter = surface("meter", "meter")
        surface("composer", "composer", render("composer", efforts=EFFORTS, tools=TOOLS, suggestions=suggestions()))
    with gr.Column(elem_id="panel"):
        surface("panel", "panel-head", render("panel"))
        tuning = surface("tuning", "tuning")
        details = surface("details", "details", render("details", view=None))
    return ChatSurfaces(starter, history, live, chats, tuning, details, meter)


def connect(bridge: gr.HTML, at: ChatSurfaces, pill: gr.HTML, service: Service) -> Desk:
    """Bind every event of the tab; the desk knows the answers being written."""
    desk = Desk()
    chats = Chats(service, desk)
    messages = Messages(service)
    figures = Figures(service)
    files = Files(service)
    attaching = Attaching(service)
    commanding = Commanding(service)
    presets = PresetPicking(service)
    options = Options(service)
    talk = Talk(service, desk)
    view = (at.history, at.tuning, at.details, at.starter, at.chats, pill, bridge)
    turn = (at.live, at.history, at.details, bridge)
    for event, handler in (
        ("open", Handler(chats.open, view)),
        ("earlier", Handler(chats.earlier, (at.history,))),
        ("look", Handler(chats.look, (at.history, at.chats, bridge))),
        ("search", Handler(chats.search, (at.chats, bridge))),
        ("rename", Handler(chats.rename, (at.chats, bridge))),
        ("remove", Handler(chats.remove, (at.chats, bridge))),
        ("undo", Handler(chats.undo, (at.chats, bridge))),
        ("copy", Handler(chats.copy, (bridge,))),
        ("as_text", Handler(chats.as_text, (bridge,))),
        ("version", Handler(messages.version, (at.history, at.details, bridge))),
        ("details", Handler(chats.details, (at.details,))),
        ("imported", Handler(files.imported, (at.chats, bridge))),
        ("tray", Handler(attaching.tray, (bridge,))),
        ("detach", Handler(attaching.detach)),
        ("into_text", Handler(attaching.into_text, (bridge,))),
        ("attachment", Handler(attaching.attachment, (bridge,))),
        ("command", Handler(commanding.command, (at.tuning, bridge))),
        ("context", Handler(figures.context, (at.meter,))),
        ("copy_as", Handler(figures.copy_as, (bridge,))),
        ("options", Handler(options.save, (bridge,))),
        ("preset", Handler(presets.preset, (at.tuning, bridge))),
        ("profile", Handler(options.profile, (at.tuning, at.starter, pill, at.history, bridge))),
        ("send", Handler(talk.send, turn)),
        ("regenerate", Handler(talk.regenerate, turn)),
        ("replay", Handler(talk.replay, turn)),
        ("edit", Handler(talk.edit, turn)),
        ("go_on", Handler(talk.go_on, turn)),
        ("fork", Handler(messages.fork, (at.chats, bridge))),
        ("drop", Handler(messages.drop, (at.history, at.details, at.chats, bridge))),
        ("undrop", Handler(messages.undrop, (at.history, at.details, at.chats, bridge))),
        ("stop", Handler(talk.stop, (), queue=False)),
    ):
        wire(bridge, event, handler)
    return desk
