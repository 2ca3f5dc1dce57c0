"""What server and worker say to each other: frames of msgpack behind a 4-byte length. Pure; it knows no sockets and no processes."""

import struct

import msgspec

from mlx_harmony.cache_records import CacheAction, CacheState, SavedCache
from mlx_harmony.events import Event, Failed
from mlx_harmony.records import GenerationRequest, LoadOptions, ModelCard, Record

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class WireError(ValueError):
    """The bytes are no frame; nothing after them can be trusted."""


class Load(Record, tag="load"):
    """To the worker, once: load this model."""

    options: LoadOptions


class Generate(Record, tag="generate"):
    """To the worker: answer this request; its events come back under its id."""

    request: GenerationRequest


class Count(Record, tag="count"):
    """To the worker: how long this request's prompt is; one Counted or Failed comes back under its id."""

    request: GenerationRequest


class Cancel(Record, tag="cancel"):
    """To the worker: end this request now; unknown ids are ignored."""

    request_id: str


class AskCache(Record, tag="ask_cache"):
    """To the worker: look at what it keeps of what it read, or do this to the entry of that id; one CacheFrame comes back."""

    id: str
    action: CacheAction = "look"
    entry: str = ""


class SaveCache(Record, tag="save_cache"):
    """To the worker: write an entry of what it keeps to a file; one CacheSaved or CacheRefused comes back."""

    id: str
    entry: str
    path: str
    replace: bool = False


class LoadCache(Record, tag="load_cache"):
    """To the worker: take in what a file holds; one CacheFrame or CacheRefused comes back."""

    id: str
    path: str


class ForgetChats(Record, tag="forget_chats"):
    """To the worker: drop what only these chats used; one CacheFrame or CacheRefused comes back."""

    id: str
    chats: tuple[str, ...]


class Shutdown(Record, tag="shutdown"):
    """To the worker: end."""


class Progress(Record, tag="progress"):
    """From the worker while it loads."""

    stage: str
    fraction: float


class Loaded(Record, tag="loaded"):
    """From the worker: ready for requests."""

    card: ModelCard


class LoadRefused(Record, tag="load_refused"):
    """From the worker, before it ends: why the model cannot be loaded."""

    problem: Failed


class EventFrame(Record, tag="event"):
    """From the worker: one event of one request."""

    request_id: str
    event: Event


class CacheFrame(Record, tag="cache"):
    """From the worker: how its prompt cache stands after what was asked under this id."""

    id: str
    state: CacheState


class CacheSaved(Record, tag="cache_saved"):
    """From the worker: the entry is in its file."""

    id: str
    saved: SavedCache


class CacheRefused(Record, tag="cache_refused"):
    """From the worker: why that could not be saved or loaded."""

    id: str
    problem: Failed


ToWorker = Load | Generate | Count | Cancel | AskCache | SaveCache | LoadCache | ForgetChats | Shutdown
FromWorker = Progress | Loaded | LoadRefused | EventFrame | CacheFrame | CacheSaved | CacheRefused
CacheAnswer = CacheFrame | CacheSaved | CacheRefused
Frame = ToWorker | FromWorker

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame. Raises WireError for what cannot travel: half characters, numbers beyond 64 bits, too many bytes."""
    try:
        body = _encoder.encode(frame)
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise WireError(f"cannot be encoded: {error}") from error
    if len(body) > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a byte stream into frames, however the bytes arrive."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises WireError where the stream is no such stream; it stays unusable then."""
        self._held += data
        frames: list[Frame] = []
        while len(self._held) >= _LENGTH.size:
            size = _LENGTH.unpack_from(self._held)[0]
            if size > MAX_FRAME_BYTES:
                raise WireError(f"a frame claims {size} bytes, over the limit of {MAX_FRAME_BYTES}")
            end = _LENGTH.size + size
            if len(self._held) < end:
                break
            frames.append(_decode(bytes(self._held[_LENGTH.size : end])))
            del self._held[:end]
        return frames

    @property
    def incomplete(self) -> bool:
        """Whether bytes of an unfinished frame are held: a stream that ends now was cut."""
        return bool(self._held)


def _decode(body: bytes) -> Frame:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a frame cannot be read: {error}") from error
