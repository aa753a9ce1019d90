"""Oracle: numpy.load, pickle.load and scipy, on files of every pickle protocol."""

import os
import pickle
import resource
import sys
import types
import zipfile

import numpy as np
import pytest
import scipy.sparse

from dexzoo.files.unpickle import ChumpyArray, PickleFileError, UnsafePickleError, load_npy, load_npz, load_pickle

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


@pytest.mark.parametrize("start", [b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00"])
@pytest.mark.parametrize("header", ["{'descr': '<f8', 'shape': (3", "{'descr': (((", "'" * 9, "\\", "{'shape': (-1,)}"])
def test_damaged_header(tmp_path, start, header):
    """Python's tokenizer and parser read the header, and raise their own errors."""
    size = len(header).to_bytes(2 if start.endswith(b"\x01\x00") else 4, "little")
    (tmp_path / "a.npy").write_bytes(start + size + header.encode())
    with pytest.raises(PickleFileError, match=r"a\.npy: expected a complete \.npy array, found a damaged one"):
        load_npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "shape", ["(125_000_000_000,)", f"({1 << 62}, {1 << 62})", f"({10**11}, 1)", "(-1,)", "(2, -3)"]
)
def test_huge_and_negative_shapes_are_refused_before_allocation(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read, name in ((load_npy, "a.npy"), (load_npz, "a.npz")):
        with pytest.raises(PickleFileError, match=rf"{name}.*expected a complete"):
            read(tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\xff\xff\xff\x3f.",  # LONG_BINPUT: a table of 2^30 objects, 17 GB
        b"Np1073741823\n.",
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"abc.",
        b"\x80\x04N",
        b"",
    ],
)
def test_huge_claims_in_a_pickle(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PickleFileError, match=r"a\.pkl: expected a complete pickle"):
        load_pickle(tmp_path / "a.pkl")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("dexzoo.files.unpickle.MAX_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(126))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(bytes(1001)))
    with pytest.raises(PickleFileError, match=r"\(126,\) of float64 is 1008 bytes"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(PickleFileError, match="which is over 1000"):
        load_pickle(tmp_path / "a.pkl")


def test_encrypted_and_damaged_members(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(100))
    content = (tmp_path / "a.npz").read_bytes()
    encrypted, wrong, shifted = (bytearray(content) for _ in range(3))
    central = content.index(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[central + 8] |= 1
    wrong[central + 10] = 99  # way of compression
    shifted[central + 42 : central + 46] = b"\xff\xff\xff\x7f"  # where the member begins: OSError or BadZipFile
    for damaged in (encrypted, wrong, shifted):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(PickleFileError, match=r"a\.npz: expected a \.npz archive, found a broken zip file"):
            load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),  # objects that claim to be numbers
        (3, "|", None, None, None, 8, 1, 63),  # numbers that claim to be objects
    ],
)
def test_forged_types_are_refused(tmp_path, state):
    class Forged:
        def __reduce__(self):
            return np.dtype, ("S8", False, True), state

    class Array:
        def __reduce__(self):
            return np.array(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1,), Forged(), False, b"\1" * 8)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Array(), protocol=4))
    with pytest.raises(PickleFileError, match=r"a\.pkl: expected a complete pickle, .*an array of"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("change", [{"indices": np.array([0, 9])}, {"indptr": np.array([0, 1, 900])}, {"data": None}])
def test_sparse_indices_that_lead_elsewhere(tmp_path, change):
    matrix = scipy.sparse.csc_matrix(np.eye(2))
    for key, value in change.items():
        matrix.__dict__[key] = value
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(matrix, protocol=2))
    with pytest.raises(PickleFileError, match=r"a\.pkl: expected a complete pickle"):
        load_pickle(tmp_path / "a.pkl")


def test_a_sparse_matrix_of_a_shape_alone_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(_Evil(scipy.sparse.csc_matrix, (10**9, 10**9)), protocol=2))
    with pytest.raises(PickleFileError, match="not defined by its arrays"):
        load_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("order", "<>")
def test_text_that_is_none_is_refused(tmp_path, order):
    array = np.array(["thumb"], dtype=f"{order}U5")
    np.save(tmp_path / "a.npy", array)
    assert load_npy(tmp_path / "a.npy").tolist() == ["thumb"]
    array.view(f"{order}u4")[2] = 0x110000
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(array))
    for read, name in ((load_npy, "a.npy"), (load_pickle, "a.pkl")):
        with pytest.raises(PickleFileError, match=rf"{name}.*text with the character 1114112"):
            read(tmp_path / name)
