"""How much memory a model will need: weights, keys and values of a whole context, and room to work in. Pure arithmetic over an anatomy."""

from mlx_harmony.models.anatomy import Anatomy
from mlx_harmony.models.memory import DeviceKind
from mlx_harmony.records import Record

CHUNK = 2048
"""The longest piece of a prompt that is read at once."""
RUNTIME_BYTES = 200_000_000
"""What a process with mlx takes before any model."""
PLAIN_SHARE = 0.7
"""Weights become plain on a CPU where that takes at most so much of the free memory."""
LEAST_CONTEXT = 1024
"""A model that has no room for so many tokens is not worth loading."""


class Forecast(Record):
    """Bytes that a model will need with `context` tokens. `plain`: its weights become float32, as a CPU is fast with.

    `seen`: `working` is not an estimate, it is what the model took before.
    """

    weights: int
    kv: int
    working: int
    context: int
    plain: bool = False
    seen: bool = False

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.working


def forecast(anatomy: Anatomy, device: DeviceKind, context: int, free: int) -> Forecast:
    """What the model will need on a device with so much free memory, as the device's policy would load it."""
    plain = device == "cpu" and becomes_plain(anatomy.numbers, working_bytes(anatomy, device), free)
    return Forecast(
        weights=_weights(anatomy, device, plain),
        kv=kv_bytes(anatomy, device, context),
        working=working_bytes(anatomy, device),
        context=context,
        plain=plain,
    )


def becomes_plain(numbers: int, working: int, free: int) -> bool:
    """Whether there is room for so many weights as float32, and for working with them."""
    return 4 * numbers + working <= PLAIN_SHARE * free


def smallest(anatomy: Anatomy, device: DeviceKind) -> Forecast:
    """The least that the model can do with."""
    return forecast(anatomy, device, LEAST_CONTEXT, 0)


def kv_bytes(anatomy: Anatomy, device: DeviceKind, context: int) -> int:
    """Keys and values of so many tokens, as they are computed there."""
    each = 4 if device == "cpu" else 2
    return sum(each * layer.numbers * min(context, layer.window or context) for layer in anatomy.kv)


def longest_context(anatomy: Anatomy, device: DeviceKind, context: int, free: int) -> int:
    """How many of `context` tokens there is room for beside what is loaded already, in steps of 1024; LEAST_CONTEXT at least."""
    room = free - working_bytes(anatomy, device)
    if kv_bytes(anatomy, device, context) <= room:
        return context
    low, high = 1, context // LEAST_CONTEXT
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if kv_bytes(anatomy, device, middle * LEAST_CONTEXT) <= room else (low, middle - 1)
    return min(context, low * LEAST_CONTEXT)


def _weights(anatomy: Anatomy, device: DeviceKind, plain: bool) -> int:
    if plain:
        return 4 * anatomy.numbers
    if device == "cpu" and anatomy.packed_bytes:
        # Quantised weights stay so; all around them becomes float32.
        return anatomy.packed_bytes + 4 * (anatomy.scale_numbers + anatomy.plain_numbers)
    return anatomy.stored_bytes


def working_bytes(anatomy: Anatomy, device: DeviceKind) -> int:
    """What lies between the layers while a long piece is read, the logits of some answers, and on CUDA one layer's unpacked experts."""
    each = 4 if device == "cpu" else 2
    experts = 2 * 3 * anatomy.experts_numbers if device == "cuda" and anatomy.packed_bytes else 0
    return RUNTIME_BYTES + CHUNK * anatomy.width * each + 16 * anatomy.vocabulary * 4 + experts
