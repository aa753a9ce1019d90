"""The grasps that ship: held in MuJoCo, hardly inside the object, within limits, and in a file that is checked."""

import numpy as np
import pytest
import torch

from dexzoo.files.errors import BadFile, DataError
from dexzoo.geometry.sampling import sample_surface
from dexzoo.geometry.sdf import SignedDistance
from dexzoo.hands.load import load_hand
from dexzoo.simulation.hold import SLIP, HoldTest
from dexzoo.synthesis.grasps import MAX_PENETRATION, SHIPPED, STAND, join_grasps, load_grasps, save_grasps
from dexzoo.synthesis.objects import object_mesh, object_names


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow")


@pytest.fixture(scope="module")
def shipped(hand):
    return load_grasps(hand=hand)


def test_the_file_is_small_and_holds_every_object(shipped):
    assert SHIPPED.stat().st_size < 500_000
    assert set(shipped) == set(object_names())
    with np.load(SHIPPED, allow_pickle=False) as file:
        assert int(file["version"]) >= 1
        assert int(file["steps"]) > 0


@pytest.mark.parametrize("name", object_names())
def test_shipped_grasps_obey_limits_and_hardly_penetrate(name, hand, shipped):
    """Exact distance to the mesh at surface points that the generator did not use, and the other way round."""
    grasps = shipped[name]
    assert len(grasps.seed) == len(grasps.penetration) == len(grasps.six_directions) == grasps.pose.shape[0] > 0
    hand.check_limits(grasps.pose.joints)
    mesh = object_mesh(name)
    links = hand.forward_kinematics(grasps.pose)
    into_object = SignedDistance(mesh)(hand.place(links, hand.surface(500, seed=3))).amin(-1)
    cloud = torch.as_tensor(sample_surface(mesh.vertices, mesh.faces, 500, seed=7)[0], dtype=torch.float32)
    into_hand = hand.signed_distance(links, cloud.expand(len(grasps.seed), -1, -1)).amin(-1)
    deepest = -torch.minimum(into_object, into_hand)
    assert deepest.max() < MAX_PENETRATION + 5e-4
    assert hand.place(links, hand.surface(500, seed=3))[..., 2].min() > -STAND - 2e-3


@pytest.mark.parametrize("name", ["can", "mug", "duck"])
def test_a_shipped_grasp_holds_the_object_against_gravity(name, hand, shipped):
    """The frozen hand alone keeps it: no servo, only the recorded pose and friction."""
    grasps = shipped[name]
    test = HoldTest(hand, [p.astype(float) for p in grasps.pieces])
    best = int(grasps.six_directions.sum(1).argmax())
    rotation = grasps.pose.rotation[best].double().numpy()
    translation = grasps.pose.translation[best].double().numpy()
    joints = grasps.pose.joints[best].double().numpy()
    seen = rotation.T, -rotation.T @ translation
    assert test.frozen_slip(joints, *seen, rotation.T @ (0.0, 0.0, -1.0)) < SLIP
    away = translation + 0.5 * rotation[:, 1]
    assert test.frozen_slip(joints, rotation.T, -rotation.T @ away, rotation.T @ (0.0, 0.0, -1.0)) > 1.0


def test_free_fall_is_as_far_as_newton_says(hand, shipped):
    """An object half a metre from the hand falls g / 2 in one second; the integrator adds half a step."""
    test = HoldTest(hand, [p.astype(float) for p in shipped["can"].pieces])
    slip = test.frozen_slip(hand.rest.double().numpy(), np.eye(3), np.array([0.0, -0.5, 0.0]), np.array([0.0, -1.0, 0]))
    assert slip == pytest.approx(9.81 / 2, rel=0.005)


def test_saved_grasps_come_back(tmp_path, hand, shipped):
    save_grasps(tmp_path / "g.npz", [shipped["can"], shipped["mug"]], hand.joint_names, 300)
    again = load_grasps(tmp_path / "g.npz", hand)
    assert list(again) == ["can", "mug"]
    torch.testing.assert_close(again["mug"].pose.to_vector(), shipped["mug"].pose.to_vector(), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(again["mug"].six_directions, shipped["mug"].six_directions)
    assert [len(p) for p in again["mug"].pieces] == [len(p) for p in shipped["mug"].pieces]


def test_joined_grasps_keep_order_and_count(shipped):
    both = join_grasps([shipped["can"], shipped["can"]])
    assert len(both.seed) == 2 * len(shipped["can"].seed)
    assert both.attempts == 2 * shipped["can"].attempts


def test_another_hand_is_refused_with_the_command(tmp_path, hand, shipped):
    save_grasps(tmp_path / "g.npz", [shipped["can"]], ["a", "b"], 300)
    with pytest.raises(
        DataError, match=r"(?s)expected grasps of hand 'shadow'.*dexzoo synthesise --hand shadow"
    ) as caught:
        load_grasps(tmp_path / "g.npz", hand)
    assert str(tmp_path) in str(caught.value)
    own = hand.spec.file.read_text().replace("name: shadow", "name: mine")
    (tmp_path / "my hand.yaml").write_text(own)
    with pytest.raises(DataError, match=rf"dexzoo synthesise --hand '{tmp_path}/my hand.yaml' --out DIR"):
        load_grasps(tmp_path / "g.npz", load_hand(tmp_path / "my hand.yaml"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no zip at all"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "grasps.npz"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"grasps\.npz: expected grasps written by"):
        load_grasps(path)
