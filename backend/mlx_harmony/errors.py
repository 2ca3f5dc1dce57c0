"""The one error tree; every failure a person can meet is in it, and three small tables at the edges (api, ui, cli) map it.

HarmonyError                    message: what happened; code: stable word; hint: what to do next
├── RequestError                the request is at fault
│   ├── InvalidRequest          a field is missing, of the wrong type or out of range (`param` names it)
│   ├── ContextTooLong          the prompt does not fit the model's context
│   ├── ModelNotFound           no model of that id on this machine
│   ├── ChatNotFound            no chat or message of that id
│   ├── ChatChanged             the chat is no longer as the sender saw it
│   ├── ToolNotFound            a call to a tool that was not offered
│   └── HubRefused              the hub gives a model only to those with a token, or who accepted its licence
├── Unavailable                 the same request can succeed later
│   ├── QueueFull               too many requests are waiting
│   ├── ModelLoading            the model is still being loaded
│   ├── EngineCrashed           the model's process died; the next request starts it again
│   └── ShuttingDown            the program is stopping
├── ModelError                  the model is at fault
│   ├── LoadFailed              files are missing or corrupt
│   ├── UnsupportedArchitecture mlx-lm has no such architecture, or the model wants to run code of its own
│   ├── AdapterMismatch         LoRA weights do not fit the model they are to go over
│   ├── OutOfMemory             it does not fit this machine
│   └── GenerationFailed        a step raised
├── StorageError                a file could not be read or written (disk full, corrupt chat file, read-only folder)
├── ConversionError             a conversion stopped
├── ToolError                   told to the model as the tool's result
│   ├── ToolTimeout
│   ├── ToolRefused
│   └── SandboxUnavailable
└── SettingsError               a setting, flag or environment variable is not usable
"""

from typing import ClassVar


class HarmonyError(Exception):
    """Base of every error this program raises on purpose."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str = "", param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param


class RequestError(HarmonyError):
    code = "request"


class InvalidRequest(RequestError):
    code = "invalid_request"


class ContextTooLong(RequestError):
    code = "context_too_long"


class ModelNotFound(RequestError):
    code = "model_not_found"


class ChatNotFound(RequestError):
    code = "chat_not_found"


class ChatChanged(RequestError):
    code = "chat_changed"


class ToolNotFound(RequestError):
    code = "tool_not_found"


class HubRefused(RequestError):
    code = "hub_refused"


class Unavailable(HarmonyError):
    code = "unavailable"


class QueueFull(Unavailable):
    code = "queue_full"


class ModelLoading(Unavailable):
    code = "model_loading"


class EngineCrashed(Unavailable):
    code = "engine_crashed"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class ModelError(HarmonyError):
    code = "model"


class LoadFailed(ModelError):
    code = "load_failed"


class UnsupportedArchitecture(ModelError):
    code = "unsupported_architecture"


class AdapterMismatch(ModelError):
    code = "adapter_mismatch"


class OutOfMemory(ModelError):
    code = "out_of_memory"


class GenerationFailed(ModelError):
    code = "generation_failed"


class StorageError(HarmonyError):
    code = "storage"


class ConversionError(HarmonyError):
    code = "conversion"


class ToolError(HarmonyError):
    code = "tool"


class ToolTimeout(ToolError):
    code = "tool_timeout"


class ToolRefused(ToolError):
    code = "tool_refused"


class SandboxUnavailable(ToolError):
    code = "sandbox_unavailable"


class SettingsError(HarmonyError):
    code = "settings"


def _tree(root: type[HarmonyError]) -> list[type[HarmonyError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


ERRORS: dict[str, type[HarmonyError]] = {error.code: error for error in _tree(HarmonyError)}
"""Every class of the tree by its code: how an error crosses the wire and comes back as itself."""
