"""MLX Harmony: chat with local models on MLX. The public names; each is imported when first asked for, so that starting stays quick."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from mlx_harmony.errors import HarmonyError
    from mlx_harmony.events import Event, Failed, Finished, TextDelta
    from mlx_harmony.records import ChatPrompt, GenerationRequest, Message, Sampling, TextPrompt, TokenPrompt, Tool
    from mlx_harmony.service import Service
    from mlx_harmony.settings import Settings

__all__ = [
    "ChatPrompt",
    "Event",
    "Failed",
    "Finished",
    "GenerationRequest",
    "HarmonyError",
    "Message",
    "Sampling",
    "Service",
    "Settings",
    "TextDelta",
    "TextPrompt",
    "TokenPrompt",
    "Tool",
    "__version__",
]

_HOMES = {
    "errors": ("HarmonyError",),
    "events": ("Event", "Failed", "Finished", "TextDelta"),
    "records": ("ChatPrompt", "GenerationRequest", "Message", "Sampling", "TextPrompt", "TokenPrompt", "Tool"),
    "service": ("Service",),
    "settings": ("Settings",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("mlx-harmony")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
