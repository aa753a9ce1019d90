"""Reads other people's pickles, `.npy` and `.npz` files without running what they contain.

A pickle is a program: `pickle.load` imports and calls whatever the file names. The readers here build numpy arrays,
scipy CSC matrices and plain Python values, put inert stand-ins where a file holds chumpy objects (the genuine MANO
model does; chumpy itself no longer installs), and refuse everything else by name before it is called.
"""

from __future__ import annotations

import math
import os
import pickle
import pickletools
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from copyreg import _reconstructor  # type: ignore[attr-defined]
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from scipy.sparse import csc_array, csc_matrix

from .errors import BadFile

MAX_BYTES = 1 << 30  # Size limit of one array or pickle; larger ones are refused before anything is allocated


class PickleFileError(ValueError):
    """The file cannot be read: absent, truncated, or not of the format that its name says."""


class UnsafePickleError(PickleFileError):
    """The file asks for something that this reader does not build."""


class ChumpyArray:
    """Stand-in for any chumpy object: keeps the pickled state and gives its array as `x`."""

    state: dict[str, Any] = MappingProxyType({})  # type: ignore[assignment]  # unpickling skips __init__

    def __init__(self, *_: object) -> None:
        """Ignores the arguments that the pickle passes."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = dict(state)

    @property
    def x(self) -> np.ndarray:
        """The array that a `chumpy.ch.Ch` wraps."""
        if "x" not in self.state:
            raise PickleFileError(
                f"a chumpy object without an array: expected its state to hold 'x', found {sorted(self.state)}; "
                "only plain `chumpy.Ch` arrays are supported, expressions are not"
            )
        return np.asarray(self.state["x"])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.x, dtype=dtype)


class _NdarrayClass:
    """Replaces `numpy.ndarray`, which the pickle could use to build object arrays from raw bytes."""


def _refuse(*_: object) -> None:
    raise pickle.UnpicklingError("a sparse matrix that is not defined by its arrays")


def _fill(matrix: Any, state: dict[str, Any]) -> None:
    """Scipy's own class would allocate any shape that the file names, and follow indices out of bounds."""
    kind: Any = type(matrix).__base__
    matrix.__class__ = kind
    shape = state.get("_shape", state.get("shape"))
    checked = kind((state["data"], state["indices"], state["indptr"]), shape=shape)
    checked.check_format(full_check=True)
    matrix.__dict__ = checked.__dict__


class _Matrix(csc_matrix):
    __init__, __setstate__ = _refuse, _fill  # type: ignore[assignment]


class _MatrixOfArrays(csc_array):
    __init__, __setstate__ = _refuse, _fill  # type: ignore[assignment]


class ndarray(np.ndarray):  # named as numpy's, for the messages that give the type of a value
    """An array from a pickle, whose dtype is checked before it is filled."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _check_dtype(state[2])
        super().__setstate__(state)
        _check_text(self)


def _check_dtype(dtype: np.dtype) -> None:
    """Refuses records, and types whose flags contradict their letter: numbers would be read as pointers."""
    if dtype.names or dtype.subdtype or dtype.kind == "V" or dtype.hasobject != (dtype.kind == "O"):
        raise pickle.UnpicklingError(f"an array of {dtype}")


def _check_text(array: np.ndarray) -> None:
    """Refuses text with code points that are no characters: on them Python fails with an internal error."""
    if array.dtype.kind == "U" and array.size:
        codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if codes.max(initial=0) > sys.maxunicode:
            raise ValueError(f"text with the character {codes.max()}")


def _empty_array(*_: object) -> np.ndarray:
    return np.ndarray.__new__(ndarray, (0,), "b")  # BUILD fills it through __setstate__


def _scalar(dtype: np.dtype, value: bytes | str = b"") -> np.generic:
    _check_dtype(dtype)
    if dtype.hasobject:
        raise pickle.UnpicklingError("a numpy scalar that wraps an object")
    value = value.encode("latin1") if isinstance(value, str) else value  # Python-2 files hold bytes as text
    return np.frombuffer(value, dtype=dtype, count=1)[0]


def _from_buffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    _check_dtype(dtype)
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _encode(text: str, codec: str = "latin1") -> bytes:
    if codec not in {"latin1", "latin-1"}:  # the codec that Python 3 writes for bytes in protocols 0 to 2
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
    **{f"scipy.sparse.{m}.csc_matrix": _Matrix for m in ("csc", "_csc")},
    "scipy.sparse._csc.csc_array": _MatrixOfArrays,
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

    Raises UnsafePickleError, without calling any of it, if the file names anything else; PickleFileError if it is
    absent, truncated or not a pickle.
    """
    path = _existing(path)
    with path.open("rb") as file:
        return _unpickle(file, path, _size(file))


def load_npy(path: str | Path) -> np.ndarray:
    """Reads a `.npy` file like `numpy.load`; object arrays go through the restricted unpickler; raises like
    `load_pickle`.

    A file that holds a pickled dict is returned as a 0-d object array: take `.item()`.
    """
    path = _existing(path)
    with path.open("rb") as file:
        return read_npy(file, path)


def read_npy(file: IO[bytes], path: str | Path, label: str = "", size: int | None = None) -> np.ndarray:
    """Reads an opened, seekable `.npy` file, or a member of an archive, as `load_npy`.

    Messages name `label`, or else the path; `size` is in bytes, None measures it.
    """
    path, label = Path(path), label or str(path)
    size = _size(file) if size is None else size
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if not dtype.hasobject:
            return _read_plain(file, shape, fortran, dtype, size)
    except Exception as error:  # numpy passes on what its header's parsers raise: tokenize.TokenError, SyntaxError, ...
        found = f"{type(error).__name__}: {error}"
        raise PickleFileError(f"{label}: expected a complete .npy array, found a damaged one ({found})") from error
    array = _unpickle(file, path, size)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise PickleFileError(f"{label}: expected an object array of shape {shape}, found {type(array).__name__}")
    return array


def load_npz(path: str | Path, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.npz` file, by name, each like `load_npy`; or those in `only`, if present: others cost no
    time.
    """
    path = _existing(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [(info.filename.removesuffix(".npy"), info) for info in archive.infolist()]
            return {name: _member(archive, info, path) for name, info in members if only is None or name in only}
    except PickleFileError:
        raise
    except Exception as error:  # zipfile and its decompressors raise all kinds of errors on a damaged byte
        found = f"{type(error).__name__}: {error}"
        raise PickleFileError(f"{path}: expected a .npz archive, found a broken zip file ({found})") from error


@contextmanager
def as_bad_file(path: Path, expected: str, *kinds: type[Exception]) -> Iterator[None]:
    """Converts PickleFileError, and errors of these kinds, to BadFile; not that of a file that would execute code."""
    try:
        yield
    except UnsafePickleError:
        raise
    except (PickleFileError, *kinds) as error:
        raise BadFile(path, expected, str(error).removeprefix(f"{path}").lstrip(":, ")) from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    with archive.open(info) as member:
        return read_npy(member, path, f"{path} [{info.filename}]", info.file_size)


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise PickleFileError(f"{path}: expected a file, found {'a folder' if path.is_dir() else 'nothing'}")
    return path


def _size(file: IO[bytes]) -> int:
    here = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(here)
    return size


def _unpickle(file: IO[bytes], path: Path, size: int) -> Any:
    try:
        if size > MAX_BYTES:
            raise pickle.UnpicklingError(f"{size} bytes, which is over {MAX_BYTES}")
        _check_opcodes(file, size)
        return _RestrictedUnpickler(file, path).load()
    except PickleFileError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise PickleFileError(
            f"{path}: expected a complete pickle, found a truncated or damaged one ({type(error).__name__}: {error})"
        ) from error


_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_ARGUMENTS = {
    code.encode("latin1"): op.arg.n for code, op in pickletools.code2op.items() if op.arg is not None and code != "p"
}


def _check_opcodes(file: IO[bytes], size: int) -> None:
    """Walks over the opcodes and refuses numbers for which Python would allocate memory without checking.

    Six bytes, `r` and the index 2^31 into the table of objects seen, cost 34 GB. Each object takes at least one byte,
    so a valid index is smaller than the file.
    """
    start, read = file.tell(), file.read
    while (op := read(1)) != b".":
        if op in (b"r", b"p"):
            place = int.from_bytes(read(4), "little") if op == b"r" else int(file.readline(20))
            if place > size:
                raise pickle.UnpicklingError(f"index {place} in a table of at most {size} objects")
        elif (width := _ARGUMENTS.get(op, 0)) > 0:
            read(width)
        elif width == pickletools.UP_TO_NEWLINE:
            for _ in range(2 if op in (b"c", b"i") else 1):
                file.readline()
        elif width:
            _skip(file, int.from_bytes(read(_LENGTHS[width]), "little"), size)
        elif not op:
            raise pickle.UnpicklingError("no end")
    file.seek(start)


def _skip(file: IO[bytes], length: int, size: int) -> None:
    if length > size:
        raise pickle.UnpicklingError(f"{length} bytes in a file of {size}")
    if length < 1 << 16:
        file.read(length)  # much faster than seeking
    else:
        file.seek(length, os.SEEK_CUR)


def _read_plain(file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype, size: int) -> np.ndarray:
    count = math.prod(shape)
    n_bytes = count * dtype.itemsize
    if min(shape, default=0) < 0 or n_bytes > min(size, MAX_BYTES):
        raise ValueError(f"shape {shape} of {dtype} is {n_bytes} bytes, the file has {size}, the limit is {MAX_BYTES}")
    data = file.read(n_bytes)
    if len(data) < n_bytes:
        raise ValueError(f"expected {n_bytes} bytes of data, found {len(data)}")
    array = np.frombuffer(bytearray(data), dtype=dtype, count=count).reshape(shape, order="F" if fortran else "C")
    _check_text(array)
    return array
