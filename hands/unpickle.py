"""Reads pickles, `.npy` and `.npz` files of other people without running what they contain.

A pickle is a program: `pickle.load` imports and calls whatever the file names. The readers here build numpy arrays,
scipy CSC matrices and plain Python values, put inert stand-ins where a file holds chumpy objects (the genuine MANO
model does; chumpy itself no longer installs), and refuse everything else by name before it is called.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection
from copyreg import _reconstructor  # type: ignore[attr-defined]
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from scipy.sparse import csc_array, csc_matrix


class PickleFileError(ValueError):
    """The file cannot be read: absent, truncated, or not what its name says."""


class UnsafePickleError(PickleFileError):
    """The file asks for something that this reader does not build."""


class ChumpyArray:
    """Stand-in for any chumpy object: keeps the pickled state and offers its array as `x`."""

    state: dict[str, Any] = MappingProxyType({})  # type: ignore[assignment]  # unpickling skips __init__

    def __init__(self, *_: object) -> None:
        """Takes what the pickle passes, and ignores it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = dict(state)

    @property
    def x(self) -> np.ndarray:
        """The array that a `chumpy.ch.Ch` wraps."""
        if "x" not in self.state:
            raise PickleFileError(
                f"a chumpy object without an array: expected its state to hold 'x', found {sorted(self.state)}; "
                "only plain `chumpy.Ch` arrays are understood, expressions are not"
            )
        return np.asarray(self.state["x"])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.x, dtype=dtype)


class _NdarrayClass:
    """Takes the place of `numpy.ndarray`, which could build object arrays from raw bytes if it were handed out."""


def _empty_array(*_: object) -> np.ndarray:
    return np.ndarray.__new__(np.ndarray, (0,), "b")  # BUILD fills it through ndarray.__setstate__


def _scalar(dtype: np.dtype, value: bytes | str = b"") -> np.generic:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a numpy scalar that wraps an object")
    value = value.encode("latin1") if isinstance(value, str) else value  # Python-2 files hold bytes as text
    return np.frombuffer(value, dtype=dtype, count=1)[0]


def _from_buffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _encode(text: str, codec: str = "latin1") -> bytes:
    if codec not in {"latin1", "latin-1"}:  # what Python 3 writes for bytes in protocols 0 to 2
        raise pickle.UnpicklingError(f"bytes encoded as {codec!r}")
    return text.encode("latin1")


_ALLOWED: dict[str, Callable[..., Any]] = {
    **{f"builtins.{t.__name__}": t for t in (set, frozenset, complex, slice, object, list, dict, tuple, int, float)},
    **{f"builtins.{t.__name__}": t for t in (str, bool)},
    "builtins.bytes": lambda: b"",  # only ever written for the empty string; with a size it would be a memory bomb
    "collections.OrderedDict": OrderedDict,
    "copyreg._reconstructor": _reconstructor,
    "_codecs.encode": _encode,
    "numpy.dtype": np.dtype,
    "numpy.ndarray": _NdarrayClass,
    **{f"scipy.sparse.{m}.csc_matrix": csc_matrix for m in ("csc", "_csc")},
    "scipy.sparse._csc.csc_array": csc_array,
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and numpy 2
    _ALLOWED[f"{_core}.multiarray._reconstruct"] = _empty_array
    _ALLOWED[f"{_core}.multiarray.scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric._frombuffer"] = _from_buffer


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], source: Path) -> None:
        super().__init__(file, encoding="latin1")  # the files of this field are often Python-2 pickles
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        if module == "chumpy" or module.startswith("chumpy."):
            return ChumpyArray
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        if (found := _ALLOWED.get(f"{module}.{name}")) is not None:
            return found
        raise UnsafePickleError(
            f"{self._source}: refused to load `{module}.{name}` and executed nothing; expected only numpy arrays, "
            "scipy CSC matrices, plain Python values and chumpy arrays. If you trust the file, rewrite it with those"
        )

    def persistent_load(self, pid: object) -> Any:
        raise UnsafePickleError(f"{self._source}: refused to load the external object {pid!r}")


def load_pickle(path: str | Path) -> Any:
    """Reads a pickle of plain values, numpy arrays, CSC matrices and chumpy arrays (as `ChumpyArray`).

    Raises:
        UnsafePickleError: the file names anything else; nothing of it is called.
        PickleFileError: the file is absent, truncated or no pickle.
    """
    path = _existing(path)
    with path.open("rb") as file:
        return _unpickle(file, path)


def load_npy(path: str | Path) -> np.ndarray:
    """Reads a `.npy` file as `numpy.load` does; object arrays go through the restricted unpickler.

    A file that holds a pickled dict comes back as a 0-d object array: take `.item()`.

    Raises:
        UnsafePickleError, PickleFileError: as `load_pickle`.
    """
    path = _existing(path)
    with path.open("rb") as file:
        return _read_npy(file, path, str(path))


def load_npz(path: str | Path, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.npz` file, by name; each as `load_npy` would.

    Args:
        path: the file.
        only: names of the arrays to read, those that are there; None reads all. The others cost no time.

    Raises:
        UnsafePickleError, PickleFileError: as `load_pickle`.
    """
    path = _existing(path)
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if only is not None and name.removesuffix(".npy") not in only:
                    continue
                with archive.open(name) as member:
                    arrays[name.removesuffix(".npy")] = _read_npy(member, path, f"{path} [{name}]")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise PickleFileError(f"{path}: expected a .npz archive, found a broken zip file ({error})") from error
    return arrays


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise PickleFileError(f"{path}: expected a file, found {'a folder' if path.is_dir() else 'nothing'}")
    return path


def _unpickle(file: IO[bytes], path: Path) -> Any:
    try:
        return _RestrictedUnpickler(file, path).load()
    except PickleFileError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise PickleFileError(
            f"{path}: expected a complete pickle, found a truncated or damaged one ({type(error).__name__}: {error})"
        ) from error


def _read_npy(file: IO[bytes], path: Path, label: str) -> np.ndarray:
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if not dtype.hasobject:
            return _read_plain(file, shape, fortran, dtype)
    except ValueError as error:
        raise PickleFileError(f"{label}: expected a complete .npy array, found a damaged one ({error})") from error
    array = _unpickle(file, path)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise PickleFileError(f"{label}: expected an object array of shape {shape}, found {type(array).__name__}")
    return array


def _read_plain(file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize:
        raise ValueError(f"expected {count * dtype.itemsize} bytes of data, found {len(data)}")
    return np.frombuffer(bytearray(data), dtype=dtype, count=count).reshape(shape, order="F" if fortran else "C")
