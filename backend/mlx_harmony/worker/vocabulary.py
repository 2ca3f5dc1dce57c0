"""Harmony's vocabulary, o200k_base.tiktoken, made on this machine so that openai-harmony never needs the network.

Owns the file and its checksum. Knows nothing of prompts. Safe against several workers starting at once.
"""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

import splintr

from mlx_harmony.errors import LoadFailed
from mlx_harmony.models.kind import MAX_TOKENIZER_BYTES
from mlx_harmony.worker.bytelevel import bytes_of

FILE = "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
SIZE_BYTES = 3_613_922
TOKENS = 199_998
URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
DOWNLOAD_TIMEOUT_S = 30.0

Source = Callable[[], bytes]
"""Gives the file's content; raises OSError or ValueError where it cannot."""


def o200k_folder(home: Path, model_folder: Path | None = None, sources: tuple[Source, ...] | None = None) -> Path:
    """The folder that holds the verified vocabulary; openai-harmony is told of it through TIKTOKEN_ENCODINGS_BASE.

    `sources` are tried in order, by default splintr-rs, the model's own tokenizer.json, the download. Raises LoadFailed.
    """
    folder = home / "vocabulary"
    file = folder / FILE
    if not _verified(file):
        _write(file, _first_good(sources or (from_splintr, lambda: from_tokenizer(model_folder), download)))
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(folder)
    return folder


def from_splintr() -> bytes:
    """The vocabulary that PyPI's splintr-rs carries."""
    tokenizer = splintr.Tokenizer.from_pretrained("o200k_base")
    return _lines(tokenizer.decode_bytes([rank]) for rank in range(TOKENS))


def from_tokenizer(model_folder: Path | None) -> bytes:
    """The vocabulary in a gpt-oss model's own tokenizer.json: the same ranks, in byte-level letters."""
    if model_folder is None:
        raise ValueError("no model to take it from")
    with (model_folder / "tokenizer.json").open("rb") as file:
        content = json.loads(file.read(MAX_TOKENIZER_BYTES))
    model = content.get("model") if isinstance(content, dict) else None
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):
        raise ValueError("tokenizer.json holds no vocabulary")
    letters = {rank: text for text, rank in vocabulary.items() if isinstance(rank, int)}
    if any(rank not in letters for rank in range(TOKENS)):
        raise ValueError("tokenizer.json holds another vocabulary")
    return _lines(bytes_of(letters[rank]) for rank in range(TOKENS))


def download() -> bytes:
    """The file from where openai-harmony itself would fetch it."""
    with urllib.request.urlopen(URL, timeout=DOWNLOAD_TIMEOUT_S) as response:
        content: bytes = response.read(SIZE_BYTES + 1)
    return content


def _lines(pieces: Iterable[bytes]) -> bytes:
    return b"".join(base64.b64encode(piece) + b" %d\n" % rank for rank, piece in enumerate(pieces))


def _verified(file: Path) -> bool:
    try:
        return file.stat().st_size == SIZE_BYTES and _right(file.read_bytes())
    except OSError:
        return False


def _right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _first_good(sources: tuple[Source, ...]) -> bytes:
    problems = []
    for source in sources:
        try:
            content = source()
        except (OSError, ValueError, RecursionError) as error:
            problems.append(str(error) or type(error).__name__)
            continue
        if _right(content):
            return content
        problems.append("the content's checksum is wrong")
    raise LoadFailed(
        f"Harmony's vocabulary could not be made: {'; '.join(problems)}.",
        hint=f"Install splintr-rs again (`pip install --force-reinstall splintr-rs`), or put {FILE} into the app's vocabulary folder.",
    )


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all; two workers that write at once write the same bytes."""
    temporary = file.with_name(f"{FILE}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise LoadFailed(
            f"Harmony's vocabulary could not be written to {file.parent}: {error.strerror or error}.",
            hint="Free some disk space, or set MLX_HARMONY_HOME to a folder that can be written.",
        ) from error
