"""Files: a restricted unpickler, a cache by content hash, atomic writes. Imports nothing of ours."""

from typing import TYPE_CHECKING

from dexzoo.lazy import on_first_use

if TYPE_CHECKING:
    from .cache import CacheError, cache_dir, cached, content_key, write_folder_whole, write_whole
    from .errors import BadFile, DataError, UnknownName
    from .names import did_you_mean, nearest
    from .unpickle import PickleFileError, UnsafePickleError, load_npy, load_npz, load_pickle, read_npy

_HOMES = {
    "cache": "CacheError cache_dir cached content_key write_folder_whole write_whole",
    "errors": "BadFile DataError UnknownName",
    "names": "did_you_mean nearest",
    "unpickle": "PickleFileError UnsafePickleError load_npy load_npz load_pickle read_npy",
}

__all__ = [
    "BadFile",
    "CacheError",
    "DataError",
    "PickleFileError",
    "UnknownName",
    "UnsafePickleError",
    "cache_dir",
    "cached",
    "content_key",
    "did_you_mean",
    "load_npy",
    "load_npz",
    "load_pickle",
    "nearest",
    "read_npy",
    "write_folder_whole",
    "write_whole",
]
__getattr__ = on_first_use(__name__, _HOMES)
