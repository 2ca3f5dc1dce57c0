"""The names that go to the hub and come from it: ids, revisions, commits, checksums and files. Checked before they become part of
an address or a path. Pure.
"""

import re

from mlx_harmony.errors import InvalidRequest, LoadFailed

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_REVISION = 200
LONGEST_NAME = 255
LONGEST_PATH = 1000
MAIN = "main"


def checked_id(text: str) -> str:
    """The id of a model, `organisation/name`. Raises InvalidRequest, with the character that cannot be in one."""
    model_id = text.strip()
    if _ID.fullmatch(model_id) and "--" not in model_id and ".." not in model_id and not model_id.endswith(".git"):
        return model_id
    strange = next((letter for letter in model_id if not (letter.isascii() and (letter.isalnum() or letter in "/_.-"))), "")
    why = f" {strange!r} cannot be in one; it may only look like another letter." if strange else ""
    hint = "An id looks like mlx-community/Qwen3-4B-4bit: letters, digits, dots, dashes and one slash."
    raise InvalidRequest(f"{_short(text)} is no model's id.{why}", hint=hint, param="id")


def checked_revision(text: str) -> str:
    """The name of a branch or tag, or a commit. Raises InvalidRequest."""
    revision = text.strip() or MAIN
    if len(revision) <= LONGEST_REVISION and _REVISION.fullmatch(revision) and ".." not in revision and not revision.endswith(".lock"):
        return revision
    hint = "Name a branch, a tag or a commit of the model, or leave it out for the newest."
    raise InvalidRequest(f"{_short(text)} is no revision.", hint=hint, param="revision")


def is_commit(revision: object) -> bool:
    return isinstance(revision, str) and bool(_COMMIT.fullmatch(revision))


def checked_commit(commit: object) -> str:
    """A commit in full. Raises InvalidRequest."""
    if isinstance(commit, str) and is_commit(commit):
        return commit
    raise InvalidRequest("What is to be got is not named by its commit.", hint="Start the download again.", param="commit")


def is_sha256(text: object) -> bool:
    return isinstance(text, str) and bool(_SHA256.fullmatch(text))


is_sha1 = is_commit


def checked_file(name: object) -> str:
    """The name of a file in a repository, as the hub has it. Raises LoadFailed for one that would not stay inside its folder."""
    if isinstance(name, str) and 0 < len(name) <= LONGEST_PATH and name.isprintable() and "\\" not in name and _writable(name):
        parts = name.split("/")
        if all(part not in ("", ".", "..") and len(part.encode()) <= LONGEST_NAME for part in parts):
            return name
    shown = _short(name) if isinstance(name, str) else "Something that is no name"
    hint = "Do not use this model; choose another one."
    raise LoadFailed(f"{shown} in the model's list of files does not name a file in its folder.", hint=hint, param="id")


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:100] + "…")
