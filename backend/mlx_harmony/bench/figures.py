"""What was measured, as records, and how several rounds become one figure. Pure; knows neither processes nor tables."""

from collections.abc import Sequence

from mlx_harmony.records import Record


class Single(Record):
    """One answer to one prompt. Seconds and tokens a second; `gaps_ms` between one piece of it and the next."""

    first_token_s: float
    prefill_per_second: float
    decode_per_second: float
    tokens: int
    gaps_ms: tuple[float, ...] = ()


class Rate(Record):
    """What so many answers at once come to, prompts included."""

    streams: int
    tokens_per_second: float


class Gain(Record):
    """The same without and with something, in seconds or in tokens a second; `gain` is how many times better, 2 for twice as fast."""

    without: float
    with_it: float
    gain: float


class Speeds(Record):
    """One way of running the model. Warm: the same prompt a second time. `kv_tokens` is what the caches really hold afterwards.

    None: this way does not have it. `prompt_tokens` and `tokens` say how large its sample was.
    """

    load_s: float
    first_token_cold_s: float
    prefill_per_second: float
    decode_per_second: float
    gap_p95_ms: float | None
    prompt_tokens: int
    tokens: int
    first_token_warm_s: float | None = None
    kv_tokens: int | None = None
    peak_memory_bytes: int | None = None
    streams: tuple[Rate, ...] = ()
    cache: Gain | None = None
    speculation: Gain | None = None


class Turn(Record):
    """One turn of the chat over HTTP: what its prompt had, what of it was read, and the wait for the first piece."""

    prompt_tokens: int
    read_tokens: int
    first_token_s: float


class Http(Record):
    """A server under so many streaming clients, and in a chat. Rates are those the clients see."""

    clients: int = 0
    tokens_per_second: float = 0.0
    one_client_per_second: float = 0.0
    first_token_p95_s: float = 0.0
    gap_p95_ms: float = 0.0
    prompt_tokens: int = 0
    chat: tuple[Turn, ...] = ()


class Bare(Record):
    """What a program's own loops write of prompts as long as the clients', without any server: alone, and so many at once."""

    prompt_tokens: int
    one_per_second: float
    many_per_second: float


class Side(Record):
    """What is measured of one program; `problem` says why it could not be."""

    speeds: Speeds | None = None
    http: Http | None = None
    bare: Bare | None = None
    problem: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def gain(without: float, with_it: float) -> Gain:
    """Of two times, in seconds."""
    return Gain(without=without, with_it=with_it, gain=without / with_it if with_it > 0 else 0.0)


def best(rounds: Sequence[Single]) -> Single:
    """The best of each figure: a busy machine only ever makes things slower. The gaps are those of all rounds."""
    return Single(
        first_token_s=min(each.first_token_s for each in rounds),
        prefill_per_second=max(each.prefill_per_second for each in rounds),
        decode_per_second=max(each.decode_per_second for each in rounds),
        tokens=max(each.tokens for each in rounds),
        gaps_ms=tuple(gap for each in rounds for gap in each.gaps_ms),
    )
