"""The alphabet in which byte-level tokenizers write bytes as letters (GPT-2's). Knows no tokenizer."""


def _alphabet() -> dict[str, int]:
    """Printable bytes stand for themselves; the others take the letters from U+0100 on, in order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}


_BYTES = _alphabet()


def bytes_of(letters: str) -> bytes:
    """The bytes a token's letters stand for; a letter outside the alphabet stands for itself."""
    return b"".join(bytes([_BYTES[letter]]) if letter in _BYTES else letter.encode("utf-8", "replace") for letter in letters)
