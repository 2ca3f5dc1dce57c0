"""What a failure is called on the page: one headline for every code of the error tree. The error itself brings message and hint."""

from mlx_harmony.conversation.records import ChatMessage
from mlx_harmony.errors import ERRORS, HarmonyError
from mlx_harmony.events import Failed

HEADLINES: dict[str, str] = {
    "internal": "Something went wrong in the app",
    "request": "That could not be sent",
    "invalid_request": "That could not be sent",
    "context_too_long": "This chat is longer than the model can read",
    "model_not_found": "That model is not on this machine",
    "chat_not_found": "That chat is gone",
    "chat_changed": "This chat has changed in another window",
    "tool_not_found": "The model asked for a tool it was not given",
    "hub_refused": "The hub does not give that to everyone",
    "unavailable": "Not possible right now",
    "queue_full": "Too many requests are waiting",
    "model_loading": "The model is still loading",
    "engine_crashed": "The model’s process stopped",
    "shutting_down": "The app is closing",
    "model": "The model failed",
    "load_failed": "The model could not be loaded",
    "unsupported_architecture": "This kind of model cannot be run",
    "adapter_mismatch": "The adapter does not fit its model",
    "out_of_memory": "The model does not fit this machine’s memory",
    "generation_failed": "The model failed while it was answering",
    "storage": "The chat could not be saved",
    "conversion": "The conversion stopped",
    "tool": "The tool failed",
    "tool_timeout": "The tool took too long",
    "tool_refused": "The tool was refused",
    "sandbox_unavailable": "The sandbox is not available",
    "settings": "A setting cannot be used",
}

RESTARTS = "Your text is safe. Send again and the model restarts."


def headline(code: str) -> str:
    return HEADLINES.get(code, HEADLINES["internal"])


def explain(failed: Failed) -> str:
    """Message and hint in one paragraph; a crash always says that the next message restarts the model."""
    said = " ".join(part for part in (failed.message, failed.hint) if part)
    if failed.code == "engine_crashed" and "restart" not in said.lower():
        return f"{said} {RESTARTS}".strip()
    return said


def said(failed: Failed) -> str:
    """Headline and explanation in one line, for the line above the composer."""
    return f"{headline(failed.code)}. {explain(failed)}"


def told(error: HarmonyError) -> str:
    """The same for an error that was raised."""
    return said(Failed.of(error))


def report(message: ChatMessage) -> str:
    """What ended an answer, with all that somebody would need who looks into it; "" for an answer that did not fail."""
    failed, made = message.error, message.provenance
    if failed is None:
        return ""
    lines = [f"{headline(failed.code)} ({failed.code})", failed.message, failed.hint]
    if made:
        lines += [f"Model: {made.model} {made.fingerprint[:12]}".rstrip(), f"MLX Harmony {made.version}" if made.version else ""]
    return "\n".join(filter(None, (*lines, f"Message {message.id} of chat {message.chat_id}")))


def untold() -> set[str]:
    """Codes without a headline; a test holds it empty."""
    return set(ERRORS) - set(HEADLINES)
