"""What a file, a database or an answer can hold. It knows only text."""

from mlx_harmony.errors import InvalidRequest


def writable(param: str, text: str) -> str:
    """The text itself; half a character, which no file or answer can hold, raises InvalidRequest."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{param} holds half a character.", hint="Type it again.", param=param) from error
    return text
