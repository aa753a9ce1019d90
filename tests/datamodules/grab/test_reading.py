"""Poses against smplx on the stand-in, objects against row vectors, clips against frames counted by hand."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
import trimesh
from scipy.spatial.transform import Rotation

from dexzoo.datamodules.grab import GrabMotion, find_tree, read_labels, read_sequence, read_tracks
from dexzoo.datamodules.grab import tracks as tracks_module
from dexzoo.datamodules.grab.skeleton import mano_hand, person_of
from dexzoo.files.errors import BadFile, DataError
from dexzoo.geometry.meshes import load_mesh

from .conftest import LEFT_TEMPLATE, OBJECT, TEMPLATE, T, content, object_mesh

Writer = Callable[..., Path]
CLIP = np.arange(44, 165, 4)
"""The wrist is > 2 cm away from frame 41 (20 + 21), the object > 4 mm up at 165: 44, 48, ..., 164."""


def clips(root: Path, **options: object) -> list:
    return GrabMotion(root, **({"n_object_points": 32} | options)).load()  # type: ignore[arg-type]


def smplx_output(file: Path, template: np.ndarray, params: dict, right: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 16, 3) and vertices of GRAB's own recipe: personal template, flat hand, no betas."""
    options = {"is_rhand": right, "use_pca": False, "flat_hand_mean": True, "dtype": torch.float64}
    model = smplx.create(str(file), "mano", v_template=template, **options)
    tensors = {key: torch.from_numpy(np.float64(params[key])) for key in ("global_orient", "transl")}
    tensors["hand_pose"] = torch.from_numpy(np.float64(params["fullpose"]))
    output = model(**tensors, betas=torch.zeros(len(params["transl"]), 10).double())
    return output.joints.detach().numpy(), output.vertices.detach().numpy()


class TestAgainstSmplx:
    def test_joints_and_skin_of_the_subject(self, root: Path, mano: Path) -> None:
        params = content(7)["rhand"]["params"]
        template = np.asarray(load_mesh(root / TEMPLATE).vertices)
        joints, vertices = smplx_output(mano, template, params)
        sequence = read_sequence(root / "grab/s1/mug_lift.npz")
        person = person_of(mano_hand("mano"), root / TEMPLATE)
        tracks = read_tracks(find_tree(root), sequence.path)
        pose = tracks.pose(np.arange(T), person.rest[0], "mano").to(torch.float64)
        assert person.exact
        np.testing.assert_allclose(person.joints(pose).numpy(), joints, atol=1e-6)
        assert person.hand is not None
        np.testing.assert_allclose(person.hand.double().vertices(person.links(pose)).numpy(), vertices, atol=1e-6)

    def test_joints_follow_from_rest_joints_alone(self, root: Path, mano: Path) -> None:
        """To float64: what the reader keeps in single precision is not part of this."""
        params = content(7)["rhand"]["params"]
        joints, _ = smplx_output(mano, np.asarray(load_mesh(root / TEMPLATE).vertices), params)
        person = person_of(mano_hand("mano"), root / TEMPLATE)
        rotation = torch.from_numpy(Rotation.from_rotvec(np.float64(params["global_orient"])).as_matrix())
        transl = torch.from_numpy(np.float64(params["transl"]) + person.rest[0])
        pose = tracks_module.HandPose(transl, rotation, torch.from_numpy(np.float64(params["fullpose"])), "mano")
        np.testing.assert_allclose(person.joints(pose).numpy(), joints, atol=1e-9)

    @pytest.mark.parametrize("wrong", ["transl_is_the_wrist", "inverse_rotation", "mean_added", "pca"])
    def test_wrong_conventions_would_be_found(self, root: Path, mano: Path, wrong: str) -> None:
        params = content(7)["rhand"]["params"]
        joints, _ = smplx_output(mano, np.asarray(load_mesh(root / TEMPLATE).vertices), params)
        hand = mano_hand("mano")
        person = person_of(hand, root / TEMPLATE)
        tracks = read_tracks(find_tree(root), root / "grab/s1/mug_lift.npz")
        pose = tracks.pose(np.arange(T), np.zeros(3) if wrong == "transl_is_the_wrist" else person.rest[0], "mano")
        rotation = pose.rotation.mT if wrong == "inverse_rotation" else pose.rotation
        bent = pose.joints + hand.hands_mean if wrong == "mean_added" else pose.joints
        if wrong == "pca":
            bent = torch.from_numpy(params["hand_pose"]) @ hand.components[:24]
        found = person.joints(tracks_module.HandPose(pose.translation, rotation, bent, "mano"))
        assert np.abs(found.numpy() - joints).max() > 5e-3

    def test_a_left_hand_is_a_mirrored_right_one(self, root: Path, mano: Path, tmp_path: Path) -> None:
        """A left model made by mirroring every array of the right one, posed by smplx as a left hand."""
        model = pickle.loads(mano.read_bytes())
        model["v_template"] = model["v_template"] * [-1, 1, 1]
        model["f"] = model["f"][:, ::-1].copy()
        flip = np.array([-1.0, 1.0, 1.0])
        signs = np.tile(np.outer(flip, flip).ravel(), 15)  # R -> M R M, entry by entry
        model["posedirs"] = model["posedirs"] * flip[:, None] * signs
        model["shapedirs"] = model["shapedirs"] * flip[:, None]
        file = tmp_path / "MANO_LEFT.pkl"
        file.write_bytes(pickle.dumps(model))
        params = content(7)["lhand"]["params"]
        template = np.asarray(load_mesh(root / LEFT_TEMPLATE).vertices)
        joints, vertices = smplx_output(file, template, params, right=False)
        person = person_of(mano_hand("mano"), root / LEFT_TEMPLATE, left=True)
        tracks = read_tracks(find_tree(root), root / "grab/s1/mug_lift.npz", "left")
        pose = tracks.pose(np.arange(T), person.rest[0], "mano").to(torch.float64)
        np.testing.assert_allclose(person.joints(pose).numpy() * flip, joints, atol=1e-6)
        assert person.hand is not None
        skin = person.hand.double().vertices(person.links(pose)).numpy()
        np.testing.assert_allclose(skin * flip, vertices, atol=1e-6)


class TestObject:
    def test_row_vectors(self, root: Path, mano: Path) -> None:
        """world = v R(global_orient) + transl, with v a row."""
        params = content(7)["object"]["params"]
        (clip,) = clips(root)
        vertices = object_mesh().vertices
        for k, frame in enumerate(CLIP):
            turn = Rotation.from_rotvec(params["global_orient"][frame]).as_matrix()
            expected = vertices @ turn + params["transl"][frame]
            found = vertices @ clip.object_rotation[k].numpy().T + clip.object_translation[k].numpy()
            np.testing.assert_allclose(found, expected, atol=1e-6)
            column = vertices @ turn.T + params["transl"][frame]
            assert frame < 60 or np.abs(found - column).max() > 1e-3

    def test_a_quarter_turn_moves_the_mesh_the_stated_way(self, write: Writer, root: Path, mano: Path) -> None:
        """Stored +90 degrees about z; a row (1, 0, 0) times Rz(90) is (0, -1, 0)."""
        write(object__params__global_orient=np.tile([0, 0, np.pi / 2], (T, 1)))
        (clip,) = clips(root)
        moved = clip.object_rotation[0] @ torch.tensor([1.0, 0.0, 0.0])
        torch.testing.assert_close(moved, torch.tensor([0.0, -1.0, 0.0]), atol=1e-6, rtol=0)

    def test_a_mirrored_scene_keeps_distances(self, root: Path, mano: Path) -> None:
        """From every joint of the left hand to the object, measured in the scene as recorded."""
        data = content(7)
        tree = find_tree(root)
        tracks = read_tracks(tree, tree.sequences[0], "left")
        motion = GrabMotion(root, side="left", object_points="mesh", n_object_points=32)
        points, file = motion.reader.object(tracks)
        assert file is not None
        mesh = load_mesh(file)
        assert mesh.volume == pytest.approx(object_mesh().volume, rel=1e-5)  # faces point outwards again
        person = motion.reader.person(tracks)
        joints = person.joints(tracks.pose(np.arange(T), person.rest[0], "mano")).numpy()
        rotation, translation = tracks.object_pose(np.arange(T))
        turn = Rotation.from_rotvec(data["object"]["params"]["global_orient"]).as_matrix()
        for frame in (0, 100, 239):
            mirrored = mesh.vertices @ rotation[frame].numpy().T + translation[frame].numpy()
            recorded = object_mesh().vertices @ turn[frame] + data["object"]["params"]["transl"][frame]
            np.testing.assert_allclose(mirrored * [-1, 1, 1], recorded, atol=1e-6)
        assert joints.shape == (T, 16, 3)
        assert trimesh.proximity.closest_point(mesh, points.numpy())[1].max() < 1e-6


class TestClips:
    def test_a_clip_is_the_reach_of_the_right_hand(self, root: Path, mano: Path) -> None:
        (clip,) = clips(root)
        data = content(7)
        assert (clip.name, clip.object, clip.recording) == ("mug/s1/mug_lift", "mug", "s1/mug_lift")
        assert (clip.fps, clip.pose.hand, len(clip.pose.joints)) == (30.0, "mano", len(CLIP))
        np.testing.assert_allclose(clip.pose.joints.numpy(), data["rhand"]["params"]["fullpose"][CLIP], atol=1e-6)
        turn = Rotation.from_rotvec(data["rhand"]["params"]["global_orient"][CLIP]).as_matrix()
        np.testing.assert_allclose(clip.pose.rotation.numpy(), turn, atol=1e-6)
        assert clip.goal.joints.equal(clip.pose.joints[-1])
        assert clip.mesh == root / OBJECT
        assert clip.object_points.shape == (32, 3)
        assert clip.flags == ("mano_stand_in",)

    def test_a_left_hand_is_judged_by_its_own_fingers(self, write: Writer, root: Path, mano: Path) -> None:
        """The right index finger, 41, holds the object; then the left one, 26."""
        with pytest.raises(DataError, match="no right finger touches the object at lift-off': 1"):
            clips(root, side="left")
        labels = content(len(object_mesh().vertices))["contact"]["object"]
        write(contact__object=np.where(labels == 41, 26, 0))
        (clip,) = clips(root, side="left")
        assert clip.flags == ("mano_stand_in", "mirrored_left_hand")
        assert len(clip.pose.joints) == len(CLIP)
        with pytest.raises(DataError, match="at lift-off': 1"):
            clips(root)

    def test_rules_by_name(self, root: Path, mano: Path) -> None:
        assert len(clips(root, goal="contact")[0].pose.joints) == len(range(44, 150, 4))
        # the elbow is fast in the step to frame 41 and ever after: 43 is the third; 44, ..., 164
        assert len(clips(root, frames="goal_reach")[0].pose.joints) == len(CLIP)
        assert len(clips(root, frames="saga")[0].pose.joints) == 62

    def test_without_the_model_angles_are_the_same_and_joints_are_flagged(self, root: Path, mano: Path) -> None:
        exact_data, data = GrabMotion(root, n_object_points=8), GrabMotion(root, "mano_skeleton", n_object_points=8)
        (exact,), (clip,) = exact_data.load(), data.load()
        assert clip.flags == ("generic_skeleton",)
        assert clip.pose.hand == "mano_skeleton"
        assert clip.pose.joints.equal(exact.pose.joints)
        assert clip.pose.rotation.equal(exact.pose.rotation)
        assert not data.person(clip).exact
        error = data.person(clip).joints(clip.pose) - exact_data.person(exact).joints(exact.pose)
        assert 0 < error.norm(dim=-1).max() < 2e-3  # the stand-in is scaled as a whole, which the fit can find

    def test_the_generic_skeleton_ends_at_the_template_s_fingertips(self, root: Path, monkeypatch) -> None:
        monkeypatch.delenv("DEXZOO_MANO", raising=False)
        mesh = load_mesh(root / TEMPLATE)
        longer = mesh.copy()
        longer.vertices[:, 0] = np.where(mesh.vertices[:, 0] < 0, 1.3 * mesh.vertices[:, 0], mesh.vertices[:, 0])
        longer.export(root / TEMPLATE)
        person = person_of(mano_hand("mano_skeleton"), root / TEMPLATE)
        for finger, vertex in zip(range(5), (320, 443, 671, 554, 744), strict=True):
            tip, bones = longer.vertices[vertex], person.rest[1 + 3 * finger : 4 + 3 * finger]
            lengths = np.linalg.norm(np.diff([*bones, tip], axis=0), axis=1)
            assert lengths.sum() == pytest.approx(np.linalg.norm(tip - bones[0]), abs=1e-9)  # on one line
            assert (lengths > 0.01).all()

    def test_sequences_without_a_reach_are_counted(self, write: Writer, root: Path, mano: Path) -> None:
        write("s1/hammer_use_1", object__object_mesh=OBJECT, object__params__transl=np.zeros((T, 3)))
        data = GrabMotion(root, n_object_points=8)
        assert len(data.load()) == 1
        assert data.without_clip == {"the object is never lifted": 1}
        write(object__params__transl=np.zeros((T, 3)))
        with pytest.raises(DataError, match=r"expected at least one clip .*'the object is never lifted': 2"):
            GrabMotion(root, n_object_points=8).load()

    def test_labels_are_read_when_asked_for(self, root: Path) -> None:
        labels = read_labels(root / "grab/s1/mug_lift.npz")
        assert labels.object.shape == (T, len(object_mesh().vertices))
        assert labels.body.shape == (T, 10475)
        assert np.flatnonzero((labels.object == 41).any(axis=1))[0] == 150

    def test_labels_of_a_clip_are_held_against_the_mesh(self, root: Path, mano: Path) -> None:
        data = GrabMotion(root, n_object_points=8)
        (clip,) = data.load()
        assert data.labels(clip).object.shape == (T, len(object_mesh().vertices))
        trimesh.creation.icosphere(subdivisions=1, radius=0.04).export(root / OBJECT)
        expected = (
            r"contact\['object'\]: expected a label for each of the 42 vertices of mug\.ply, found 162; .* decimated"
        )
        with pytest.raises(BadFile, match=expected):
            data.labels(clip)


class TestCache:
    def test_the_raw_file_is_read_once(self, root: Path, mano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = clips(root)
        monkeypatch.setattr(tracks_module, "read_sequence", lambda *_: pytest.fail("read again"))
        again = clips(root, goal="contact")
        assert again[0].pose.joints.equal(first[0].pose.joints[: len(again[0].pose.joints)])

    def test_another_content_is_read_anew(self, write: Writer, root: Path, mano: Path) -> None:
        (before,) = clips(root)
        write(rhand__params__fullpose=np.full((T, 45), 0.1, np.float32))
        (after,) = clips(root)
        assert not after.pose.joints.equal(before.pose.joints)
        torch.testing.assert_close(after.pose.joints, torch.full_like(after.pose.joints, 0.1))

    def test_bytes_per_frame_allow_the_whole_release(self, root: Path, tmp_path: Path) -> None:
        """1,334 sequences, 1.62 million frames, 400 MB."""
        tree = find_tree(root)
        read_tracks(tree, tree.sequences[0])
        (file,) = (tmp_path / "cache" / tracks_module.CACHE).glob("*.npz")
        fixed = file.stat().st_size - 240 * T
        assert fixed < 3000
        assert 1.62e6 * 240 + 1334 * fixed < 400e6
