"""Which device mlx runs on and how a model is fitted to it. `prepare` must run before the first import of mlx in the process.

On a CPU mlx's own BLAS and its bf16 and quantised kernels are 20 to 40 times slower than float32 over OpenBLAS, so a model is
dequantised to float32 there when memory allows. CUDA reads long chunks of a prompt through experts that are unpacked a layer at a time
(`experts`); what a CPU computes another way than mlx is in `cpu`. Metal is left as mlx has it; while a model is loaded its memory is wired.
"""

import ctypes
import ctypes.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlx_harmony.models.memory import DeviceKind, available_bytes
from mlx_harmony.records import Record

if TYPE_CHECKING:
    import mlx.nn as nn

SMALL_MODEL = 50_000_000
"""Below this many parameters the threads of a BLAS cost more than they bring."""
NO_BLAS = "OpenBLAS was not found, so reading prompts is slow on this CPU. On Debian or Ubuntu: apt install libopenblas0-pthread."
KEPT_QUANTISED = "The weights stay quantised because float32 would not fit this machine's memory; on a CPU that is slow."
KEPT_HALF = "The weights stay in half precision because float32 would not fit this machine's memory; on a CPU that is slow."

_BLAS_NAMES = ("libopenblas.so.0", "libopenblas.so", "libopenblasp.so.0", "libmkl_rt.so.2", "libmkl_rt.so")
_BLAS_FOLDERS = (
    "/usr/lib/*/openblas-pthread",
    "/usr/lib/*/openblas-openmp",
    "/usr/lib/*",
    "/usr/lib64",
    "/usr/local/lib",
    "/opt/OpenBLAS/lib",
    "/opt/intel/oneapi/mkl/latest/lib",
)


class Device(Record):
    """`kind` is cpu, cuda or metal; `blas` the library that was loaded for a CPU, "" where none was found or needed."""

    kind: DeviceKind
    blas: str = ""


class Fitted(NamedTuple):
    """How a model was fitted: what a person should know of it, and the shortest chunk of a prompt that is worth reading, 0 for any."""

    notes: tuple[str, ...] = ()
    least_chunk: int = 0


def prepare() -> Device:
    """Load a fast BLAS where the CPU may need one, import mlx and say where it runs."""
    blas = load_blas() if sys.platform.startswith("linux") and "mlx.core" not in sys.modules else ""
    import mlx.core as mx

    if mx.metal.is_available():
        return Device(kind="metal")
    if mx.default_device() == mx.Device(mx.gpu, 0):
        return Device(kind="cuda")
    # Compiled functions are no faster on a CPU, but call a C++ compiler for half a second at each new kernel.
    mx.disable_compile()
    return Device(kind="cpu", blas=blas or _loaded_blas())


def load_blas() -> str:
    """Load the first OpenBLAS or MKL of this machine for every later library to bind to; its path, or "" where there is none."""
    for path in _blas_candidates():
        try:
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return path
    return ""


def _blas_candidates() -> list[str]:
    folders = [Path(sys.prefix, "lib"), *(found for pattern in _BLAS_FOLDERS for found in sorted(Path("/").glob(pattern[1:])))]
    paths = [str(folder / name) for folder in folders for name in _BLAS_NAMES if (folder / name).exists()]
    named = ctypes.util.find_library("openblas")
    return [*paths, named] if named else paths


def _loaded_blas() -> str:
    """The BLAS someone loaded into this process before us, as the kernel lists it."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8", errors="replace").splitlines() if maps.exists() else []
    return next((line.split()[-1] for line in lines if "libopenblas.so" in line or "libopenblasp" in line or "libmkl_rt" in line), "")


@contextmanager
def wired(device: Device, mlx: Any = None) -> Iterator[None]:
    """Let a Mac's GPU keep the weights resident as long as this lasts; then the limit is again what it was. `mlx` None is mlx.core."""
    mx = mlx or import_module("mlx.core")
    limit = mx.device_info().get("max_recommended_working_set_size") if device.kind == "metal" else None
    if limit is None:
        yield
        return
    before = mx.set_wired_limit(limit)
    try:
        yield
    finally:
        mx.synchronize()
        mx.set_wired_limit(before)


def free_bytes(device: Device, mlx: Any = None) -> int | None:
    """Memory that a model may take there; None where that is not known. `mlx` None is mlx.core."""
    if device.kind == "cpu":
        return available_bytes()
    mx = mlx or import_module("mlx.core")
    told = mx.device_info()
    if device.kind == "metal":
        limit = told.get("max_recommended_working_set_size")
        return max(0, int(limit) - int(mx.get_active_memory())) if limit else None
    return next((int(told[name]) for name in ("free_memory", "total_memory", "memory_size") if told.get(name)), None)


def fit(model: "nn.Module", device: Device, parameters: int, plain: bool) -> Fitted:
    """Bring a lazily loaded model into the form this device is fast with. `plain`: there is room for float32."""
    match device.kind:
        case "cpu":
            return Fitted(_fit_to_cpu(model, device, parameters, plain))
        case "cuda":
            from mlx_harmony.worker.experts import unpack_for_long_chunks

            return Fitted(least_chunk=unpack_for_long_chunks(model))
    return Fitted()


def _fit_to_cpu(model: "nn.Module", device: Device, parameters: int, plain: bool) -> tuple[str, ...]:
    """What a person should know of it."""
    import mlx.core as mx
    from mlx.utils import tree_map
    from mlx_lm.utils import dequantize_model

    notes = [] if device.blas else [NO_BLAS]
    if parameters < SMALL_MODEL:
        use_blas_threads(device.blas, 1)
    if plain:
        dequantize_model(model)
    elif is_quantised(model):
        notes.append(KEPT_QUANTISED)
    else:
        return (*notes, KEPT_HALF)

    def as_float32(leaf: Any) -> Any:
        return leaf.astype(mx.float32) if mx.issubdtype(leaf.dtype, mx.floating) else leaf

    model.update(tree_map(as_float32, model.parameters()))
    return tuple(notes)


def use_blas_threads(blas: str, threads: int) -> None:
    """How many threads OpenBLAS may use; other libraries are left alone."""
    if "openblas" in blas:
        ctypes.CDLL(blas).openblas_set_num_threads(threads)


def blas_threads(blas: str) -> int:
    """How many threads OpenBLAS may use now; 0 for other libraries, which are left alone."""
    return int(ctypes.CDLL(blas).openblas_get_num_threads()) if "openblas" in blas else 0


def is_quantised(model: "nn.Module") -> bool:
    return any("scales" in module and "weight" in module for _, module in model.named_modules())
