"""The exported demo: every shipped grasp and every mesh as it is, in files that the evaluation reads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dexzoo.datamodules.demo.export import export
from dexzoo.files.errors import UnknownName
from dexzoo.geometry.meshes import load_mesh
from dexzoo.grasps import files as grasp_files
from dexzoo.hands import load_hand
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh, object_names
from tests.verbs import status_of


def test_grasps_and_meshes_come_back_as_they_are(tmp_path: Path) -> None:
    grasps, meshes = export(tmp_path / "demo")
    shipped = load_grasps()
    found = grasp_files.load_grasps(grasps, load_hand("shadow"))
    assert [part.object for part in found] == list(object_names())
    for part in found:
        for field in ("translation", "rotation", "joints"):
            assert torch.equal(getattr(part.pose, field), getattr(shipped[part.object].pose, field).double())
        assert (part.scale == 1).all()
        mesh, original = load_mesh(meshes / f"{part.object}.obj"), object_mesh(part.object)
        np.testing.assert_array_equal(mesh.vertices, original.vertices)
        np.testing.assert_array_equal(mesh.faces, original.faces)


def test_some_objects_and_the_command_that_measures_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("demo", "--out", str(tmp_path), "--objects", "mug", "can") == 0
    assert sorted(path.name for path in (tmp_path / "meshes").iterdir()) == ["can.obj", "mug.obj"]
    assert f"evaluate {tmp_path / 'grasps.npz'} --mesh {tmp_path / 'meshes'}" in capsys.readouterr().out
    with pytest.raises(UnknownName, match="found 'mugg'; did you mean 'mug'"):
        export(tmp_path, ["mugg"])
    assert status_of("demo", "--out", str(tmp_path), "--objects", "mugg") == 1
    assert "did you mean 'mug'" in capsys.readouterr().err
