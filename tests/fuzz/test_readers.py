"""Damaged files through every reader: each ends in a documented error that names the file, or in a valid read.

None may hang, crash, take much memory, run what a pickle names, or pass off a number that is not finite as good.
`number` makes every damage again: file k is damaged with `np.random.default_rng([number, k])`.
"""

from __future__ import annotations

import pickle
import resource
import shutil
import signal
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dexzoo.files.errors import DataError
from dexzoo.files.unpickle import PickleFileError
from dexzoo.geometry.meshes import MeshError
from dexzoo.hands import HandError

from ..datamodules.realdex.conftest import write_raw
from .damage import Gadget, Seed, damage
from .inputs import dexgraspnet, dexzoo, grab, mano, realdex_final, realdex_tf, realdex_zip, unidexgrasp

__all__ = ["write_raw"]

DOCUMENTED = (DataError, PickleFileError, HandError, MeshError)
SECONDS, MEGABYTES = 10, 1000
QUICK, FULL = 40, 600
"""Damaged files of each kind: 8 kinds make 320, and 4,800."""


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
    with pytest.raises(DataError, match=r"mug_lift\.npz.*expected a file inside `root`"):
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
