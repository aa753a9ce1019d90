"""The task that refines any grasps: in batches of several objects, by mesh or cloud, and from a file."""

import dataclasses

import lightning as L
import pytest
import torch

from dexzoo.datamodules.types import GraspBatch
from dexzoo.geometry.sampling import sample_surface
from dexzoo.hands.pose import HandPose
from dexzoo.models.grasp.refinement.refiner import Refiner
from dexzoo.models.grasp.refinement.task import GraspRefinement, mesh_fields
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Two grasps of the jar and one of the can, twice its size, pushed 5 mm in."""
    folder, grasps = tmp_path_factory.mktemp("meshes"), load_grasps()
    clouds, meshes = [], []
    for name in ("jar", "can"):
        mesh = object_mesh(name)
        meshes.append(folder / f"{name}.obj")
        mesh.export(meshes[-1])
        clouds.append(torch.as_tensor(sample_surface(mesh.vertices, mesh.faces, 256, seed=0)[0], dtype=torch.float32))
    pose = HandPose.cat([grasps["jar"].pose[:2], grasps["can"].pose[:1]]).to(torch.float32)
    pose = dataclasses.replace(pose, translation=pose.translation - 0.005 * pose.rotation[..., 1])
    return GraspBatch(
        pose=pose,
        object_points=torch.stack([clouds[0], clouds[0], 2 * clouds[1]]),
        scale=torch.tensor([1.0, 1.0, 2.0]),
        names=("a", "b", "c"),
        objects=("jar", "jar", "can"),
        meshes=(meshes[0], meshes[0], meshes[1]),
    )


def make_trainer():
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return L.Trainer(accelerator="cpu", **quiet)


def loader(batch):
    return torch.utils.data.DataLoader([batch], batch_size=None)


def test_fields_are_zero_on_the_scaled_clouds(batch):
    """The clouds were drawn from the meshes; the grid rounds their edges by up to half a cell."""
    distance = mesh_fields(batch)(batch.object_points)
    assert distance.abs().mean(1).max() < 1e-3
    centre = batch.object_points.mean(1, keepdim=True)
    assert (mesh_fields(batch)(centre) < -0.02).all()


def test_test_logs_energies_that_fall(batch):
    trainer = make_trainer()
    task = GraspRefinement("shadow", Refiner(steps=5))
    (logged,) = trainer.test(task, loader(batch), verbose=False)
    assert logged["test/after/energy"] < logged["test/before/energy"]
    weighted = sum(
        task.refiner.weights[k] * logged[f"test/after/{k}"] for k in task.refiner.weights if f"test/after/{k}" in logged
    )
    assert weighted == pytest.approx(logged["test/after/energy"], rel=1e-4)
    assert logged["test/steps"] == 5


@pytest.mark.parametrize("fields", ["cloud", "mesh"])
def test_predict_returns_refined_grasps(batch, fields):
    (refined,) = make_trainer().predict(GraspRefinement("shadow", Refiner(steps=8, fields=fields)), loader(batch))
    assert refined.pose.shape == (3,)
    assert (refined.end <= refined.start).all()
    assert refined.end.mean() < refined.start.mean()


def test_an_object_without_a_mesh_is_named(batch):
    bare = dataclasses.replace(batch, meshes=(*batch.meshes[:2], None))
    GraspRefinement("shadow", Refiner(steps=1))(bare)  # by default nobody asks for it
    with pytest.raises(
        ValueError, match="object 'can': expected a mesh to refine grasps on, found none; set fields='cloud'"
    ):
        GraspRefinement("shadow", Refiner(steps=1, fields="mesh"))(bare)


def test_only_with_fields_of_meshes_do_meshes_change_the_result(batch):
    """The same grasps and clouds with the meshes exchanged: by default nothing may differ."""
    swapped = dataclasses.replace(batch, meshes=(batch.meshes[2], batch.meshes[2], batch.meshes[0]))
    for fields in ("cloud", "mesh"):
        task = GraspRefinement("shadow", Refiner(steps=4, fields=fields))
        first, second = (task(given).pose.to_vector() for given in (batch, swapped))
        assert torch.equal(first, second) == (fields == "cloud")
