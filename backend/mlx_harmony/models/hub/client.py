"""The hub as this program asks it: searching, and what there is of one model. Where it is and with which token, the environment says.

Nothing is asked that a person did not ask for. It speaks the hub's HTTP API itself: huggingface_hub tells the hub which programs it is
called from, and its settings are frozen when it is first imported.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from mlx_harmony.errors import HubRefused, InvalidRequest, LoadFailed, SettingsError, Unavailable
from mlx_harmony.models.hub.names import MAIN, checked_id, checked_revision, is_commit
from mlx_harmony.models.hub.offers import Found, HubFile, Offer, found_in, offer_in
from mlx_harmony.models.hub.refusals import Asked, offline
from mlx_harmony.models.hub.web import Patience, Web
from mlx_harmony.models.kind import MAX_CONFIG_BYTES
from mlx_harmony.settings import absolute

__all__ = ["Found", "Hub", "HubFile", "Offer"]

ENDPOINT = "https://huggingface.co"
TRUE = ("1", "ON", "YES", "TRUE")
MOST_FOUND = 100
LONGEST_SEARCH = 200
LONGEST_TOKEN = 1000
_EXPAND = ("config", "cardData", "downloads", "gated", "lastModified", "library_name", "likes", "safetensors", "tags")


class Hub:
    """One hub. `token` is the person's, "" for none; nothing is ever asked where `offline` is set."""

    def __init__(self, endpoint: str = ENDPOINT, token: str = "", *, offline: bool = False, patience: Patience = Patience()) -> None:  # noqa: B008
        self.endpoint = _checked_endpoint(endpoint)
        self.offline = offline
        self.patience = patience
        self._token = token

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ, patience: Patience = Patience()) -> "Hub":  # noqa: B008
        """The hub that huggingface_hub's own variables name. Raises SettingsError for an HF_ENDPOINT that is no address."""
        off = environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE") or ""
        endpoint = environment.get("HF_ENDPOINT") or ENDPOINT
        return cls(endpoint, _token(environment), offline=off.upper() in TRUE, patience=patience)

    @property
    def has_token(self) -> bool:
        return bool(self._token)

    def web(self) -> Web:
        """Connections to this hub. Raises Unavailable where it is not to be asked."""
        if self.offline:
            raise offline()
        return Web(self.endpoint, self._token, self.patience)

    def asked(self, model_id: str = "", revision: str = "") -> Asked:
        page = f"{self.endpoint}/{model_id}" if model_id else ""
        return Asked(model=model_id, revision=revision, page=page, with_token=self.has_token)

    async def search(self, text: str, limit: int = 20) -> tuple[Found, ...]:
        """The models whose name holds the text, those made for MLX first, then the most downloaded; without a text, MLX's own only.

        Raises InvalidRequest for a text or limit that is too long or large, and Unavailable.
        """
        words = self._plain(text)
        if len(words) > LONGEST_SEARCH or not words.isprintable():
            raise InvalidRequest(f"A search has at most {LONGEST_SEARCH} characters, on one line.", param="text")
        if not 1 <= limit <= MOST_FOUND:
            raise InvalidRequest(f"limit must be from 1 to {MOST_FOUND}.", param="limit")
        params = {"sort": "downloads", "limit": limit, "expand": list(_EXPAND)} | ({"search": words} if words else {})
        async with self.web() as web:
            rows = {row.id: row for row in found_in(await web.json("/api/models", self.asked(), params | {"filter": "mlx"}))}
            if words and len(rows) < limit:
                others = await web.json("/api/models", self.asked(), params | {"filter": "safetensors", "pipeline_tag": "text-generation"})
                rows = {row.id: row for row in found_in(others)} | rows
        return tuple(sorted(rows.values(), key=lambda row: (not row.mlx, -row.downloads, row.id))[:limit])

    async def offer(self, model_id: str, revision: str = MAIN) -> Offer:
        """What there is of a model at a branch, tag or commit.

        Raises InvalidRequest for an id or revision that is none or is not there, ModelNotFound, HubRefused, Unavailable, and LoadFailed for
        a list of files that makes no sense.
        """
        model_id, revision = checked_id(self._plain(model_id)), checked_revision(revision)
        asked = self.asked(model_id, revision)
        async with self.web() as web:
            path = f"/api/models/{model_id}/revision/{quote(revision, safe='')}"
            offer = offer_in(model_id, await web.json(path, asked, {"blobs": "true"}))
            if is_commit(revision) and offer.revision != revision:
                raise LoadFailed("The hub offers another revision than it was asked for.", hint="Try again later.", param="revision")
            if all(file.name != "config.json" or file.bytes > MAX_CONFIG_BYTES for file in offer.files):
                return offer
            try:
                return msgspec.structs.replace(offer, config=await self._config(web, offer, asked))
            except HubRefused as error:
                return msgspec.structs.replace(offer, problem=f"{error.message} {error.hint}")

    async def _config(self, web: Web, offer: Offer, asked: Asked) -> dict[str, Any] | None:
        try:
            config = msgspec.json.decode(await web.read(file_path(offer.id, offer.revision, "config.json"), asked))
        except (ValueError, RecursionError, Unavailable):
            return None
        return config if isinstance(config, dict) else None

    def _plain(self, text: str) -> str:
        """What was typed, without the address of the hub that comes along when a link is pasted."""
        text = text.strip()
        for address in (self.endpoint, ENDPOINT):
            if text.startswith(f"{address}/"):
                return "/".join(text.removeprefix(f"{address}/").split("/")[:2])
        return text


def file_path(model_id: str, commit: str, name: str) -> str:
    """Where the hub gives out a file."""
    return f"/{model_id}/resolve/{commit}/{quote(name)}"


def _checked_endpoint(endpoint: str) -> str:
    plain = endpoint.strip().rstrip("/")
    try:
        parts = urlsplit(plain)
        sound = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and not (parts.query or parts.fragment or parts.username)
            and parts.port != 0
        )
    except ValueError:
        sound = False
    if not sound or not plain.isprintable():
        raise SettingsError(
            "HF_ENDPOINT is no address.", hint="It looks like https://hub.example.com; unset it for the usual hub.", param="HF_ENDPOINT"
        )
    return plain


def _token(environment: Mapping[str, str]) -> str:
    """The person's token, by huggingface_hub's own variables and files; what cannot be one counts as none."""
    if environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in TRUE:
        return ""
    told = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
    if not told:
        caches = environment.get("XDG_CACHE_HOME")
        home = environment.get("HF_HOME") or str((absolute(caches) if caches else Path.home() / ".cache") / "huggingface")
        path = absolute(environment.get("HF_TOKEN_PATH") or str(Path(home, "token")))
        try:
            with path.open(encoding="ascii") as file:
                told = file.read(LONGEST_TOKEN)
        except (OSError, UnicodeDecodeError):
            return ""
    plain = told.strip()
    return plain if re.fullmatch(r"[!-~]{1,1000}", plain) else ""
