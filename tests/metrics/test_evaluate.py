"""All errors of a motion at once, on the real hand, for errors whose every column is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands.hand import Hand
from dexzoo.hands.load import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.metrics import MOTIONS, MotionMetrics, motion_errors, motion_inputs

B, T = 3, 12
LENGTHS = torch.tensor([12, 7, 4])
MASK = torch.arange(T) < LENGTHS[:, None]
ALWAYS = {
    "mpjpe_cm",
    "mpjpe_palm_cm",
    "mpjpe_fingers_cm",
    "palm_rotation_deg",
    "ave_cm2",
    "ave_paper",
    "vertex_offset_cm",
    "surface_offset_cm",
}


@pytest.fixture(scope="module")
def hand() -> Hand:
    return load_hand("shadow")


@pytest.fixture
def motion(hand: Hand) -> HandPose:
    """A smooth reach of 30 cm with turning palm and closing fingers."""
    s = torch.linspace(0, 1, T).expand(B, T).unsqueeze(-1)
    end = hand.rest + 0.5 * (hand.upper - hand.rest)
    heading = torch.tensor([[0.3, 0.0, 0.1], [0.0, -0.3, 0.1], [0.1, 0.2, -0.2]]).unsqueeze(1)
    turn = torch.tensor([[0.5, 0.1, 0.0], [0.0, -0.7, 0.2], [0.3, 0.3, 0.3]]).unsqueeze(1)
    return HandPose(
        translation=s * heading,
        rotation=rotvec_to_rotmat(s * turn),
        joints=hand.rest + s * (end - hand.rest),
        hand=hand.name,
    )


def _height(points: torch.Tensor) -> torch.Tensor:
    """Signed distance to the floor, the object of these tests."""
    return points[..., 2] + 1


def _assert_all(values: torch.Tensor, expected: float, atol: float = 1e-3) -> None:
    torch.testing.assert_close(values, torch.full_like(values, expected), atol=atol, rtol=0)


def test_the_truth_has_no_error(hand: Hand, motion: HandPose) -> None:
    errors = motion_errors(hand, motion, motion, MASK, _height, torch.full((B,), 30.0))
    assert set(errors) == {column.key for column in MOTIONS if not {"final_depth", "largest_depth"} & column.inputs()}
    assert {*ALWAYS, "acceleration_m_s2", "min_distance_cm", "min_distance_error_cm"} <= set(errors)
    for key in errors.keys() - {"min_distance_cm"}:
        assert errors[key].shape == (B,)
        _assert_all(errors[key], 0.0)


def test_optional_columns_are_left_out(hand: Hand, motion: HandPose) -> None:
    found = set(motion_errors(hand, motion, motion, MASK))
    assert found >= ALWAYS
    assert not found & {"acceleration_m_s2", "min_distance_cm", "min_distance_error_cm", "penetration_cm"}


def test_a_shifted_hand(hand: Hand, motion: HandPose) -> None:
    """3-4-12 cm aside is 13 cm in every point, nothing in the fingers, and 12 cm of the gap to the floor."""
    pred = motion.moved_by(torch.eye(3), torch.tensor([0.03, 0.04, 0.12]))
    errors = motion_errors(hand, pred, motion, MASK, _height)
    for key in ("mpjpe_cm", "mpjpe_palm_cm", "vertex_offset_cm", "surface_offset_cm"):
        _assert_all(errors[key], 13.0)
    for key in ("mpjpe_fingers_cm", "palm_rotation_deg", "ave_cm2"):
        _assert_all(errors[key], 0.0, atol=5e-2 if key == "palm_rotation_deg" else 1e-3)
    _assert_all(errors["min_distance_error_cm"], 12.0)


def test_a_turned_hand(hand: Hand, motion: HandPose) -> None:
    """Turned by 20 degrees about the palm's own z: the palm's origin stays, and so do the fingers seen from it."""
    turn = torch.from_numpy(Rotation.from_euler("z", 20, degrees=True).as_matrix()).float()
    errors = motion_errors(hand, replace(motion, rotation=motion.rotation @ turn), motion, MASK)
    _assert_all(errors["palm_rotation_deg"], 20.0, atol=1e-2)
    _assert_all(errors["mpjpe_palm_cm"], 0.0)
    _assert_all(errors["mpjpe_fingers_cm"], 0.0)
    assert (errors["mpjpe_cm"] > 1).all()


def test_bent_fingers(hand: Hand, motion: HandPose) -> None:
    """Only the fingers differ: over all K key points their error is diluted by the palm's 0, by (K - 1) / K."""
    pred = replace(motion, joints=hand.rest.expand_as(motion.joints))
    errors = motion_errors(hand, pred, motion, MASK)
    points = len(hand.keypoint_names)
    _assert_all(errors["mpjpe_palm_cm"], 0.0)
    assert (errors["mpjpe_fingers_cm"] > 0.1).all()
    torch.testing.assert_close(errors["mpjpe_cm"], errors["mpjpe_fingers_cm"] * (points - 1) / points)


def test_offsets_are_over_the_vertices_of_the_mesh_and_over_even_points(hand: Hand, motion: HandPose) -> None:
    """Oracle: trimesh on the posed visual meshes, vertex by vertex and in points drawn evenly from their triangles."""
    turn = torch.from_numpy(Rotation.from_rotvec([0.1, 0.2, 0.3]).as_matrix()).float()
    pred = replace(motion, rotation=motion.rotation @ turn, joints=hand.rest.expand_as(motion.joints))
    errors = motion_errors(hand, pred, motion, MASK)
    for i, length in enumerate(LENGTHS.tolist()):
        meshes = [hand.mesh(p[i, length - 1]) for p in (pred, motion)]
        rest = hand.mesh(hand.rest_pose())
        _, once = np.unique(rest.vertices.round(6), axis=0, return_index=True)
        off = np.linalg.norm(meshes[0].vertices - meshes[1].vertices, axis=1)
        assert errors["vertex_offset_cm"][i].item() == pytest.approx(100 * off[once].mean(), rel=1e-3)
        boxes = [hand.mesh(p[i, length - 1], visual=False) for p in (pred, motion)]
        share = boxes[1].area_faces / boxes[1].area_faces.sum()
        centres = np.linalg.norm(boxes[0].triangles_center - boxes[1].triangles_center, axis=1)
        assert errors["surface_offset_cm"][i].item() == pytest.approx(100 * (share * centres).sum(), rel=0.1)


def test_the_gap_is_that_of_the_lowest_point_of_the_last_frame(hand: Hand, motion: HandPose) -> None:
    errors = motion_errors(hand, motion, motion, MASK, _height)
    for i, length in enumerate(LENGTHS.tolist()):
        mesh = hand.mesh(motion[i, length - 1], visual=False)
        lowest = 100 * (mesh.vertices[:, 2].min() + 1)
        assert errors["min_distance_cm"][i].item() == pytest.approx(lowest, abs=0.3)  # the spacing of the points


def test_padding_does_not_matter(hand: Hand, motion: HandPose) -> None:
    pred = motion.moved_by(rotvec_to_rotmat(torch.tensor([0.1, 0.2, 0.3])), torch.tensor([0.01, 0.0, 0.02]))
    fps = torch.full((B,), 30.0)
    expected = motion_errors(hand, pred, motion, MASK, _height, fps)
    frames = {"translation": MASK[..., None], "rotation": MASK[..., None, None], "joints": MASK[..., None]}
    for junk in (1e6, math.nan):
        spoilt = [
            replace(p, **{k: torch.where(m, getattr(p, k), junk) for k, m in frames.items()}) for p in (pred, motion)
        ]
        found = motion_errors(hand, *spoilt, MASK, _height, fps)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def test_batch_equals_single(hand: Hand, motion: HandPose) -> None:
    pred = motion.moved_by(rotvec_to_rotmat(torch.tensor([0.1, 0.2, 0.3])), torch.tensor([0.01, 0.0, 0.02]))
    together = motion_errors(hand, pred, motion, MASK, _height)
    for i, n in enumerate(LENGTHS.tolist()):
        alone = motion_errors(hand, pred[i : i + 1, :n], motion[i : i + 1, :n], MASK[i : i + 1, :n], _height)
        for key, value in alone.items():
            torch.testing.assert_close(together[key][i : i + 1], value, rtol=1e-4, atol=1e-4)


def test_a_diverged_clip_is_nan_and_spoils_no_other(hand: Hand, motion: HandPose) -> None:
    joints = motion.joints.clone()
    joints[1] = math.nan
    errors = motion_errors(hand, replace(motion, joints=joints), motion, MASK, _height)
    offsets = ("vertex_offset_cm", "surface_offset_cm")
    for key in ("mpjpe_cm", "ave_cm2", *offsets, "min_distance_cm", "min_distance_error_cm"):
        assert errors[key].isnan().tolist() == [False, True, False], key


def test_a_clip_without_frames_is_nan_everywhere(hand: Hand, motion: HandPose) -> None:
    mask = MASK.clone()
    mask[2] = False
    for value in motion_errors(hand, motion, motion, mask, _height, torch.full((B,), 30.0)).values():
        assert value.isnan().tolist() == [False, False, True]


def test_the_collection_has_the_same_columns(hand: Hand, motion: HandPose) -> None:
    pred = motion.moved_by(rotvec_to_rotmat(torch.tensor([0.1, 0.2, 0.3])), torch.tensor([0.01, 0.0, 0.02]))
    metrics = MotionMetrics()
    metrics.update(**motion_inputs(hand, pred, motion, MASK, _height))
    errors = motion_errors(hand, pred, motion, MASK, _height)
    for key, value in metrics.compute().items():
        torch.testing.assert_close(value.float(), errors[key].mean())


@pytest.mark.parametrize(
    ("change", "mask", "message"),
    [
        (lambda p: replace(p, hand="mano"), MASK, r"poses of 'shadow', found 'mano' and 'shadow'; convert"),
        (lambda p: p[:, :5], MASK, r"found \(3, 5\) and \(3, 12\); cut or pad"),
        (
            lambda p: p,
            MASK[:, :5],
            r"mask: expected bool .*\(3, 12\), found torch.bool of .*\(3, 5\)",
        ),
        (lambda p: p, MASK.float(), r"found torch.float32"),
    ],
)
def test_bad_input_is_named(hand: Hand, motion: HandPose, change, mask: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        motion_errors(hand, change(motion), motion, mask)
