"""What prompt configs and profiles come to: frozen records without behaviour. They know neither files nor JSON."""

from mlx_harmony.prompting.placeholders import moment
from mlx_harmony.records import DEFAULT_CUTOFF, Effort, KvOptions, LoopDetection, Message, Record, Sampling, Speculation

DEFAULT_TRUNCATION = 1000


class ChatSetup(Record):
    """How a chat was set up, beyond what a person changes from turn to turn; kept with the chat, texts with their placeholders.

    `clock` is ISO 8601, None the moment the chat began; `start_date` None is that clock's day. Context and budget in tokens,
    `truncate_*` in characters, which a terminal shows at most.
    """

    profile: str = ""
    prompt_config: str = ""
    greeting: str = ""
    examples: tuple[tuple[Message, ...], ...] = ()
    placeholders: dict[str, str] = {}
    clock: str | None = None
    start_date: str | None = None
    knowledge_cutoff: str = DEFAULT_CUTOFF
    reseed_each_turn: bool = False
    loop_detection: LoopDetection = "cheap"
    max_context_tokens: int | None = None
    max_context_tokens_margin: int = 0
    prompt_token_budget: int | None = None
    truncate_thinking: int = DEFAULT_TRUNCATION
    truncate_response: int = DEFAULT_TRUNCATION
    show_timings: bool = False

    def __post_init__(self) -> None:
        """Refuse what no prompt could be made with, whatever file it came from. Raises ValueError."""
        if self.clock is not None:
            moment(self.clock)
        caps = [cap for cap in (self.max_context_tokens, self.prompt_token_budget) if cap is not None]
        if min(caps, default=1) < 1 or self.max_context_tokens_margin < 0:
            raise ValueError("a context and a budget hold at least one token, a margin at least none")


class Chosen(Record):
    """What profile, prompt config and explicit choices come to together. `model` is an id or a folder, None the default one.

    `models_dir` is a folder to look for models in. `notices` are for the person.
    """

    model: str | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    effort: Effort = "medium"
    identity: str | None = None
    instructions: str = ""
    kv: KvOptions = KvOptions()
    speculation: Speculation = "auto"
    draft_model: str | None = None
    num_draft_tokens: int | None = None
    setup: ChatSetup = ChatSetup()
    models_dir: str | None = None
    notices: tuple[str, ...] = ()


class ProfileRow(Record):
    """A profile as listed: what the file says, unexpanded. `problem` says why it cannot be used, "" where it can."""

    name: str
    model: str = ""
    prompt_config: str | None = None
    max_context_tokens: int | None = None
    problem: str = ""
