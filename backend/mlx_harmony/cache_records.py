"""The frozen records of prompt caches: what is kept, what of a prompt was reused, and why not more. They know no mlx and no files."""

from typing import Literal

from mlx_harmony.records import Record

CacheAction = Literal["look", "drop", "pin", "unpin", "clear_memory", "clear_disk", "clear"]
ReuseReason = Literal["whole", "new", "answer", "differs", "boundary", "nothing", "evicted", "other_model", "damaged", "off"]
"""Why no more was reused: nothing was left to read; the rest is new; an answer stands in the prompt otherwise than the model wrote it;
the prompts differ; no snapshot lies nearer; nothing was kept; it was evicted; it is of another model; its file is damaged; no budget."""

READ_ALONE = "prompt-"
"""How the ids begin under which prompts are read into files; they stand in the place of a chat's."""


class Reuse(Record):
    """What of one prompt needed no reading, in tokens, and why not more of it.

    `matched`: how far something that is known agrees, kept or evicted. Where what is kept goes on differently, `position` is the first
    differing token, `kept` the ids that are kept from there on and `asked` those of the prompt. `detail` says more in words.
    """

    prompt: int
    memory: int = 0
    disk: int = 0
    matched: int = 0
    reason: ReuseReason = "nothing"
    position: int | None = None
    kept: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()
    detail: str = ""

    @property
    def reused(self) -> int:
        return self.memory + self.disk


class CacheEntry(Record):
    """A run of tokens that is kept or was: it goes on from `parent` ("" at the root) at token `start` and reaches to `end`.

    `text` is how it begins, `chats` whose last prompts or answers end in it. `snapshots` are the places at which a model that cannot cut
    its cache can go on. Bytes are the run's with its snapshots'; `used_at` in seconds since the epoch. `kv` is the form in which keys and
    values are kept, in words, "" as the model computes them.
    """

    id: str
    parent: str
    start: int
    end: int
    where: Literal["memory", "disk", "evicted"]
    memory_bytes: int = 0
    disk_bytes: int = 0
    snapshots: tuple[int, ...] = ()
    pinned: bool = False
    hits: int = 0
    used_at: float = 0.0
    text: str = ""
    chats: tuple[str, ...] = ()
    kv: str = ""


class CacheRequest(Record):
    """One prompt that was looked up: when (seconds since the epoch), what was reused, and both sides of the first difference as text.

    `chat` is whose it was, "" for none; `place` in what of the prompt the first difference lies ("the system message"), "" where it is
    not known; `seconds` what the reuse spared.
    """

    at: float
    reuse: Reuse
    kept_text: str = ""
    asked_text: str = ""
    chat: str = ""
    place: str = ""
    seconds: float = 0.0


class CachePoint(Record):
    """How a cache stood at one moment (seconds since the epoch): bytes of both tiers, and the sums since the model was loaded.

    `hits` are the `requests` of which something was reused.
    """

    at: float
    memory_bytes: int
    disk_bytes: int
    tokens_asked: int
    tokens_reused: int
    seconds_saved: float
    requests: int = 0
    hits: int = 0


class CacheState(Record):
    """What one model keeps of what it read, and what came of it. Bytes of both tiers with their budgets; the newest entries and requests.

    `misses` counts the prompts of which something was read again, by reason. `problem` says what is wrong with the disk, "" for nothing.
    `history` is how it stood over time, oldest first. `most_entries` is how many entries are kept at once, 0 for any number.
    """

    memory_bytes: int = 0
    memory_budget: int = 0
    disk_bytes: int = 0
    disk_budget: int = 0
    evictions: int = 0
    requests: int = 0
    hits: int = 0
    tokens_asked: int = 0
    tokens_reused: int = 0
    tokens_from_disk: int = 0
    misses: dict[ReuseReason, int] = {}
    entries: tuple[CacheEntry, ...] = ()
    recent: tuple[CacheRequest, ...] = ()
    problem: str = ""
    seconds_saved: float = 0.0
    history: tuple[CachePoint, ...] = ()
    most_entries: int = 0

    @property
    def hit_rate(self) -> float | None:
        """The share of prompts of which something was reused; None before the first."""
        return self.hits / self.requests if self.requests else None


class SavedCache(Record):
    """A file that holds an entry of a prompt cache with all that it goes on from. `model` is the folder it was read with."""

    path: str
    tokens: int
    bytes: int
    model: str


class CacheKeeper(Record):
    """A model that keeps something of what it read. `model` is its id, of one that is no longer on this machine its `folder`.

    `awake`: it is loaded, and may keep more in memory.
    """

    model: str
    folder: str
    disk_bytes: int = 0
    awake: bool = False


class CacheStanding(Record):
    """A model that keeps something, and how its cache stands: of one that is not loaded only what is on disk."""

    keeper: CacheKeeper
    state: CacheState
