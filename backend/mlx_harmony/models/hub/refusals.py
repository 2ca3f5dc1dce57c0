"""What an answer of the hub that is no success means, in words: not found, not for everyone, too often, out of order. Pure."""

from collections.abc import Mapping

from mlx_harmony.errors import HarmonyError, HubRefused, InvalidRequest, ModelNotFound, Unavailable
from mlx_harmony.records import Record

LOCAL_GOES_ON = "Everything on this machine works without it."


class Asked(Record):
    """What was asked of the hub: about which model and revision, "" for a search; `page` is where a person can look at it."""

    model: str = ""
    revision: str = ""
    page: str = ""
    with_token: bool = False


def refusal(status: int, headers: Mapping[str, str], asked: Asked) -> HarmonyError:
    """The error for an answer with a status of 400 or more."""
    code, said = headers.get("x-error-code", ""), headers.get("x-error-message", "")
    if code == "GatedRepo":
        return _gated(asked)
    if code == "RevisionNotFound":
        hint = "Leave the revision out for the newest."
        return InvalidRequest(f"{asked.model} has no revision {asked.revision!r} on the hub.", hint=hint, param="revision")
    if status == 401 and "credentials" in said.lower() and asked.with_token:
        hint = "Make a new one in the settings of your account there, and set it as HF_TOKEN or with `hf auth login`."
        return HubRefused("The hub does not accept the token that is set here.", hint=hint)
    if code == "EntryNotFound":
        return Unavailable("A file of the model is not on the hub any more.", hint="Start the download again.")
    if asked.model and (code == "RepoNotFound" or status in (401, 404)):
        hint = "Check the spelling. A private model needs a token that may read it, in HF_TOKEN."
        return ModelNotFound(f"The hub has no model {asked.model!r} that everyone may see.", hint=hint, param="id")
    if status == 403:
        hint = "A token with more rights may help; set it as HF_TOKEN."
        return HubRefused(f"The hub does not give out {asked.model or 'that'}.", hint=f"{hint} {asked.page}".strip())
    if status == 429:
        wait = headers.get("retry-after", "")
        when = f" in {wait} seconds" if wait.isascii() and wait.isdigit() and len(wait) < 6 else " later"
        token = "" if asked.with_token else " With a token (HF_TOKEN) it takes more."
        return Unavailable("The hub has had too many requests from here.", hint=f"Try again{when}.{token}")
    return Unavailable(f"The hub could not answer (status {status}).", hint=f"Try again later. {LOCAL_GOES_ON}")


def offline() -> Unavailable:
    """The error for asking anything while HF_HUB_OFFLINE is set."""
    hint = f"Unset HF_HUB_OFFLINE and start again. {LOCAL_GOES_ON}"
    return Unavailable("The hub is not asked, because HF_HUB_OFFLINE is set.", hint=hint)


def unreachable(why: str) -> Unavailable:
    """The error for a hub that does not answer at all."""
    return Unavailable(f"The hub cannot be reached: {why}.", hint=f"Check the connection to the network. {LOCAL_GOES_ON}")


def _gated(asked: Asked) -> HubRefused:
    where = f" Its page: {asked.page}" if asked.page else ""
    if asked.with_token:
        hint = f"Accept its licence on its page, with the account the token belongs to; some models are then released by hand.{where}"
    else:
        hint = f"Accept its licence on its page, then set a token of your account as HF_TOKEN or with `hf auth login`.{where}"
    return HubRefused(f"{asked.model or 'This model'} is only given out to those who accepted its licence.", hint=hint, param="id")
