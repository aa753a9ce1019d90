"""The demo tree in GRAB's layout: the keys of the release, labels that agree with distances, the real reader on it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.base import DEMO_MARK
from dexzoo.datamodules.demo import grab_tree
from dexzoo.datamodules.demo.grab_tree import CONTACT, SHAPES, SUBJECTS, write_grab_tree
from dexzoo.datamodules.demo.retarget import to_mano
from dexzoo.datamodules.grab import GrabGrasps, GrabMotion, read_grasps
from dexzoo.datamodules.grab.objects import OBJECT_SPLITS, part_of
from dexzoo.files.errors import DataError, UnknownName
from dexzoo.hands import load_hand
from dexzoo.hands.mano import ManoHand

KEYS = {"gender", "sbj_id", "obj_name", "motion_intent", "framerate", "n_frames", "n_comps"}
BLOCKS = {"body", "lhand", "rhand", "object", "table", "contact"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One subject and two objects."""
    root = tmp_path_factory.mktemp("tree")
    write_grab_tree(root, ("s9",), ("mug", "banana"))
    return root


@pytest.fixture
def sequence(tree: Path) -> dict:
    """As anyone would read it who trusts the file."""
    with np.load(tree / "grab/s9/mug_lift.npz", allow_pickle=True) as file:
        assert {array.shape for array in file.values()} == {()}
        assert {array.dtype for array in file.values()} == {np.dtype(object)}
        return {key: file[key].item() for key in file.files}


def test_keys_and_shapes_are_those_of_the_release(sequence: dict) -> None:
    n = sequence["n_frames"]
    assert set(sequence) == KEYS | BLOCKS
    assert (sequence["sbj_id"], sequence["obj_name"], sequence["framerate"]) == ("s9", "mug", 120)
    shapes = {
        "rhand": {"transl": 3, "global_orient": 3, "hand_pose": 24, "fullpose": 45},
        "lhand": {"transl": 3, "global_orient": 3, "hand_pose": 24, "fullpose": 45},
        "object": {"transl": 3, "global_orient": 3},
        "table": {"transl": 3, "global_orient": 3},
    }
    for block, widths in shapes.items():
        assert {key: value.shape for key, value in sequence[block]["params"].items()} == {
            key: (n, width) for key, width in widths.items()
        }
    assert sequence["body"]["params"]["body_pose"].shape == (n, 63)
    assert sequence["contact"]["body"].shape == (n, 10475)
    assert sequence["rhand"]["vtemp"] == "tools/subject_meshes/male/s9_rhand.ply"


@pytest.mark.slow
def test_labels_agree_with_distances_of_the_skin(tree: Path, sequence: dict) -> None:
    """The skin by smplx, the object by row vectors: labelled vertices are near it, those in the hand are labelled."""
    mesh = trimesh.load_mesh(tree / sequence["object"]["object_mesh"], process=False)
    template = trimesh.load_mesh(tree / sequence["rhand"]["vtemp"], process=False)
    model = smplx.create(
        str(tree / "models/MANO_RIGHT.pkl"),
        "mano",
        v_template=np.array(template.vertices),
        use_pca=False,
        flat_hand_mean=True,
    )
    hand, obj = sequence["rhand"]["params"], sequence["object"]["params"]
    labels = sequence["contact"]["object"]
    assert labels.shape == (sequence["n_frames"], len(mesh.vertices))
    assert not labels[0].any()
    for frame in (-1, int(np.flatnonzero(labels.any(1))[0]) + 5):
        pose = {key: torch.tensor(hand[name][[frame]]) for key, name in
                (("hand_pose", "fullpose"), ("global_orient", "global_orient"), ("transl", "transl"))}  # fmt: skip
        skin = trimesh.Trimesh(model(**pose).vertices[0].detach().numpy(), template.faces, process=False)
        turn = Rotation.from_rotvec(obj["global_orient"][frame]).as_matrix()
        placed = mesh.vertices @ turn + obj["transl"][frame]
        distance = trimesh.proximity.closest_point(skin, placed)[1]
        assert (labels[frame] > 0).any()
        assert distance[labels[frame] > 0].max() < CONTACT + 1e-4
        assert (labels[frame][distance < 0.5 * CONTACT] > 0).mean() > 0.95
        assert set(np.unique(labels[frame])) <= {0, 22, *range(41, 56)}


def test_the_reader_reads_it_and_says_what_it_is(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXZOO_MANO", str(tree / "models/MANO_RIGHT.pkl"))
    for hand, flag in (("mano", "mano_stand_in"), ("mano_skeleton", "generic_skeleton")):
        data = GrabMotion(tree, hand, n_object_points=64)
        data.setup()
        assert (len(data.train), len(data.val), len(data.test)) == (2, 0, 2)
        assert not data.without_clip
        assert data.flags == ("demo_data", flag)
        for clip in data.test:
            assert 20 < len(clip.pose.joints) < 70
            goal = data.person(clip).joints(clip.pose)[-1]
            placed = clip.object_points @ clip.object_rotation[-1].mT + clip.object_translation[-1]
            assert torch.cdist(goal[1:], placed).min() < 0.025  # a joint is a finger's radius away from the skin


def test_demo_is_named_so_everywhere(tree: Path) -> None:
    data = GrabMotion(tree, "mano_skeleton", n_object_points=64)
    data.setup()
    assert data.is_demo
    assert "demo data" in data.title
    assert "stand-in" in data.title
    assert data.flags == ("demo_data", "generic_skeleton")
    mark = (tree / DEMO_MARK).read_text()
    assert mark.splitlines()[0] == data.title == GrabMotion(tree / "grab", "mano_skeleton").title
    assert "stand-in for MANO" in mark
    assert pickle.loads((tree / "models/MANO_RIGHT.pkl").read_bytes())["stand_in"] is True


def test_its_grasps_are_those_of_the_reader(tree: Path) -> None:
    data = GrabGrasps(tree, "mano_skeleton", n_object_points=64, every=10)
    data.setup()
    assert data.is_demo
    assert "demo data" in data.title
    assert (data.flags, data.skipped) == (("demo_data", "generic_skeleton"), [])
    assert (data.train.object_names, len(data.val), data.test.object_names) == (("banana",), 0, ("mug",))
    listed = [
        grasp for grasp in read_grasps(tree, "mano_skeleton", n_object_points=64, every=10) if grasp.object == "mug"
    ]
    batch = data.test.batch(range(len(data.test)))
    assert batch.names == tuple(f"mug/{i}" for i in range(len(listed)))
    assert batch.meshes == tuple(grasp.mesh for grasp in listed)
    for name in ("translation", "rotation", "joints"):
        expected = torch.stack([getattr(grasp.pose, name) for grasp in listed])
        torch.testing.assert_close(getattr(batch.pose, name), expected)
    assert batch.object_points.equal(torch.stack([grasp.object_points for grasp in listed]))
    assert batch.up is not None
    assert batch.up.equal(torch.stack([grasp.up for grasp in listed]))
    torch.testing.assert_close(batch.up.norm(dim=1), torch.ones(len(listed)))
    # the palm's height above the object's origin, in the world and in the object's frame
    height = (batch.up * batch.pose.translation).sum(1)
    clips = {clip.recording: clip for clip in GrabMotion(tree, "mano_skeleton", n_object_points=64).load()}
    for grasp, found in zip(listed, height.tolist(), strict=True):
        clip = clips[grasp.name.split("/", 1)[1].rpartition("/")[0]]
        near = (clip.pose.translation - clip.object_translation)[:, 2]
        assert (near - found).abs().min() < 0.01


def test_grasps_are_split_by_object_alone() -> None:
    with pytest.raises(UnknownName, match=r"split: expected one of goal, grab, found 'saga_subjects'"):
        GrabGrasps("x", split="saga_subjects")
    with pytest.raises(UnknownName, match="frames: expected one of goal_grasp, grab, found 'reach'"):
        GrabGrasps("x", frames="reach")
    with pytest.raises(DataError, match="every: expected 1 or more, found 0"):
        GrabGrasps("x", every=0)


def test_the_tree_is_written_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEXZOO_CACHE", str(tmp_path))
    calls = []

    def write(root: Path) -> None:
        calls.append(root)
        (root / "half").touch()
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(grab_tree, "write_grab_tree", write)
    with pytest.raises(KeyboardInterrupt):
        grab_tree.demo_tree()
    assert list((tmp_path / "demo_trees").iterdir()) == []
    path = grab_tree.demo_tree()
    assert (path / "half").exists()
    assert grab_tree.demo_tree() == path
    assert len(calls) == 2


def test_every_part_of_every_split_has_objects_or_subjects() -> None:
    for split in OBJECT_SPLITS:
        assert {part_of(name, split) for name in SHAPES} == {"train", "val", "test"}
    assert {part_of(name, "saga_subjects") for name in SUBJECTS} == {"train", "test"}


def test_retargeted_fingertips_are_near_those_of_the_robot_hand() -> None:
    shadow, mano = load_hand("shadow"), load_hand("mano_skeleton")
    assert isinstance(mano, ManoHand)
    fist = shadow.rest_pose(2)
    fist.joints[1] = shadow.clamp(0.9 * torch.ones(shadow.num_joints))
    pose = to_mano(shadow, mano, fist)
    names = [f"{finger}_tip" for finger in ("FF", "MF", "RF", "LF", "TH")]
    index = [shadow.keypoint_names.index(name) for name in names]
    target = shadow.keypoints(shadow.forward_kinematics(fist))[:, index]
    found = mano.keypoints(mano.forward_kinematics(pose))[:, -5:]
    assert (found - target).norm(dim=-1).max() < 0.015
    bent = pose.joints.unflatten(-1, (5, 3, 3))[:, :4]  # fingers without the thumb
    assert bent[..., 0].abs().max() == 0
    assert bent[:, :, 1:, 1].abs().max() == 0
