"""Points, collision shapes, limits, conversions. Oracles: trimesh, manifold3d, closed forms, published residuals."""

import manifold3d
import numpy as np
import pytest
import torch
import trimesh

from dexzoo.hands import ConversionError, HandError, HandPose, JointLimitError, load_hand
from dexzoo.hands.drawing import primitive_mesh
from dexzoo.hands.points import Boxes, Capsules, place, signed_distance

HANDS = ("shadow", "shadow_e3m5")


@pytest.fixture(params=HANDS)
def hand(request):
    return load_hand(request.param).double()


def _random_pose(hand, batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64)).Q
    joints = torch.rand(batch, hand.num_joints, generator=generator, dtype=torch.float64)
    joints = hand.lower + (hand.upper - hand.lower) * joints
    return HandPose(torch.randn(batch, 3, generator=generator, dtype=torch.float64), q, joints, hand.name)


def test_names_and_order():
    hand = load_hand("shadow")
    fingers = [f"{f}J{k}" for f in ("FF", "MF", "RF") for k in (3, 2, 1, 0)]
    assert hand.joint_names == (*fingers, *(f"LFJ{k}" for k in (4, 3, 2, 1, 0)), *(f"THJ{k}" for k in (4, 3, 2, 1, 0)))
    assert hand.link_names[0] == hand.keypoint_names[0] == "palm"
    assert len(hand.link_names) == 23
    assert len(hand.keypoint_names) == 28
    assert hand.keypoint_names[-5:] == ("FF_tip", "MF_tip", "RF_tip", "LF_tip", "TH_tip")
    assert hand.num_joints == 22


def test_limits_are_those_of_the_two_hands():
    """grasp-generation.md 2.2: MJCF and URDF ranges."""
    mjcf, urdf = load_hand("shadow").double(), load_hand("shadow_e3m5").double()
    assert dict(zip(mjcf.joint_names, mjcf.lower.tolist(), strict=True))["THJ0"] == -1.571
    assert dict(zip(urdf.joint_names, urdf.lower.tolist(), strict=True))["FFJ3"] == -0.262
    assert dict(zip(urdf.joint_names, urdf.upper.tolist(), strict=True))["THJ2"] == 0.698


def test_rest_is_inside_the_limits_and_not_in_collision(hand):
    hand.check_limits(hand.rest, tolerance=0)
    links = hand.forward_kinematics(hand.rest_pose())
    keypoints = hand.place(links, hand.penetration_keypoints)
    assert torch.pdist(keypoints).min() >= 0.02


def test_keypoints_are_link_origins_and_tips(hand):
    pose = _random_pose(hand, 3)
    links = hand.forward_kinematics(pose)
    keypoints = hand.keypoints(links)
    torch.testing.assert_close(keypoints[:, :23], links.translation)
    thumb = hand.link_names.index("thdistal")
    expected = links.translation[:, thumb] + links.rotation[:, thumb] @ torch.tensor([0, 0, 0.0275]).double()
    torch.testing.assert_close(keypoints[:, -1], expected, atol=1e-9, rtol=0)


def test_place_equals_a_loop_over_points_and_has_its_gradient(hand):
    points = hand.surface(40)
    links = hand.forward_kinematics(_random_pose(hand, 2))
    R, t = links.rotation.detach().requires_grad_(), links.translation.detach().requires_grad_()
    loop = torch.stack(
        [R[:, k] @ x + t[:, k] for k, x in zip(points.link.tolist(), points.position, strict=True)], dim=1
    )
    found = hand.place(type(links)(R, t), points)
    torch.testing.assert_close(found, loop)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), (R, t)),
        torch.autograd.grad((loop * weights).sum(), (R, t)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("n", [64, 1024])
def test_surface(hand, n):
    points = hand.surface(n)
    assert len(points) == n
    assert torch.equal(points.position, hand.surface(n).position)
    assert not torch.equal(points.position, hand.surface(n, seed=1).position)
    torch.testing.assert_close(points.normal.norm(dim=-1), torch.ones(n).double())
    links = hand.forward_kinematics(hand.rest_pose())
    world = hand.place(links, points)
    assert hand.signed_distance(links, world).abs().max() < 1e-9  # on the outer skin, not inside another link
    step = hand.place(links, type(points)(points.link, points.position + 1e-4 * points.normal, points.normal))
    assert (hand.signed_distance(links, step) > 0).double().mean() > 0.97  # normals point outwards


def test_surface_is_shared_by_area():
    """Oracle: manifold3d's boolean union of the collision shapes, which knows whose each triangle was."""
    hand = load_hand("shadow").double()
    links = hand.forward_kinematics(hand.rest_pose())
    solids, owner = [], {}
    for i, link in enumerate(hand.spec.tree.links):
        for shape in (*link.capsules, *link.boxes):
            mesh = primitive_mesh(shape)
            vertices = mesh.vertices @ links.rotation[i].numpy().T + links.translation[i].numpy()
            solid = manifold3d.Manifold(manifold3d.Mesh64(vertices, mesh.faces.astype(np.uint64))).as_original()
            solids.append(solid)
            owner[solid.original_id()] = i
    union = manifold3d.Manifold.batch_boolean(solids, manifold3d.OpType.Add).to_mesh64()
    triangles = np.asarray(union.vert_properties)[:, :3][np.asarray(union.tri_verts)]
    sides = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    runs = np.asarray(union.run_index) // 3
    area = np.zeros(23)
    for first, last, solid in zip(runs[:-1], runs[1:], union.run_original_id, strict=True):
        area[owner[int(solid)]] += np.linalg.norm(sides[first:last], axis=1).sum() / 2
    share = np.bincount(hand.surface(4096).link, minlength=23) / 4096
    np.testing.assert_allclose(share, area / area.sum(), atol=0.005)


def _closest(mesh, points):
    return trimesh.proximity.closest_point(mesh, points.numpy())[1]


def test_contact_candidates():
    hand = load_hand("shadow").double()
    points = hand.contact_candidates
    assert len(points) == 140
    names = [hand.link_names[k] for k in points.link.tolist()]
    assert {name: names.count(name) for name in names} == dict.fromkeys(hand.spec.contact_links, 10)
    for name, normal, position in zip(names, points.normal.numpy(), points.position.numpy(), strict=True):
        palmar = [-1, 0, 0] if name.startswith("th") else [0, -1, 0]
        assert np.degrees(np.arccos(normal @ palmar)) <= 30 + 1e-6
        capsule = hand.spec.tree[name].capsules[0]
        assert 0 <= position[2] <= capsule.end[2]
        assert np.hypot(*position[:2]) == pytest.approx(capsule.radius)


def test_penetration_keypoints_are_dexgraspnets():
    """grasp-generation.md 2.4 lists the 19 hand-picked ones; the rule moves four of them by 1.5 mm."""
    hand = load_hand("shadow").double()
    picked = [(f"{f}{part}", z) for f in ("ff", "mf", "rf", "lf") for part, z in
              (("proximal", 0.024), ("middle", 0.0), ("middle", 0.025), ("distal", 0.024))]  # fmt: skip
    picked += [("thproximal", 0.038), ("thmiddle", 0.032), ("thdistal", 0.026)]
    zero = HandPose(torch.zeros(3).double(), torch.eye(3).double(), hand.clamp(torch.zeros(22).double()), "shadow")
    links = hand.forward_kinematics(zero)
    link = torch.tensor([hand.link_names.index(name) for name, _ in picked])
    theirs = place(links, link, torch.tensor([[0, 0, z] for _, z in picked], dtype=torch.float64))
    ours = hand.place(links, hand.penetration_keypoints)
    assert len(ours) == 19
    distance = torch.cdist(ours, theirs)
    assert distance.amin(0).max() <= 1.5e-3 + 1e-9
    assert distance.amin(1).max() <= 1.5e-3 + 1e-9


def test_signed_distance_of_a_capsule_and_a_box_in_closed_form():
    hand = load_hand("shadow").double()
    links = hand.forward_kinematics(hand.rest_pose())
    one = torch.zeros(1, dtype=torch.int64)

    def tensor(*rows):
        return torch.tensor(rows, dtype=torch.float64)

    capsule = Capsules(one, tensor([0, 0, 0]), tensor([0, 0, 2]), tensor(0.5))
    box = Boxes(one, tensor([10, 0, 0]), torch.eye(3).double()[None], tensor([1, 2, 3]))
    points = tensor([1, 0, 1], [0, 0, 3], [0, 0, -1], [0.2, 0, 1], [0, 0, 1], [12, 0, 0], [10, 0, 0], [12, 3, 4])
    expected = tensor(0.5, 0.5, 0.5, -0.3, -0.5, 1, -1, np.sqrt(3))
    torch.testing.assert_close(signed_distance(links, capsule, box, points), expected)
    sphere = Capsules(one, tensor([1, 1, 1]), tensor([1, 1, 1]), tensor(0.5))
    empty = Boxes(one[:0], torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3))
    torch.testing.assert_close(signed_distance(links, sphere, empty, tensor([1, 1, 3])), tensor(1.5))


def test_signed_distance_of_the_hand_against_its_meshes(hand):
    """Outside exact against trimesh's closest point; the sign against trimesh's containment."""
    pose = _random_pose(hand, 1)[0]
    links = hand.forward_kinematics(pose)
    centre = links.translation.mean(0)
    offsets = 0.15 * (torch.rand(120, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5)
    points = (centre + offsets).requires_grad_()
    found = hand.signed_distance(links, points)
    parts = []
    for i, link in enumerate(hand.spec.tree.links):
        for shape in (*link.capsules, *link.boxes):
            mesh = primitive_mesh(shape)
            mesh.vertices = mesh.vertices @ links.rotation[i].numpy().T + links.translation[i].numpy()
            parts.append(mesh)
    queries = points.detach().numpy()
    inside = np.any([part.contains(queries) for part in parts], axis=0)
    nearest = np.min([_closest(part, points.detach()) for part in parts], axis=0)
    d = found.detach().numpy()
    clear = np.abs(d) > 2e-4  # the meshes are faceted
    np.testing.assert_array_equal(d[clear] < 0, inside[clear])
    np.testing.assert_allclose(d[~inside & clear], nearest[~inside & clear], atol=2e-4)
    (gradient,) = torch.autograd.grad(found.sum(), points)
    torch.testing.assert_close(gradient.norm(dim=-1), torch.ones(120).double(), atol=1e-6, rtol=0)


def test_mesh_is_where_the_keypoints_are(hand):
    pose = _random_pose(hand, 2)
    links = hand.forward_kinematics(pose)
    for visual in (True, False):
        mesh = hand.mesh(pose[0], visual=visual)
        tips = hand.keypoints(links)[0, -5:].numpy()
        assert trimesh.proximity.closest_point(mesh, tips)[1].max() < 0.012
    with pytest.raises(HandError, match=r"expected a single pose, found batch shape \(2,\)"):
        hand.mesh(pose)


def test_check_limits_names_the_worst_joint():
    hand = load_hand("shadow")
    hand.check_limits(hand.upper + 5e-4)
    joints = hand.rest.repeat(3, 1)
    joints[1, hand.joint_names.index("RFJ2")] = 2.0
    with pytest.raises(JointLimitError, match=r"shadow: joint RFJ2: expected 0\.000 to 1\.571 rad, found 2\.000; Hand"):
        hand.check_limits(joints)
    joints[2, 0] = torch.nan
    with pytest.raises(JointLimitError, match=r"joint FFJ3.*found nan; 2 joints are outside in all"):
        hand.check_limits(joints)
    torch.testing.assert_close(hand.clamp(joints[1])[9], hand.upper[9])


def test_conversion_has_the_residuals_of_the_two_models():
    """grasp-generation.md 2.2: FF, MF, RF 0.00 mm; LF 1.8 mm; thumb 0.42 mm; the metacarpal frame itself 28 mm."""
    mjcf, urdf = load_hand("shadow").double(), load_hand("shadow_e3m5").double()
    pose = _random_pose(mjcf, 500)
    converted = mjcf.convert(pose, urdf)
    assert converted.hand == "shadow_e3m5"
    a = mjcf.keypoints(mjcf.forward_kinematics(pose))
    b = urdf.keypoints(urdf.forward_kinematics(converted))
    worst = dict(zip(mjcf.keypoint_names, 1e3 * (a - b).norm(dim=-1).amax(0), strict=True))
    for name, millimetres in worst.items():
        if name == "lfmetacarpal":
            continue
        bound = {"lf": 1.85, "LF": 1.85, "th": 0.425, "TH": 0.425}.get(name[:2], 1e-6)
        assert millimetres <= bound, name
    back = urdf.convert(converted, mjcf)
    assert torch.equal(back.joints, pose.joints)
    assert torch.equal(back.translation, pose.translation)


def test_conversion_signs():
    """Spreading two fingers and bending the thumb have opposite signs on the two hands (sr_interface issue 839)."""
    mjcf, urdf = load_hand("shadow"), load_hand("shadow_e3m5")
    joints = torch.arange(1.0, 23.0)
    found = mjcf.convert(HandPose(torch.zeros(3), torch.eye(3), joints, "shadow"), urdf).joints / joints
    flipped = {name for name, sign in zip(urdf.joint_names, found.tolist(), strict=True) if sign < 0}
    assert flipped == {"FFJ4", "MFJ4", "THJ2", "THJ1"}


def test_conversion_errors():
    mjcf, urdf = load_hand("shadow"), load_hand("shadow_e3m5")
    with pytest.raises(ConversionError, match="expected a pose of 'shadow', found one of 'shadow_e3m5'"):
        mjcf.convert(urdf.rest_pose(), urdf)


def test_hands_do_not_share_tensors():
    one, other = load_hand("shadow"), load_hand("shadow")
    one.double()
    assert other.lower.dtype == torch.float32
    assert not list(one.state_dict())
