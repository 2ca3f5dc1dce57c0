"""What may be asked of the form in which keys and values are kept: the numbers of KvOptions and what of them goes together."""

from mlx_harmony.errors import InvalidRequest
from mlx_harmony.field import LARGEST, Field, check_field
from mlx_harmony.records import KvOptions

KV_FIELDS: tuple[Field, ...] = (
    Field(
        name="kv_bits",
        label="KV bits",
        group="kv",
        low=0,
        high=8,
        default=None,
        step=4,
        integer=True,
        choices=(0, 4, 8),
        help="Keeps what was read in so many bits a number: less memory, a little less exact, slower in long chats; "
        "0 or unset is as computed.",
    ),
    Field(
        name="kv_group_size",
        label="KV group",
        group="kv",
        low=32,
        high=128,
        default=None,
        step=32,
        integer=True,
        choices=(32, 64, 128),
        help="How many numbers share a scale in packed KV: smaller is more exact and larger; unset is 64, or 32 where heads are narrow.",
    ),
    Field(
        name="quantized_kv_start",
        label="Packed from token",
        group="kv",
        low=0,
        high=LARGEST,
        slider_high=16384,
        default=None,
        step=1,
        integer=True,
        help="KV is packed once it holds so many tokens; unset is from the first one.",
    ),
    Field(
        name="max_kv_size",
        label="KV window",
        group="kv",
        low=0,
        high=LARGEST,
        slider_high=32768,
        default=None,
        step=1,
        integer=True,
        help="The model sees at most so many tokens, the first ones and the latest, in memory that stays the same; 0 or unset is all.",
    ),
    Field(
        name="kv_keep",
        label="First tokens kept",
        group="kv",
        low=0,
        high=LARGEST,
        slider_high=4096,
        default=None,
        step=1,
        integer=True,
        help="So many tokens at the beginning never leave the KV window; unset is 4.",
    ),
)
"""Every plain number of KvOptions; None is unset."""


FORMS = ("kv_bits", "max_kv_size")
"""The two that choose a form; the others only have an effect beside one of them."""


def combined(weak: KvOptions, strong: KvOptions) -> KvOptions:
    """Both together, the strong one's values first. Where it packs, a window of the weak one falls away, and the other way round."""
    values = {name: getattr(weak, name) for name in weak.__struct_fields__}
    if strong.kv_bits is not None:
        values |= dict.fromkeys(("max_kv_size", "kv_keep") if strong.kv_bits else ("kv_group_size", "quantized_kv_start"))
    if strong.max_kv_size is not None:
        values |= dict.fromkeys(("kv_bits", "kv_group_size", "quantized_kv_start") if strong.max_kv_size else ("kv_keep",))
    return KvOptions(**values | {name: value for name in strong.__struct_fields__ if (value := getattr(strong, name)) is not None})


def check_kv(kv: KvOptions) -> None:
    """Raise InvalidRequest for a value out of range, and for one that would have no effect beside the others."""
    for field in KV_FIELDS:
        check_field(field, getattr(kv, field.name))
    if not kv.kv_bits:
        idle = next((name for name in ("kv_group_size", "quantized_kv_start") if getattr(kv, name) is not None), None)
        if idle is not None:
            raise InvalidRequest(f"{idle} has no effect without kv_bits.", hint="Set kv_bits to 8 or 4 as well.", param=idle)
    if not kv.max_kv_size:
        if kv.kv_keep is not None:
            raise InvalidRequest("kv_keep has no effect without max_kv_size.", hint="Set max_kv_size as well.", param="kv_keep")
        return
    if kv.kv_bits:
        hint = "Choose one of them: max_kv_size bounds the memory by itself, kv_bits keeps all tokens in less of it."
        raise InvalidRequest("kv_bits and max_kv_size do not go together: a rotating window cannot be packed.", hint=hint, param="kv_bits")
    if kv.kv_keep is not None and kv.kv_keep >= kv.max_kv_size:
        raise InvalidRequest("kv_keep must be smaller than max_kv_size.", hint="Keep fewer tokens or widen the window.", param="kv_keep")
