"""Damaged files through every reader: each ends in a documented error that names the file, or in a valid read.

None may hang, crash, take much memory, run what a pickle names, or pass off a number that is not finite as good.
`seed` makes every damage again: `DAMAGES[...]` with `np.random.default_rng([seed, number])`.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import shutil
import signal
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dexzoo.datamodules import RealDexMotion
from dexzoo.datamodules.errors import DataError
from dexzoo.datamodules.grab import GrabMotion
from dexzoo.geometry.meshes import MeshError
from dexzoo.hands import HandError, HandPose, load_hand
from dexzoo.hands.grasp_files import GraspSet, load_grasps, save_grasps
from dexzoo.hands.mano_model import read_mano
from dexzoo.hands.mano_standin import write_standin
from dexzoo.hands.unpickle import PickleFileError

from .datamodules.grab.conftest import content, object_mesh, write_tools
from .datamodules.realdex.conftest import QPOS, write_raw

__all__ = ["write_raw"]

DOCUMENTED = (DataError, PickleFileError, HandError, MeshError)
SECONDS, MEGABYTES = 10, 1000
RNG = np.random.Generator
QUICK, FULL = 40, 600
"""Damaged files of each kind: 8 kinds make 320, and 4,800."""


@dataclass
class Seed:
    """A valid input.

    Attributes:
        file: the one that is damaged; a function picks it where there are several.
        read: reads all, and returns what is in it as tensors.
        rewrite: writes the content of a file, changed as a Python value; None for text.
    """

    file: Callable[[RNG], Path]
    read: Callable[[], list[torch.Tensor]]
    rewrite: Callable[[RNG, Path], None] | None = None


# --------------------------------------------------------------------------------------------------- damage to bytes


def flip(rng: RNG, data: bytearray) -> None:
    """Turns up to 8 bits."""
    for place in rng.integers(len(data), size=int(rng.integers(1, 9))):
        data[place] ^= 1 << int(rng.integers(8))


def truncate(rng: RNG, data: bytearray) -> None:
    del data[int(len(data) * rng.choice([0, 0.01, rng.random(), 0.999])) :]


def overwrite(rng: RNG, data: bytearray) -> None:
    """A block of zeros, ones or noise, as a bad disk leaves it; sizes in headers become huge."""
    start, width = int(rng.integers(len(data))), int(rng.choice([4, 8, 64]))
    block = [bytes(width), b"\xff" * width, rng.bytes(width)][int(rng.integers(3))]
    data[start : start + width] = block[: len(data) - start]


def cut(rng: RNG, data: bytearray) -> None:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 200))]


def edge(rng: RNG, data: bytearray) -> None:
    """Turns bits of the first and last 300 bytes: headers of arrays and tables of zips."""
    for _ in range(3):
        place = int(rng.integers(min(300, len(data))))
        data[place if rng.random() < 0.5 else -1 - place] = int(rng.integers(256))


BYTES = (flip, truncate, overwrite, cut, edge)


def damage_bytes(rng: RNG, path: Path) -> None:
    """Damages a file; in a zip half of the time a member, whose checksum is then right."""
    how = BYTES[int(rng.integers(len(BYTES)))]
    if zipfile.is_zipfile(path) and rng.random() < 0.6:
        with zipfile.ZipFile(path) as archive:
            members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
        how(rng, members[str(rng.choice([name for name in members if members[name]]))])
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, bytes(data))
        return
    data = bytearray(path.read_bytes())
    how(rng, data)
    path.write_bytes(data)


# ------------------------------------------------------------------------------------------- damage to Python values


class Gadget:
    """Runs something when it is unpickled by `pickle.load`."""

    def __init__(self, rng: RNG, trace: Path) -> None:
        name = str(trace)
        calls = [
            (os.system, (f"touch {name}",)),
            (eval, (f"open({name!r}, 'w')",)),
            (exec, (f"open({name!r}, 'w')",)),
            (open, (name, "w")),
            (os.makedirs, (name,)),
            (np.ndarray.tofile, (np.zeros(3), name)),
            (np.save, (name, np.zeros(3))),
            (__import__, ("subprocess",)),
        ]
        self.call = calls[int(rng.integers(len(calls)))]

    def __reduce__(self) -> Any:
        return self.call


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def strange(rng: RNG, value: Any, trace: Path) -> Any:
    """Something else in place of a value."""
    array = np.asarray(value if isinstance(value, np.ndarray | np.generic | int | float) else 0.0)
    numbers = np.zeros(array.shape) if array.dtype.kind not in "fiub" else np.array(array, dtype=np.float64)
    spoilt = numbers.copy()
    if spoilt.size:
        spoilt.flat[int(rng.integers(spoilt.size))] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
    others = [
        lambda: Gadget(rng, trace),
        lambda: None,
        lambda: "text",
        lambda: b"bytes",
        lambda: [],
        lambda: {},
        lambda: nested(400),
        lambda: 10**400,
        lambda: float("nan"),
        lambda: spoilt,
        lambda: spoilt,
        lambda: numbers[None],
        lambda: numbers[:0] if numbers.ndim else np.zeros(0),
        lambda: numbers.T,
        lambda: numbers[:-1] if numbers.ndim else numbers,
        lambda: numbers.astype(complex),
        lambda: array.astype(str),
        lambda: array.astype(object),
        lambda: numbers.astype(bool),
        lambda: -numbers,
        lambda: np.full(array.shape, np.nan),
        lambda: np.zeros(3, dtype=[("a", "f8")]),
        lambda: np.array(["2020-01-01"], "M8[D]"),
    ]
    return others[int(rng.integers(len(others)))]()


def damage_value(rng: RNG, value: Any, trace: Path) -> Any:
    """Changes one place within dicts and object arrays: another value, another key, or none."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size:
        place = int(rng.integers(value.size))
        value.flat[place] = None if rng.random() < 0.05 else damage_value(rng, value.flat[place], trace)
        return value
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[int(rng.integers(len(value)))]
        how = rng.random()
        if how < 0.1:
            del value[key]
        elif how < 0.2:
            value[rng.choice([f"{key}_", "\ud800", ""])] = value.pop(key)
        else:
            value[key] = damage_value(rng, value[key], trace)
        return value
    return strange(rng, value, trace)


def boxed(value: Any) -> np.ndarray:
    box = np.empty((), object)
    box[()] = value
    return box


def rewrite_npz(trace: Path) -> Callable[[RNG, Path], None]:
    """Changes one array of an npz."""

    def rewrite(rng: RNG, path: Path) -> None:
        with np.load(path, allow_pickle=True) as file:
            arrays = {key: file[key] for key in file.files}
        changed = damage_value(
            rng, {k: a.item() if a.dtype == object and not a.ndim else a for k, a in arrays.items()}, trace
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in (changed if isinstance(changed, dict) else {"x": changed}).items():
                data = io.BytesIO()
                array = value if isinstance(value, np.ndarray) and value.dtype != object else boxed(value)
                np.lib.format.write_array(data, array)
                archive.writestr(f"{key}.npy".encode("ascii", "replace").decode(), data.getvalue())

    return rewrite


def rewrite_npy(trace: Path) -> Callable[[RNG, Path], None]:
    def rewrite(rng: RNG, path: Path) -> None:
        array = np.load(path, allow_pickle=True)
        changed = damage_value(rng, array if array.ndim else array.item(), trace)
        np.save(path, changed if isinstance(changed, np.ndarray) else boxed(changed), allow_pickle=True)

    return rewrite


def rewrite_pickle(trace: Path) -> Callable[[RNG, Path], None]:
    def rewrite(rng: RNG, path: Path) -> None:
        changed = damage_value(rng, pickle.loads(path.read_bytes()), trace)
        path.write_bytes(pickle.dumps(changed, protocol=int(rng.integers(6))))

    return rewrite


def huge(rng: RNG, path: Path) -> None:
    """An array, or a pickle, that claims to be far larger than the file."""
    size = int(rng.choice([1 << 31, 1 << 36, 10**12, (1 << 63) - 1]))
    header = f"{{'descr': '{rng.choice(['<f8', '|O', '<U9'])}', 'fortran_order': False, 'shape': ({size},)}}\n".encode()
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
    claims = [
        b"\x8e" + size.to_bytes(8, "little"),
        b"\x8d" + size.to_bytes(8, "little"),
        b"r\xff\xff\xff\x7f",
        b"p%d\n" % size,
    ]
    program = b"\x80\x04N" + claims[int(rng.integers(4))] + b"."
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        data = array if rng.random() < 0.5 else array.replace(b"<f8", b"|O ") + program
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, data)
    elif path.suffix == ".pkl":
        path.write_bytes(program)
    else:
        path.write_bytes(array)


def damage_text(rng: RNG, path: Path) -> None:
    """A word of a text file becomes something else, or a row does."""
    lines = path.read_text().splitlines()
    row = int(rng.integers(len(lines)))
    words = lines[row].split(" ")
    others = ["nan", "inf", "-inf", "1e999", "", "x", "1" * 400, "-1", "0", "\0", "1e300", "9" * 19, "0x10", "1_0"]
    words[int(rng.integers(len(words)))] = str(rng.choice(others))
    lines[row] = " ".join(words)
    if rng.random() < 0.2:
        lines = lines[:row] if rng.random() < 0.5 else lines * 3
    path.write_text("\n".join(lines))


def damage(rng: RNG, seed: Seed) -> tuple[Path, str]:
    """Damages one file of the input; returns it and how."""
    path, how = seed.file(rng), rng.random()
    if seed.rewrite is None and path.suffix in (".txt", ".json") and how < 0.5:
        damage_text(rng, path)
        return path, "text"
    if seed.rewrite is not None and how < 0.5:
        seed.rewrite(rng, path)
        return path, "value"
    if seed.rewrite is not None and how < 0.6:
        huge(rng, path)
        return path, "huge"
    damage_bytes(rng, path)
    return path, "bytes"


# -------------------------------------------------------------------------------------------------------- the verdict


class Hung(BaseException):
    """A file took too long."""


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def verdict(read: Callable[[], list[torch.Tensor]], path: Path) -> str:
    """What is wrong with how a damaged file was taken; "" where nothing is."""
    signal.alarm(SECONDS)
    try:
        values = read()
    except DOCUMENTED as error:
        named = any(name in str(error) for name in (path.name, str(path.parent)))
        return "" if named else f"does not name the file: {type(error).__name__}: {error}"
    except Hung:
        return f"took over {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
    bad = sum(not torch.isfinite(value).all() for value in values)
    return f"{bad} tensors that are not finite" if bad else ""


def fuzz(seed: Seed, folder: Path, n: int, number: int, trace: Path) -> None:
    """Damages `folder` n times, from a clean copy each time."""
    clean = folder.parent / "clean"
    assert all(value.numel() for value in seed.read())  # the undamaged one is read
    shutil.copytree(folder, clean, symlinks=True)
    wrong, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(n):
        shutil.rmtree(folder.parent / "cache", ignore_errors=True)  # it knows the undamaged files by their checksums
        path, how = damage(np.random.default_rng([number, k]), seed)
        if found := verdict(seed.read, path):
            wrong.append(f"{k} ({how}, {path.name}): {found}")
        shutil.copyfile(clean / path.relative_to(folder), path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert not wrong, f"{len(wrong)} of {n}:\n" + "\n".join(wrong[:20])
    assert not trace.exists(), "a gadget ran"
    assert grown < MEGABYTES, f"took {grown} MB"


# -------------------------------------------------------------------------------------------------------- valid inputs


def pose_tensors(grasps: list[GraspSet]) -> list[torch.Tensor]:
    return [x for g in grasps for x in (g.pose.translation, g.pose.rotation, g.pose.joints, g.scale)]


def known(read: Callable[[], list[torch.Tensor]]) -> Callable[[], list[torch.Tensor]]:
    """In files of grasps a number that is not known is kept, and told by whoever measures the grasp."""
    return lambda: [torch.nan_to_num(value) for value in read()]


def clips(data: GrabMotion | RealDexMotion) -> list[torch.Tensor]:
    parts = ("object_points", "object_rotation", "object_translation")
    return [
        value
        for clip in data.load()
        for value in (clip.pose.to_vector(), clip.goal.to_vector(), *(getattr(clip, part) for part in parts))
    ]


def qpos(rng: RNG) -> dict[str, float]:
    names = [f"robot0:{name}" for name in load_hand("shadow").joint_names]
    names += [f"WRJ{kind}{axis}" for kind in "RT" for axis in "xyz"]
    return dict(zip(names, rng.uniform(-1, 1, len(names)).tolist(), strict=True))


def dexgraspnet(folder: Path, trace: Path) -> Seed:
    path, rng = folder / "core-mug-1.npy", np.random.default_rng(1)
    rows = np.array([{"qpos": qpos(rng), "scale": 0.06} for _ in range(4)], dtype=object)
    np.save(path, rows, allow_pickle=True)
    read = known(lambda: pose_tensors(load_grasps(path, load_hand("shadow"), "dexgraspnet")))
    return Seed(lambda _: path, read, rewrite_npy(trace))


def unidexgrasp(folder: Path, trace: Path) -> Seed:
    path = folder / "sem/Car-66/00007.npz"
    path.parent.mkdir(parents=True)
    plane = np.float32([0, 0, 1, 0.05])
    np.savez(path, qpos=boxed(qpos(np.random.default_rng(1))), scale=np.float32(12.5), plane=plane)
    read = known(lambda: pose_tensors(load_grasps(path, load_hand("shadow"), "unidexgrasp")))
    return Seed(lambda _: path, read, rewrite_npz(trace))


def dexzoo(folder: Path, trace: Path) -> Seed:
    path, hand = folder / "mine.npz", load_hand("shadow")
    pose = HandPose(
        torch.rand(3, 3).double(),
        torch.eye(3).double().repeat(3, 1, 1),
        torch.rand(3, hand.num_joints).double(),
        hand.name,
    )
    save_grasps(path, [GraspSet("can", pose, torch.ones(3).double(), torch.arange(3))], hand)
    return Seed(lambda _: path, known(lambda: pose_tensors(load_grasps(path, hand, "dexzoo"))), rewrite_npz(trace))


def mano(folder: Path, trace: Path) -> Seed:
    path = write_standin(folder / "MANO_RIGHT.pkl")

    def read() -> list[torch.Tensor]:
        return [torch.from_numpy(x) for x in vars(read_mano(path)).values() if isinstance(x, np.ndarray)]

    return Seed(lambda _: path, read, rewrite_pickle(trace))


def grab(folder: Path, trace: Path) -> Seed:
    write_tools(folder)
    path = folder / "grab/s1/mug_lift.npz"
    path.parent.mkdir(parents=True)
    data = content(len(object_mesh().vertices))
    data["contact"] = {key: value.astype(np.int8) for key, value in data["contact"].items()}
    np.savez_compressed(path, **{key: boxed(value) for key, value in data.items()})
    read = lambda: clips(GrabMotion(folder, "mano_skeleton", n_object_points=8))  # noqa: E731
    return Seed(lambda _: path, read, rewrite_npz(trace))


def realdex_final(folder: Path, trace: Path) -> Seed:
    n, rng = 8, np.random.default_rng(1)
    place = folder / "mug/mug_1"
    place.mkdir(parents=True)
    eye = np.tile(np.eye(3), (n, 1, 1))
    data = {"qpos": np.full((n, len(QPOS)), 0.1), "global_transl": rng.random((n, 3)), "global_orient": eye}
    data |= {"object_transl": rng.random((n, 3)), "object_orient": eye.copy()}
    np.save(place / "final_data.npy", boxed(data), allow_pickle=True)
    (place / "rgbimage_timestamp.txt").write_text("".join(f"{10**18 + k * 66_666_667}\n" for k in range(n)))
    (place / "segment.txt").write_text(f"0 {n}\n")
    read = lambda: clips(RealDexMotion(folder, object_points="none", n_object_points=8))  # noqa: E731
    return Seed(lambda _: place / "final_data.npy", lambda: [x for x in read() if x.numel()], rewrite_npy(trace))


def realdex_tf(folder: Path, write: Callable[..., Any]) -> Seed:
    truth = write(f"{folder.name}/mug/mug_1_20240101")
    (folder.parent / "models").rename(folder / "models")
    files = sorted(path for path in truth.folder.rglob("*") if path.is_file())
    files += [path for path in files if path.parent.name != "TF"] * 4 + [folder / "models/mug.obj"] * 3
    read = lambda: clips(RealDexMotion(folder, n_object_points=8))  # noqa: E731
    return Seed(lambda rng: files[int(rng.integers(len(files)))], read)


def realdex_zip(folder: Path, write: Callable[..., Any]) -> Seed:
    write("unpacked/mug/mug_1_20240101")
    (folder.parent / "models").rename(folder / "models")
    path, source = folder / "mug.zip", folder.parent / "unpacked"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.rglob("*.*")):
            archive.write(file, f"storage/bags/{file.relative_to(source)}")
    read = lambda: clips(RealDexMotion(folder, n_object_points=8))  # noqa: E731
    return Seed(lambda _: path, read)


KINDS = (dexgraspnet, unidexgrasp, dexzoo, mano, grab, realdex_final, realdex_tf, realdex_zip)
BUDGETS = [pytest.param(QUICK, 1, id="quick"), pytest.param(FULL, 2, id="full", marks=pytest.mark.slow)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize(("n", "number"), BUDGETS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files(kind: Callable[..., Seed], n: int, number: int, folder: Path, write_raw: Any) -> None:
    trace = folder.parent / "executed"
    seed = kind(folder, write_raw if kind in (realdex_tf, realdex_zip) else trace)
    fuzz(seed, folder, n, number, trace)


# ----------------------------------------------------------------------------------------- members and links that leave


@pytest.mark.parametrize("name", ["../x/final_data.npy", "/x/final_data.npy", "a/../../y", "C:\\x", "..", "a\\..\\b"])
def test_members_that_leave_the_zip(folder: Path, write_raw: Any, name: str) -> None:
    seed = realdex_zip(folder, write_raw)
    with zipfile.ZipFile(folder / "mug.zip", "a") as archive:
        archive.writestr(name, b"x")
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(DataError, match=r"mug\.zip: expected members that stay inside the zip"):
        seed.read()
    assert sorted(folder.parent.rglob("*")) == before


def test_links_in_a_zip(folder: Path, write_raw: Any) -> None:
    seed = realdex_zip(folder, write_raw)
    with zipfile.ZipFile(folder / "mug.zip", "a") as archive:
        info = zipfile.ZipInfo("storage/bags/mug/mug_2/final_data.npy")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(DataError, match=r"mug_2/final_data\.npy: expected a file, found a link"):
        seed.read()


@pytest.mark.parametrize("place", ["TF/world-ra_base_link.txt", "segment.txt", "tracking_result/gt_pose.txt"])
def test_links_out_of_realdex(folder: Path, write_raw: Any, place: str) -> None:
    seed, path = realdex_tf(folder, write_raw), folder / "mug/mug_1_20240101" / place
    path.rename(folder.parent / "outside")
    path.symlink_to(folder.parent / "outside")
    with pytest.raises(DataError, match=r"mug_1_20240101/TF: expected the edges" if "TF" in place else rf"{path.name}"):
        seed.read()


@pytest.mark.parametrize("pattern", ["grab/s1/*.npz", "tools/subject_meshes/male/s1_rhand.ply", "tools/*/*/mug.ply"])
def test_links_out_of_grab(folder: Path, pattern: str) -> None:
    seed = grab(folder, folder.parent / "executed")
    (path,) = folder.glob(pattern)
    path.rename(folder.parent / path.name)
    path.symlink_to(folder.parent / path.name)
    with pytest.raises(DataError, match=r"mug_lift\.npz.*expected a file inside data\.root"):
        seed.read()


def test_the_verdict_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"

    def raises(error: Exception) -> Callable[[], list]:
        def read() -> list:
            raise error

        return read

    assert verdict(raises(ValueError("a.npy")), path).startswith("ValueError")
    assert verdict(raises(DataError("b.npy")), path).startswith("does not name the file")
    assert verdict(lambda: [torch.tensor([np.nan])], path) == "1 tensors that are not finite"
    assert verdict(lambda: [torch.ones(1), torch.tensor([np.inf])], path) == "1 tensors that are not finite"
    assert verdict(raises(DataError("a.npy")), path) == verdict(lambda: [torch.zeros(1)], path) == ""
    trace = tmp_path / "trace"
    for k in range(30):  # the gadgets do run where they are let
        (tmp_path / "g.pkl").write_bytes(pickle.dumps(Gadget(np.random.default_rng(k), trace)))
        try:
            pickle.loads((tmp_path / "g.pkl").read_bytes())
        except Exception:
            continue
    assert trace.exists()
