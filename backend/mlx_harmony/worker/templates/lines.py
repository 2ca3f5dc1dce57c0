"""A conversation as lines, each behind the prefix of its role: for models without a chat template. Owns the usual prefixes.

A prefix, and what ends a line, may hold control tokens by their names; what somebody wrote between them never becomes one.
"""

from mlx_harmony.records import Role, RoleMapping
from mlx_harmony.worker.tokens import Tokens

USUAL = RoleMapping(system="system: ", developer="developer: ", user="user: ", assistant="assistant: ", tool="tool: ", stop="\n")


class Lines:
    """The lines of one prompt as tokens."""

    def __init__(self, tokens: Tokens, roles: RoleMapping | None) -> None:
        self._tokens = tokens
        self._roles = roles or USUAL

    def first(self) -> list[int]:
        """What stands before a conversation that brings no instructions."""
        return self._written("", self._roles.system_prompt, self._roles.stop) if self._roles.system_prompt else []

    def line(self, role: Role, text: str) -> list[int]:
        """One message."""
        return self._written(getattr(self._roles, role), text, self._roles.stop)

    def opened(self, text: str | None) -> list[int]:
        """The answer's line: begun, or with what was said of it already."""
        prefix = self._roles.assistant
        return self._written(prefix.rstrip(), "", "") if text is None else self._written(prefix, text, "")

    @property
    def stops(self) -> tuple[str, ...]:
        """What in an answer's text shows that the model has begun to speak for others."""
        heads = (self._roles.user.strip(), self._roles.system.strip())
        ends = (self._roles.stop.rstrip(), *(f"{self._roles.stop}{head}" if head else "" for head in heads))
        return tuple(dict.fromkeys(end for end in ends if end.strip()))

    def _written(self, before: str, text: str, after: str) -> list[int]:
        names = self._tokens.names_control
        cut = max((end for _, end in names(before)), default=0)
        ends = min((start for start, _ in names(after)), default=len(after))
        markup, close = before[:cut], after[ends:]
        said = self._tokens.encode_text(f"{before[cut:]}{text}{after[:ends]}")
        return [
            *(self._tokens.encode_markup(markup) if markup else ()),
            *said,
            *(self._tokens.encode_markup(close) if close else ()),
        ]
