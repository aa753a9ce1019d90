"""The demo tree: the release's layout to the letter, objects where the demo grasps hold them, and its real reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dexzoo.datamodules import demo_root
from dexzoo.datamodules.base import DEMO_MARK
from dexzoo.datamodules.demo.dexgraspnet_tree import SCALES, write_dexgraspnet_tree
from dexzoo.datamodules.dexgraspnet import DexGraspNet
from dexzoo.geometry.meshes import load_mesh
from dexzoo.hands import load_hand
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh

from .conftest import KEYS

OBJECTS = ("mug", "tea_box")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    write_dexgraspnet_tree(root, OBJECTS)
    return root


def test_keys_and_types_are_those_of_the_release(demo: Path) -> None:
    table = np.load(demo / "dataset" / "demo-mug-0.npy", allow_pickle=True)
    assert (table.dtype, table.ndim) == (np.dtype(object), 1)
    for entry in table:
        assert list(entry) == ["qpos", "scale"]
        assert list(entry["qpos"]) == list(KEYS)
        assert {type(value) for value in entry["qpos"].values()} == {float}
        assert entry["scale"] in SCALES
    parts = [
        line for line in (demo / "meshdata/demo-mug-0/coacd/decomposed.obj").read_text().splitlines() if line[0] == "o"
    ]
    assert parts == [f"o convex_{i}" for i in range(len(parts))]
    assert len(parts) > 1
    assert (demo / DEMO_MARK).read_text().startswith("demo data in DexGraspNet's layout\n")


@pytest.mark.parametrize("name", OBJECTS)
def test_the_hand_is_at_the_object_as_in_the_demo_grasps(demo: Path, name: str) -> None:
    """Object and hand are moved alike: in the demo object's frame both are where they were."""
    store = DexGraspNet(demo, n_object_points=16).load().of_objects({f"demo-{name}-0"})
    shipped = load_grasps()[name].pose
    centre = torch.from_numpy(object_mesh(name).bounds.mean(axis=0)).float()
    torch.testing.assert_close(store.pose.translation + centre, shipped.translation, atol=1e-6, rtol=0)
    torch.testing.assert_close(store.pose.rotation, shipped.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(store.pose.joints, shipped.joints, atol=1e-6, rtol=0)
    mesh = store[0].mesh
    assert mesh is not None
    bounds = load_mesh(mesh).bounds * store[0].scale
    np.testing.assert_allclose(bounds, object_mesh(name).bounds - centre.numpy(), atol=2e-3)


def test_grasps_touch_what_the_reader_gives(demo: Path) -> None:
    """Distance of the cloud to the hand in closed form: no grasp is far off, and none goes through the object."""
    hand = load_hand("shadow")
    store = DexGraspNet(demo, n_object_points=1024).load()
    batch = store.batch(np.arange(len(store)))
    least = hand.signed_distance(hand.forward_kinematics(batch.pose), batch.object_points).amin(-1)
    assert ((least > -0.008) & (least < 0.004)).float().mean() > 0.95


def test_the_reader_reads_it_and_says_so() -> None:
    data = DexGraspNet(demo_root("dexgraspnet"), n_object_points=8)
    assert data.title == "demo data in DexGraspNet's layout"
    assert data.is_demo
    data.setup()
    assert data.flags == ("demo_data",)
    assert set(data.test.object_names) == {"demo-jar-0", "demo-tea_box-0", "demo-spray-0"}
    assert len(data.train) + len(data.val) + len(data.test) == sum(len(g.pose.joints) for g in load_grasps().values())
