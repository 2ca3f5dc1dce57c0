"""The report: ratios point the right way, the table has a row for each figure, and what failed is said."""

import msgspec

from mlx_harmony.bench.figures import Bare, Gain, Http, Rate, Side, Speeds, Turn
from mlx_harmony.bench.report import FITTED, OURS, STOCK, Machine, Report, ratios, table
from mlx_harmony.bench.work import Work
from mlx_harmony.records import ModelCard

WORK = Work(prompt_tokens=100, tokens=10, rounds=1, streams=(1, 8), clients=8, turns=2)
CARD = ModelCard(
    format="template",
    architecture="llama",
    context_length=4096,
    vocabulary_size=400,
    weight_bytes=1,
    parameters=14_000_000,
    device="cpu",
    fingerprint="f",
)


def speeds(factor: float, prompt_tokens: int = 100) -> Speeds:
    """A way that is so many times as fast as the slowest."""
    return Speeds(
        load_s=2 / factor,
        first_token_cold_s=1 / factor,
        prefill_per_second=100 * factor,
        decode_per_second=10 * factor,
        gap_p95_ms=100 / factor,
        prompt_tokens=prompt_tokens,
        tokens=10,
        streams=(Rate(streams=1, tokens_per_second=10 * factor), Rate(streams=8, tokens_per_second=40 * factor)),
    )


def served(factor: float, read: int) -> Http:
    chat = (
        Turn(prompt_tokens=50, read_tokens=50, first_token_s=1.0),
        Turn(prompt_tokens=90, read_tokens=read - 50, first_token_s=0.5 / factor),
    )
    return Http(clients=8, tokens_per_second=38 * factor, one_client_per_second=9 * factor, first_token_p95_s=1 / factor, chat=chat)


def report(problem: str = "") -> Report:
    mine = msgspec.structs.replace(
        speeds(2), cache=Gain(without=0.9, with_it=0.3, gain=3.0), first_token_warm_s=0.01, kv_tokens=110, peak_memory_bytes=3_000_000
    )
    sides = {
        OURS: Side(speeds=mine, http=served(2, 60)),
        STOCK: Side(speeds=speeds(0.1, 8), problem=problem),
        FITTED: Side(speeds=speeds(1), http=served(1, 120), bare=Bare(prompt_tokens=90, one_per_second=20, many_per_second=80)),
    }
    machine = Machine(system="Linux", cores=2, python="3.11", mlx="0", mlx_lm="0")
    found = ratios(WORK, sides)
    return Report(version="0", measured_at="now", machine=machine, model="m", path="/m", card=CARD, work=WORK, sides=sides, ratios=found)


def test_a_ratio_above_one_means_that_ours_is_better_whichever_way_the_figure_goes() -> None:
    against = report().ratios[FITTED]
    assert {against[name] for name in ("prefill", "decode", "first_token_cold", "streams_1", "streams_8", "http_one", "http_many")} == {2.0}
    assert against["chat_read"] == 2.0
    assert against["chat_first"] == 2.0
    assert report().ratios[STOCK]["decode"] == 20.0
    assert "http_many" not in report().ratios[STOCK]


def test_what_our_clients_see_is_held_against_the_bare_loops() -> None:
    against = report().ratios[FITTED]
    assert (against["http_one_of_bare_loop"], against["http_many_of_bare_batch"]) == (0.9, 0.95)
    assert "One client over HTTP gets 90% of what the bare loop of mlx-lm, our weights and BLAS writes." in list(table(report()))


def test_the_table_has_a_row_for_every_figure_that_was_measured() -> None:
    lines = list(table(report()))
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines if line.startswith("| ")}
    assert rows["writing, tok/s"] == ["20.0", "1.0", "10.0", "20.00", "2.00"]
    assert rows["second turn, faster by"] == ["3.0x", "", "", "", ""]
    assert rows["tokens the caches hold"] == ["110", "", "", "", ""]
    assert rows["chat of 2 turns: tokens read"] == ["60", "", "120", "", "2.00"]
    assert {len(line.split("|")) for line in lines if line.startswith("|")} == {8}


def test_a_smaller_sample_and_a_failure_are_said() -> None:
    lines = "\n".join(table(report("its process ended (out of memory).")))
    assert "mlx-lm as it comes: a sample of 8 prompt tokens and 10 new ones, once." in lines
    assert "mlx-lm as it comes could not be measured in full: its process ended (out of memory)." in lines


def test_the_report_travels_as_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(report()), type=Report) == report()
