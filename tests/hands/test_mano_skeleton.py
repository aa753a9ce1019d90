"""MANO's joints on a made-up body: no file is needed, and everything says what it is."""

import numpy as np
import pytest
import torch

from dexzoo.files.unpickle import load_npz
from dexzoo.hands import HandError, load_hand
from dexzoo.hands.mano_standin import write_standin


@pytest.fixture
def skeleton(monkeypatch):
    monkeypatch.delenv("DEXZOO_MANO", raising=False)
    return load_hand("mano_skeleton")


def test_it_is_the_stand_in_under_a_name_of_its_own(skeleton, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXZOO_MANO", str(write_standin(tmp_path / "MANO_RIGHT.pkl")))
    mano = load_hand("mano")
    assert skeleton.joint_names == mano.joint_names
    assert skeleton.keypoint_names == mano.keypoint_names
    poses = [hand.rest_pose() for hand in (skeleton, mano)]
    found, expected = (
        hand.keypoints(hand.forward_kinematics(pose)) for hand, pose in zip((skeleton, mano), poses, strict=True)
    )
    torch.testing.assert_close(found, expected)
    with pytest.raises(HandError, match="expected a pose of 'mano', found one of 'mano_skeleton'"):
        mano.forward_kinematics(poses[0])


def test_it_says_that_it_is_made_up(skeleton):
    assert skeleton.stand_in
    assert skeleton.title == "mano_skeleton (stand-in)"


def test_arrays_of_an_npz_can_be_read_alone(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.ones(2))
    assert set(load_npz(tmp_path / "x.npz", ("b", "c"))) == {"b"}
    assert set(load_npz(tmp_path / "x.npz")) == {"a", "b"}
