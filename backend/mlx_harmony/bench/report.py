"""The whole of one run as a record, its ratios, and its table for a reader. Pure."""

from collections.abc import Callable, Iterator

from mlx_harmony.bench.figures import Http, Side
from mlx_harmony.bench.work import Work
from mlx_harmony.records import ModelCard, Record

OURS = "MLX Harmony"
STOCK = "mlx-lm as it comes"
FITTED = "mlx-lm, our weights and BLAS"


class Machine(Record):
    """What it was measured on."""

    system: str
    cores: int
    python: str
    mlx: str
    mlx_lm: str


class Report(Record):
    """One run. `ratios`: ours over each other side, above 1 where ours is better; a short name for each figure."""

    version: str
    measured_at: str
    machine: Machine
    model: str
    path: str
    card: ModelCard
    work: Work
    sides: dict[str, Side]
    ratios: dict[str, dict[str, float]] = {}


Figure = Callable[[Side], float | None]


def _speed(name: str) -> Figure:
    def of(side: Side) -> float | None:
        return getattr(side.speeds, name) if side.speeds is not None else None

    return of


def _http(name: str) -> Figure:
    def of(side: Side) -> float | None:
        return getattr(side.http, name) if side.http is not None and side.http.clients else None

    return of


def _streams(count: int) -> Figure:
    def of(side: Side) -> float | None:
        rates = side.speeds.streams if side.speeds is not None else ()
        return next((rate.tokens_per_second for rate in rates if rate.streams == count), None)

    return of


def _chat(pick: Callable[[Http], float]) -> Figure:
    def of(side: Side) -> float | None:
        return pick(side.http) if side.http is not None and side.http.chat else None

    return of


class Row(Record):
    """One figure: its name in the JSON, what a reader is told, how it is written; `less` is better, or more."""

    name: str
    words: str
    figure: Figure
    form: str = "{:,.1f}"
    less: bool = False
    compared: bool = True


def rows(work: Work) -> list[Row]:
    """Every figure there may be."""
    speeds = [
        Row(name="load", words="load, s", figure=_speed("load_s"), form="{:.2f}", less=True, compared=False),
        Row(name="first_token_cold", words="first token, new prompt, s", figure=_speed("first_token_cold_s"), form="{:.3f}", less=True),
        Row(name="first_token_warm", words="first token, known prompt, s", figure=_speed("first_token_warm_s"), form="{:.3f}", less=True),
        Row(name="prefill", words="reading, tok/s", figure=_speed("prefill_per_second")),
        Row(name="decode", words="writing, tok/s", figure=_speed("decode_per_second")),
        Row(name="gap_p95", words="between tokens, 95 of 100 within, ms", figure=_speed("gap_p95_ms"), less=True, compared=False),
        Row(name="kv_tokens", words="tokens the caches hold", figure=_speed("kv_tokens"), form="{:,.0f}", compared=False),
        Row(name="peak_memory", words="most memory, MB", figure=_megabytes, form="{:,.0f}", less=True, compared=False),
    ]
    batches = [
        Row(name=f"streams_{count}", words=f"{count} at once, tok/s", figure=_streams(count), form="{:,.1f}") for count in work.streams
    ]
    served = [
        Row(name="http_one", words="one client over HTTP, tok/s", figure=_http("one_client_per_second")),
        Row(name="http_many", words=f"{work.clients} clients over HTTP, tok/s", figure=_http("tokens_per_second")),
        Row(name="http_first", words="their first piece, 95 of 100 within, s", figure=_http("first_token_p95_s"), form="{:.3f}", less=True),
        Row(name="http_gap", words="between pieces, 95 of 100 within, ms", figure=_http("gap_p95_ms"), less=True, compared=False),
        Row(name="chat_read", words=f"chat of {work.turns} turns: tokens read", figure=_chat(_read), form="{:,.0f}", less=True),
        Row(name="chat_first", words="its last turn: first piece, s", figure=_chat(_last_wait), form="{:.3f}", less=True),
    ]
    gains = [
        Row(name="cache_gain", words="second turn, faster by", figure=_gain("cache"), form="{:.1f}x", compared=False),
        Row(
            name="speculation_gain",
            words="a text again, guessed ahead, faster by",
            figure=_gain("speculation"),
            form="{:.2f}x",
            compared=False,
        ),
    ]
    return [*speeds, *gains, *batches, *served]


def _megabytes(side: Side) -> float | None:
    peak = side.speeds.peak_memory_bytes if side.speeds is not None else None
    return None if peak is None else peak / 1_000_000


def _gain(name: str) -> Figure:
    def of(side: Side) -> float | None:
        found = getattr(side.speeds, name) if side.speeds is not None else None
        return found.gain if found is not None else None

    return of


def _read(http: Http) -> float:
    return float(sum(turn.read_tokens for turn in http.chat))


def _last_wait(http: Http) -> float:
    return http.chat[-1].first_token_s


def ratios(work: Work, sides: dict[str, Side]) -> dict[str, dict[str, float]]:
    """Ours against each other side, figure by figure: above 1 where ours is better."""
    mine = sides[OURS]
    compared: dict[str, dict[str, float]] = {}
    for name, other in sides.items():
        if name == OURS:
            continue
        found = {}
        for row in rows(work):
            ours, theirs = row.figure(mine), row.figure(other)
            if row.compared and ours and theirs:
                found[row.name] = round(theirs / ours if row.less else ours / theirs, 3)
        found |= _against_the_loops(mine, other)
        compared[name] = found
    return compared


def _against_the_loops(mine: Side, other: Side) -> dict[str, float]:
    """What of the bare loops' rates our clients see over HTTP."""
    if mine.http is None or other.bare is None or not other.bare.many_per_second:
        return {}
    return {
        "http_one_of_bare_loop": round(mine.http.one_client_per_second / other.bare.one_per_second, 3),
        "http_many_of_bare_batch": round(mine.http.tokens_per_second / other.bare.many_per_second, 3),
    }


def table(report: Report) -> Iterator[str]:
    """The report as a Markdown table, a column for each side, and what could not be measured below it."""
    names = list(report.sides)
    beside = [f"{name}: ratio" for name in names[1:]]
    yield f"{report.model}: {report.card.architecture}, {report.card.parameters / 1e6:,.0f} million parameters, {report.card.device}"
    yield ""
    yield "| | " + " | ".join([*names, *beside]) + " |"
    yield "|---|" + "---:|" * (len(names) + len(beside))
    for row in rows(report.work):
        values = [row.figure(side) for side in report.sides.values()]
        if any(value is not None for value in values):
            written = ["" if value is None else row.form.format(value) for value in values]
            told = [_told(report.ratios.get(name, {}).get(row.name)) for name in names[1:]]
            yield f"| {row.words} | " + " | ".join([*written, *told]) + " |"
    yield from _notes(report)


def _told(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:,.2f}"


def _notes(report: Report) -> Iterator[str]:
    yield ""
    yield (
        f"Prompts of {report.work.prompt_tokens} tokens, answers of up to {report.work.tokens}, greedy; the best of {report.work.rounds}"
        " rounds, in which the sides take turns. A ratio above 1: ours is better."
    )
    for name, side in report.sides.items():
        speeds = side.speeds
        if speeds is not None and speeds.prompt_tokens < report.work.prompt_tokens:
            yield f"{name}: a sample of {speeds.prompt_tokens} prompt tokens and {speeds.tokens} new ones, once."
        found = report.ratios.get(name, {})
        if (share := found.get("http_one_of_bare_loop")) is not None:
            yield f"One client over HTTP gets {share:.0%} of what the bare loop of {name} writes."
        if (share := found.get("http_many_of_bare_batch")) is not None:
            yield f"{report.work.clients} clients over HTTP get {share:.0%} of what the bare BatchGenerator of {name} writes."
        if side.problem:
            yield f"{name} could not be measured in full: {side.problem}"
