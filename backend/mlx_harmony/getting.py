"""Getting models from the hub, as the service offers it: looking for them, what one of them is, and its download as a job.

Nothing is asked of the hub before a person asks. How the hub is spoken to is the business of `models.hub`, how jobs live that of `jobs`.
"""

from collections.abc import Sequence

from mlx_harmony.errors import HubRefused
from mlx_harmony.jobs import Job, Jobs
from mlx_harmony.models.hub.cache import Repository
from mlx_harmony.models.hub.client import Found, Hub, Offer
from mlx_harmony.models.hub.download import SPARE_BYTES, free_bytes, refuse_useless
from mlx_harmony.models.hub.fit import Fit, fit_of_found, fit_of_offer
from mlx_harmony.models.hub.names import MAIN, checked_id, checked_revision, is_commit
from mlx_harmony.models.hub_cache import hub_cache_folder
from mlx_harmony.records import Record


class Space(Record):
    """What a download does to the disk, in bytes: `missing` is still to come, `free` is there before it, None where nobody says."""

    missing: int
    free: int | None = None

    @property
    def enough(self) -> bool:
        """Whether the download would be begun."""
        return not self.missing or self.free is None or self.missing + SPARE_BYTES <= self.free


class Getting:
    """The hub that the environment names, and the jobs in which downloads run. The token is read anew each time."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @property
    def offline(self) -> bool:
        """Whether the hub is not to be asked, because HF_HUB_OFFLINE is set."""
        return Hub.of_environment().offline

    async def search(self, text: str, limit: int = 20) -> tuple[Found, ...]:
        """Models of the hub whose name holds the text, those made for MLX first. Raises InvalidRequest and Unavailable."""
        return await Hub.of_environment().search(text, limit)

    async def offer(self, model_id: str, revision: str = MAIN) -> Offer:
        """What there is of one model. Raises InvalidRequest, ModelNotFound, HubRefused, Unavailable and LoadFailed."""
        return await Hub.of_environment().offer(model_id, revision)

    def fit(self, model: Found | Offer) -> Fit:
        """Whether it would fit this machine's memory."""
        return fit_of_found(model) if isinstance(model, Found) else fit_of_offer(model)

    def fits(self, models: Sequence[Found | Offer]) -> tuple[Fit, ...]:
        """The same for several, in their order. Asks the machine what is free: called in threads."""
        return tuple(map(self.fit, models))

    def space(self, offer: Offer) -> Space:
        """What its download would do to the disk. Looks into the cache: called in threads."""
        repository = Repository(hub_cache_folder(), offer.id)
        missing = sum({file.etag: file.bytes - repository.here(file) for file in offer.files}.values())
        try:
            return Space(missing=missing, free=free_bytes(hub_cache_folder()))
        except OSError:
            return Space(missing=missing)

    def page(self, model_id: str) -> str:
        """The address at which a person can look at a model, and accept its licence. Raises InvalidRequest and SettingsError."""
        return Hub.of_environment().asked(checked_id(model_id)).page

    async def download(self, model_id: str, revision: str = MAIN) -> Job:
        """Begin to get a model, or go on with the job that does; a model that could not be used here is refused.

        Raises the errors of `offer`, and StorageError where the job cannot be kept.
        """
        offer = await self.offer(model_id, revision)
        refuse_useless(offer)
        if offer.problem:
            raise HubRefused(offer.problem, param="id")
        name = offer.revision if is_commit(checked_revision(revision)) else checked_revision(revision)
        subject = {"id": offer.id, "revision": name, "commit": offer.revision}
        for job in self._jobs.list():
            if job.kind == "download" and job.subject == subject and job.state not in ("done", "cancelled"):
                return await self._jobs.resume(job.id)
        return await self._jobs.start("download", offer.id, subject)
