"""Clouds drawn in further processes: the same as here, in order, whatever those processes do."""

import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dexzoo.datamodules.dexgraspnet import clouds
from dexzoo.datamodules.dexgraspnet.clouds import solid_clouds
from dexzoo.files.errors import BadFile

N = 64


@pytest.fixture
def meshes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """A box, none, a taller box, a broken file, and the first box once more."""
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "cache"))
    paths = [tmp_path / f"{name}.obj" for name in ("low", "tall", "broken", "again")]
    for path, height in zip(paths, (1, 3, 1, 1), strict=True):
        trimesh.creation.box((1, 1, height)).export(path)
    paths[2].write_text("nothing\n")
    low, tall, broken, again = paths
    return [low, None, tall, broken, again]


def _no_drawing(*_: object) -> None:
    raise AssertionError("drawn in this process")


@pytest.mark.slow
def test_other_processes_draw_the_same_clouds_in_order(meshes, tmp_path, monkeypatch):
    expected, messages = solid_clouds(meshes, N, on_bad="skip", workers=1)
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(clouds, "spread_points", _no_drawing)
    found, found_messages = solid_clouds(meshes, N, on_bad="skip", workers=2)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[4], found[0])
    assert np.ptp(found[2][:, 2]) > 2.5  # of the taller box
    assert np.isnan(found[[1, 3]]).all()
    assert found_messages == messages
    assert list(messages) == [3]
    assert len(list((tmp_path / "other" / "solid_clouds-1").glob("*-all.npy"))) == 1


def test_a_process_that_ends_early_leaves_its_clouds_to_this_one(meshes, monkeypatch, caplog):
    monkeypatch.setattr(clouds, "_WORKER", "raise SystemExit({n})")
    with caplog.at_level(logging.WARNING):
        found, _ = solid_clouds(meshes, N, on_bad="skip", workers=2)
    assert np.isfinite(found[[0, 2, 4]]).all()
    assert "a process ended early; its clouds are sampled in this one" in caplog.text


def test_a_bad_mesh_is_raised_here(meshes, monkeypatch):
    monkeypatch.setattr(clouds, "_WORKER", "raise SystemExit({n})")
    with pytest.raises(BadFile, match=r"broken\.obj"):
        solid_clouds(meshes, N, workers=2)


def test_few_clouds_start_no_process(meshes, monkeypatch):
    monkeypatch.setattr(clouds, "_draw", _no_drawing)
    monkeypatch.setattr(clouds, "_WORTH", 4)  # of the five, three meshes are different
    assert solid_clouds(meshes, N, on_bad="skip")[0].shape == (5, N, 3)
