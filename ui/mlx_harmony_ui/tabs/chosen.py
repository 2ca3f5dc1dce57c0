"""The model that would answer, as the page's head shows it: its pill, and the line that says that it is the Starter."""

from mlx_harmony.errors import HarmonyError
from mlx_harmony.service import Service
from mlx_harmony_ui import listing, words
from mlx_harmony_ui.render import render

SHORT = 11
"""Letters of a model's name that stand in the head of a narrow screen."""


def chosen_model(service: Service, model: str | None) -> str:
    """The id of the model that would answer, also where it is not on this machine."""
    try:
        return service.find_model(model or None).id
    except HarmonyError:
        return model or service.settings.model


def pill_html(service: Service, model: str) -> str:
    chosen = chosen_model(service, model)
    pill = listing.pill((*service.models(), *service.routing.entries()), service.model_states(), chosen)
    return render("pill", pill=pill, short=short(pill.name, chosen))


def short(name: str, model: str) -> str:
    """The name, or what of the model's id a narrow screen has room for: its owner goes first, then its middle."""
    return name if len(name) <= SHORT else words.shorten(model.rpartition("/")[2], SHORT)


def starter_html(service: Service, model: str | None) -> str:
    """The line that says plainly that this is the Starter, or that the model is gone; nothing for any other model."""
    chosen = chosen_model(service, model)
    entry = next((entry for entry in (*service.models(), *service.routing.entries()) if entry.id == chosen), None)
    bundled = entry is not None and entry.source == "bundled"
    return render("starter", missing="" if entry else chosen, size=words.size(entry.bytes) if entry and bundled else "")
