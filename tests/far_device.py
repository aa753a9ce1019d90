"""A device that is not the CPU, without having one: the data lie on the CPU, but the rules are those of a GPU.

`far:0` stands in for a GPU. Tensors of it and of the CPU do not mix, its generator is its own, and whatever makes the
host wait for it (`item`, `cpu`, `nonzero`, a boolean index, a copy to the device) is counted with the line that did it.
A GPU does not say so: it waits, or in `x[index]` copies the index, in silence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.accelerators.accelerator import Accelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

from dexzoo.geometry.sdf_backends import WarpBackend

_ROOT = str(Path(__file__).parents[1])


class _Module(_DummyBackendModule):
    """What `torch.far` would be."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """Of autocast."""
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend("far", _Module())
FAR = torch.device("far:0")

_WAITS = {
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "bincount": "bincount",
    "equal": "equal",
    "repeat_interleave": "repeat_interleave without output_size",
}
"""Operations whose result, or its shape, the host has to know."""
_SCALARS = ("index_put", "index_put_", "_index_put_impl_", "where", "fill_")
"""Operations that are not elementwise and take a single number of the CPU all the same."""
_COPIES = ("_to_copy", "copy_")


class MixedDevices(RuntimeError):
    """An operation on tensors of the far device and of the CPU."""


class FarTensor(torch.Tensor):
    """A tensor of the far device; `near` has its data."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> FarTensor:
        if torch.is_inference_mode_enabled() != near.is_inference():  # a view of a tensor from outside
            with torch.inference_mode(near.is_inference()):
                return cls(near)
        new = torch.Tensor._make_wrapper_subclass(
            cls, near.size(), near.stride(), near.storage_offset(), dtype=near.dtype, device=FAR
        )
        new.near = near
        return new

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        raise MixedDevices(f"{func}: a tensor of the far device outside of `far_device()`")

    def numpy(self, *, force: bool = False) -> Any:
        """Refused as by a GPU."""
        raise TypeError("can't convert a far:0 tensor to numpy; use Tensor.cpu() first")

    def tolist(self) -> Any:
        """The values; PyTorch refuses this to subclasses."""
        return self.cpu().tolist()

    def __repr__(self) -> str:
        return f"far {self.near!r}"


@dataclass
class FarDevice(TorchDispatchMode):
    """While it is entered, the far device is there.

    Attributes:
        waits: what made the host wait, as "path function: what (line n)".
    """

    waits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        tensors = [*_tensors(args), *_tensors(kwargs.values())]
        far = [x for x in tensors if isinstance(x, FarTensor)]
        wanted = next((x for x in (*args, *kwargs.values()) if isinstance(x, torch.device)), None)
        if not far and (wanted is None or wanted.type != "far"):
            return func(*args, **kwargs)
        if _composite(func):  # in inference mode they are not taken apart before they come here
            with self:
                return func.decompose(*args, **kwargs)
        if name in _COPIES:
            self._copies(name, tensors, wanted)
        else:
            self._checks(func, name, tensors, args, kwargs)
        owner = {id(x.near): x for x in far}
        kwargs = {key: _unwrapped(value) for key, value in kwargs.items()}
        if wanted is not None:
            kwargs["device"] = torch.device("cpu")
        out = func(*_unwrapped(args), **kwargs)
        if any(x.near.shape != x.shape or x.near.stride() != x.stride() for x in far):
            raise NotImplementedError(f"{func} changes the shape of a far tensor in place; no subclass can")
        if name == "_local_scalar_dense" or (wanted is not None and wanted.type == "cpu"):
            if isinstance(out, Tensor) and any(out is x.near for x in far):
                return out.clone()
            return out
        if name == "copy_" and not isinstance(args[0], FarTensor):
            return args[0]
        return _wrapped(out, owner)

    def _copies(self, name: str, tensors: list[Tensor], wanted: torch.device | None) -> None:
        devices = {x.device.type for x in tensors} | (set() if wanted is None else {wanted.type})
        if len(devices) > 1:
            back = wanted.type == "cpu" if wanted is not None else tensors[0].device.type == "cpu"
            self._wait("copy to the host" if back else "copy to the device")

    def _checks(self, func: Any, name: str, tensors: list[Tensor], args: tuple[Any, ...], kwargs: Any) -> None:
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != "far":
            raise MixedDevices(f"{func}: a generator of {generator.device}, numbers wanted on {FAR}")
        strange = [x for x in tensors if not isinstance(x, FarTensor)]
        scalars = torch.Tag.pointwise in func.tags or name in (
            "index_put_",
            "index_put",
            "_index_put_impl_",
            "where",
            "fill_",
        )
        if [x for x in strange if x.ndim or not scalars]:
            shapes = [f"{x.device.type} {tuple(x.shape)}" for x in tensors]
            raise MixedDevices(f"{func}: tensors of two devices, {', '.join(shapes)}")
        if name in _WAITS and not (name == "repeat_interleave" and kwargs.get("output_size") is not None):
            self._wait(_WAITS[name])
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
            whole = name != "index" and isinstance(args[2], Tensor) and args[2].numel() == 1  # a masked_fill
            if masks and not whole:
                self._wait("index by a mask")

    def _wait(self, what: str) -> None:
        where = _caller(sys._getframe(1))
        if where is not None:
            place, line = where
            self.waits.append(f"{place}: {what} (line {line})")


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:  # PyTorch's own trees are several times as slow
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, FarTensor):
        return value.near
    return type(value)(map(_unwrapped, value)) if type(value) in (list, tuple) else value


def _wrapped(value: Any, owner: dict[int, FarTensor]) -> Any:
    """Results as far tensors; one that was written in place is the one that was given."""
    if isinstance(value, Tensor):
        return owner[id(value)] if id(value) in owner else FarTensor(value)
    return type(value)(_wrapped(x, owner) for x in value) if type(value) in (list, tuple) else value


def _near(function: Any) -> Any:
    """A method of a tensor, for a far one on its data."""

    def near(self: Any, points: Tensor) -> Any:
        if isinstance(points, FarTensor):
            return _wrapped(function(self, points.near), {})
        return function(self, points)

    return near


@cache
def _composite(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _caller(frame: FrameType | None) -> tuple[str, int] | None:
    """The function and line of the package that an operation comes from; None where it is a library's or a test's own.

    What moves the batches and the model as a whole is Lightning's business, though the classes are ours.
    """
    found = None
    while frame is not None:
        name = frame.f_code.co_filename
        if found is None and name.startswith(_ROOT) and "/.venv/" not in name and name != __file__:
            path = name.removeprefix(_ROOT + "/")
            if path.startswith("tests/"):
                return None
            found = f"{path} {frame.f_code.co_name}", frame.f_lineno
        if "/lightning/" in name or "/torchmetrics/" in name:
            if found is None or frame.f_code.co_name in ("move_data_to_device", "model_to_device", "teardown"):
                return None
        frame = frame.f_back
    return found


class FarAccelerator(Accelerator):
    """Lets a `Trainer` work on the far device."""

    def setup_device(self, device: torch.device) -> None: ...
    def teardown(self) -> None: ...
    @staticmethod
    def parse_devices(devices: Any) -> Any:
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [FAR]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "far"


def far_trainer(folder: Path, **options: Any) -> Trainer:
    """A `Trainer` on the far device that writes nothing but its root folder."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    strategy = SingleDeviceStrategy(FAR, FarAccelerator())
    return Trainer(default_root_dir=folder, strategy=strategy, enable_checkpointing=False, **quiet, **options)


@contextmanager
def far_device() -> Iterator[FarDevice]:
    """The far device, which there is only inside."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor` would copy to the device out of sight of the mode
    warp = WarpBackend.__call__
    WarpBackend.__call__ = _near(warp)  # its kernels are those of the device, which read its memory
    try:
        with FarDevice() as device:
            yield device
    finally:
        WarpBackend.__call__ = warp
        torch._C._set_only_lift_cpu_tensors(before)
