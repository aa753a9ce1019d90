"""Oracle: numpy.load, pickle.load and scipy, on files of every pickle protocol."""

import os
import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse

from dexzoo.hands.unpickle import ChumpyArray, PickleFileError, UnsafePickleError, load_npy, load_npz, load_pickle

CONTENT = {
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.uint32).reshape(2, 3)),
    "text": np.array(["thumb", "index"]),
    "scalar": np.float64(3.5),
    "objects": np.array([{"qpos": np.ones(3, bool)}, None], dtype=object),
    "plain": [1, 2.5, "name", b"bytes", (True, None), {3, 4}],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_is_read_as_pickle_reads_it(tmp_path, protocol):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    found = load_pickle(file)
    assert list(found) == list(CONTENT)
    assert found["plain"] == CONTENT["plain"]
    assert found["scalar"] == 3.5
    assert isinstance(found["scalar"], np.float64)
    for key in ("array", "fortran", "text"):
        np.testing.assert_array_equal(found[key], CONTENT[key])
        assert found[key].dtype == CONTENT[key].dtype
    np.testing.assert_array_equal(found["objects"][0]["qpos"], True)
    assert found["objects"][1] is None


@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.csc_array])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_sparse_matrix(tmp_path, kind, protocol):
    dense = np.diag([1.0, 2.0, 0.0])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(kind(dense), protocol=protocol))
    np.testing.assert_array_equal(load_pickle(tmp_path / "a.pkl").toarray(), dense)


def test_numpy_1_module_paths(tmp_path):
    text = pickle.dumps(CONTENT["array"], protocol=0).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in text
    (tmp_path / "a.pkl").write_bytes(text)
    np.testing.assert_array_equal(load_pickle(tmp_path / "a.pkl"), CONTENT["array"])


def test_chumpy_becomes_its_array(tmp_path, monkeypatch):
    module = types.ModuleType("chumpy.ch")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    value = module.Ch()
    value.x = np.arange(3.0)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"shapedirs": value, "empty": module.Ch()}, protocol=2))
    found = load_pickle(tmp_path / "a.pkl")
    assert isinstance(found["shapedirs"], ChumpyArray)
    np.testing.assert_array_equal(np.array(found["shapedirs"]), [0, 1, 2])
    with pytest.raises(PickleFileError, match="expected its state to hold 'x'"):
        np.array(found["empty"])


class _Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_system_call_is_refused_and_not_executed(tmp_path, protocol):
    trace = tmp_path / "executed"
    evil = {"qpos": _Evil(os.system, f"touch {trace}")}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(evil, protocol=protocol))
    np.save(tmp_path / "a.npy", np.array(evil, dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", data=np.array(evil, dtype=object))
    for read, name in ((load_pickle, "a.pkl"), (load_npy, "a.npy"), (load_npz, "a.npz")):
        with pytest.raises(
            UnsafePickleError, match=r"refused to load `(posix|nt)\.system` and executed nothing"
        ) as error:
            read(tmp_path / name)
        assert name in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize("function", [eval, getattr, __import__, np.load, np.ndarray.tofile, os.remove])
def test_other_callables_are_refused(tmp_path, function):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_Evil(function, "x"), protocol=4))
    with pytest.raises(UnsafePickleError, match="refused to load"):
        load_pickle(tmp_path / "a.pkl")


def test_object_array_from_raw_bytes_is_refused(tmp_path):
    """`numpy.ndarray(shape, "O", bytes)` would follow pointers that the file chose."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_Evil(np.ndarray, (1,), "O", b"\0" * 8), protocol=4))
    with pytest.raises(PickleFileError):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "array",
    [np.arange(12.0).reshape(3, 4), np.asfortranarray(np.eye(3, 2)), np.array(CONTENT, dtype=object), np.int8(3)],
)
def test_npy_as_numpy_reads_it(tmp_path, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    found, expected = load_npy(tmp_path / "a.npy"), np.load(tmp_path / "a.npy", allow_pickle=True)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if found.dtype == object:
        np.testing.assert_array_equal(found.item()["array"], CONTENT["array"])
    else:
        np.testing.assert_array_equal(found, expected)
        found[...] = 0  # writable


def test_npz_as_numpy_reads_it(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", points=np.eye(3), info=np.array({"fps": 30}, dtype=object))
    found = load_npz(tmp_path / "a.npz")
    assert set(found) == {"points", "info"}
    np.testing.assert_array_equal(found["points"], np.eye(3))
    assert found["info"].item() == {"fps": 30}


@pytest.mark.parametrize("dtype", [float, object])
@pytest.mark.parametrize("kept", [4, 60, 0.5, 0.95])
def test_truncated_npy(tmp_path, dtype, kept):
    file = tmp_path / "final_data.npy"
    np.save(file, np.arange(1000).astype(dtype), allow_pickle=True)
    data = file.read_bytes()
    file.write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
    with pytest.raises(PickleFileError, match=r"final_data\.npy.*expected a complete"):
        load_npy(file)


def test_truncated_npz_and_absent_files(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(100))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:100])
    with pytest.raises(PickleFileError, match=r"a\.npz: expected a \.npz archive"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(PickleFileError, match="expected a file, found nothing"):
        load_npy(tmp_path / "b.npy")
    with pytest.raises(PickleFileError, match="found a folder"):
        load_pickle(tmp_path)
