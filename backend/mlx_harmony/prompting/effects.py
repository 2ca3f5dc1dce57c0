"""Which fields of a prompt config do nothing in this release, and why: the notices that a person gets, and nothing else."""

_ONE_HOME = "everything the app writes lies in its home folder (MLX_HARMONY_HOME)"
_MEMORY = "each model's own process looks after its memory"

NO_EFFECT: dict[str, str] = {
    "mlock": _MEMORY,
    "lazy": _MEMORY,
    "clear_cache": _MEMORY,
    "clear_cache_interval": _MEMORY,
    "clear_cache_generation": _MEMORY,
    "log_memory_stats": "the Models tab shows memory",
    "logs_dir": _ONE_HOME,
    "chats_dir": _ONE_HOME,
    "max_tool_iterations": "tools are not run yet",
    "max_resume_attempts": "a cut answer goes on when it is asked to",
}
"""Field and reason. Every other field takes effect; a test holds each of them to it."""

REMOVED: dict[str, str] = {"prewarm_cache": "prompts are remembered as they are read, so there is nothing to warm"}
"""Keys of earlier releases that are gone for good."""
