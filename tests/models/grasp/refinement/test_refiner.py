"""Refinement against the naive loop over links, closed forms of a ball, finite differences and what it promises."""

from dataclasses import replace

import pytest
import torch
import trimesh

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.geometry.sampling import sample_surface
from dexzoo.geometry.sdf import DistanceGrid
from dexzoo.hands import load_hand
from dexzoo.hands.pose import HandPose
from dexzoo.losses.contact import soft_contact
from dexzoo.losses.energies import keypoint_repulsion_energy, plane_energy
from dexzoo.models.grasp.refinement.fields import ObjectFields, cloud_fields
from dexzoo.models.grasp.refinement.nearest import Cloud, HandShapes
from dexzoo.models.grasp.refinement.refiner import Refiner, move
from dexzoo.models.grasp.refinement.terms import DexzooTerms, Scene, UniDexGraspTerms
from dexzoo.synthesis.grasps import load_grasps
from dexzoo.synthesis.objects import object_mesh
from tests.oracles import refinement as oracle

RADIUS = 0.035


class Ball:
    """A ball about the origin in place of the objects' grids."""

    def __call__(self, points):
        return points.norm(dim=-1) - RADIUS

    def normals(self, points):
        return torch.nn.functional.normalize(points, dim=-1)

    def __getitem__(self, index):
        return self


@pytest.fixture(scope="module")
def hand():
    return load_hand("shadow").double()


@pytest.fixture(scope="module")
def grasps(hand):
    """Six grasps of the jar, float64, and its cloud (6, 300, 3)."""
    stored = load_grasps()["jar"].pose[:6]
    pose = HandPose.from_vector(stored.to_vector().double(), stored.hand)  # rotations exact in float64
    mesh = object_mesh("jar")
    cloud, _, _ = sample_surface(mesh.vertices, mesh.faces, 300, seed=0)
    return pose, torch.as_tensor(cloud, dtype=torch.float64).expand(6, -1, -1)


@pytest.fixture(scope="module")
def pushed(hand, grasps):
    """The same 5 mm into the jar, with noise of 0.1 rad on all joints."""
    pose, _ = grasps
    noise = 0.1 * torch.randn(pose.joints.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return replace(
        pose, translation=pose.translation - 0.005 * pose.rotation[..., 1], joints=hand.clamp(pose.joints + noise)
    )


def test_search_and_measurement_equal_the_loop_over_links(hand, pushed, grasps):
    points = grasps[1]
    shapes, links = HandShapes(hand), hand.forward_kinematics(pushed)
    placed = shapes.place(links)
    table = shapes.search(placed, Cloud(points))
    squared, _ = oracle.fields(hand, pushed, points)
    expected = -squared.sign() * squared.abs().sqrt()
    torch.testing.assert_close(table.amin(1), expected, atol=1e-6, rtol=0)
    owner = torch.arange(6).repeat_interleave(300)
    found = placed.distance(points.flatten(0, 1), owner, table.argmin(1).flatten())
    torch.testing.assert_close(found.view(6, 300), expected, atol=1e-6, rtol=0)


def test_the_gradient_of_the_nearest_distance_against_finite_differences(hand, pushed, grasps):
    shapes = HandShapes(hand)
    placed = shapes.place(hand.forward_kinematics(pushed[:2]))
    near = 0.01 * torch.randn(2, 60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cloud = Cloud(torch.cat([grasps[1][:2, :40], near + placed.centre.repeat(1, 4, 1)[:, :60]], dim=1))
    table = shapes.search(placed, cloud)
    boxes = table.argmin(1) >= shapes.capsules
    assert (boxes & (table.amin(1) < 0)).any(), "no point is inside a box"
    assert (boxes & (table.amin(1) > 0)).any(), "no point is outside a box"
    assert (~boxes & (table.amin(1) < 0)).any(), "no point is inside a capsule"

    def distance(rotation, centre):
        return shapes.nearest(replace(placed, rotation=rotation, centre=centre), cloud)[0]

    inputs = (placed.rotation.requires_grad_(True), placed.centre.requires_grad_(True))
    assert torch.autograd.gradcheck(distance, inputs, eps=1e-8, atol=1e-6, rtol=1e-5)


def test_of_two_equally_near_shapes_the_first_gets_the_gradient(hand, pushed, grasps):
    shapes = HandShapes(hand)
    placed = shapes.place(hand.forward_kinematics(pushed[:1]))
    for values in (placed.rotation[0], placed.centre[0], shapes.half, shapes.radius):
        values[4] = values[2]
    centre = placed.centre.clone().requires_grad_(True)
    distance, table = shapes.nearest(replace(placed, centre=centre), Cloud(grasps[1][:1]))
    assert torch.equal(table[:, 4], table[:, 2])
    point = (table[0, 2] - table[0].amin(0)).argmin()
    assert table[0, 2, point] == distance[0, point], "no point is nearest to the two"
    (gradient,) = torch.autograd.grad(distance[0, point], centre)
    assert gradient[0, 2].norm().item() == pytest.approx(1.0)
    assert gradient[0, 4].abs().max() == 0


def test_distances_in_single_precision_a_metre_away(hand, pushed, grasps):
    away = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    there, points = replace(pushed, translation=pushed.translation + away), grasps[1] + away
    single = load_hand("shadow")
    shapes = HandShapes(single)
    placed = shapes.place(single.forward_kinematics(there.map(torch.Tensor.float)))
    found, _ = shapes.nearest(placed, Cloud(points.float()))
    squared, _ = oracle.fields(hand, there, points)
    torch.testing.assert_close(found.double(), -squared.sign() * squared.abs().sqrt(), atol=2e-6, rtol=0)


def test_official_terms_equal_the_loop_over_links(hand, pushed, grasps):
    points = grasps[1]
    target = torch.rand(6, 300, dtype=torch.float64)
    plane = torch.tensor([0.0, 0.6, 0.8, -0.02], dtype=torch.float64).expand(6, -1)
    found = UniDexGraspTerms(hand)(pushed, Scene(Cloud(points), target, plane=plane))
    expected = oracle.terms(hand, pushed, points, target, plane)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.max() > 0, name
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


def test_our_terms_by_shapes_equal_the_loop_over_links(hand, pushed, grasps):
    points, squeeze = grasps[1], 0.001
    target, attract = torch.rand(6, 300, dtype=torch.float64), torch.rand(6, 14, dtype=torch.float64)
    found = DexzooTerms(hand, squeeze)(pushed, Scene(Cloud(points), target, attract))
    squared, _ = oracle.fields(hand, pushed, points)
    distance = -squared.sign() * squared.abs().sqrt()
    depth = (-distance - squeeze).clamp_min(0).sum(-1)
    torch.testing.assert_close(found["penetration"], depth, atol=1e-6, rtol=0)
    contact = (soft_contact(distance) - target).square().sum(-1)
    torch.testing.assert_close(found["contact"], contact, atol=1e-4, rtol=0)  # the sum of 300 values of slope 60 / m


def test_gaps_to_a_ball_have_their_closed_form(hand, pushed):
    """The distance of a segment to the centre, less both radii; probes 7 mm apart miss it by 0.2 mm at most."""
    scene = Scene(Cloud(torch.zeros(6, 1, 3, dtype=torch.float64)), fields=Ball())
    terms = DexzooTerms(hand, 0.0)
    shifted = replace(pushed, translation=pushed.translation - torch.tensor([0, 0, 0.05], dtype=torch.float64))
    found = terms.gaps(shifted, scene)
    links, capsules = hand.forward_kinematics(shifted), hand.capsules
    for column, name in enumerate(hand.spec.contact_links):
        k = [hand.link_names[i] for i in capsules.link.tolist()].index(name)
        link = int(capsules.link[k])
        ends = [
            (links.rotation[:, link] @ x) + links.translation[:, link] for x in (capsules.start[k], capsules.end[k])
        ]
        axis = ends[1] - ends[0]
        share = (-(ends[0] * axis).sum(-1) / (axis * axis).sum(-1)).clamp(0, 1)
        exact = (ends[0] + share[:, None] * axis).norm(dim=-1) - capsules.radius[k] - RADIUS
        assert (found[:, column] >= exact - 1e-9).all()
        torch.testing.assert_close(found[:, column], exact, atol=2e-4, rtol=0)


@pytest.mark.parametrize("by", ["grid", "primitives", "unidexgrasp"])
def test_gradients_against_finite_differences(hand, pushed, grasps, by):
    pose, generator = pushed[:1], torch.Generator().manual_seed(4)
    target = torch.rand(1, 300, dtype=torch.float64, generator=generator)
    plane = torch.tensor([[0.0, 0.6, 0.8, -0.02]], dtype=torch.float64)
    attract = torch.ones(1, 14, dtype=torch.float64)
    scene = Scene(Cloud(grasps[1][:1]), target, attract, plane, Ball() if by == "grid" else None)
    terms = UniDexGraspTerms(hand) if by == "unidexgrasp" else DexzooTerms(hand, 0.0005)
    x = torch.cat([torch.full((1, 6), 0.001, dtype=torch.float64), pose.joints], dim=-1).requires_grad_(True)
    names = list(terms(move(pose, x), scene))
    assert set(names) >= {"contact", "penetration", "repulsion", "table"}

    def energies(x):
        found = terms(move(pose, x), scene)
        return tuple(found[name] for name in names)

    assert torch.autograd.gradcheck(energies, (x,), eps=1e-8, atol=2e-5, rtol=1e-3)


def test_the_open_hand_does_not_repel_itself(hand):
    open_hand = replace(hand.rest_pose(1), joints=hand.clamp(torch.zeros(1, hand.num_joints, dtype=torch.float64)))
    inner = hand.penetration_keypoints
    points = hand.place(hand.forward_kinematics(open_hand), inner)
    assert keypoint_repulsion_energy(points, inner.link).item() == 0


def test_plane_energy_sums_depths():
    points = torch.tensor([[[0.0, 0, 0.03], [0.0, 0, -0.01], [1.0, 0, 0.005]]])
    plane = torch.tensor([[0.0, 0, 1, 0]])
    assert plane_energy(points, plane).item() == pytest.approx(0.01)
    assert plane_energy(points, plane, margin=0.01).item() == pytest.approx(0.02 + 0.005)


@pytest.mark.parametrize("by", ["grid", "primitives"])
def test_a_grasp_does_not_depend_on_its_neighbours(hand, pushed, grasps, by):
    refiner = Refiner(steps=10, hand_distance=by, patience=3)
    together = refiner(hand, pushed, grasps[1])
    for i in (0, 4):
        alone = refiner(hand, pushed[i : i + 1], grasps[1][i : i + 1])
        torch.testing.assert_close(alone.pose.to_vector()[0], together.pose.to_vector()[i], atol=1e-7, rtol=0)
        assert alone.steps[0] == together.steps[i]


def test_the_energy_falls_and_limits_hold_on_every_grasp(hand, pushed, grasps):
    outside = replace(pushed, joints=pushed.joints + 0.5)
    refined = Refiner(steps=30)(hand, outside, grasps[1])
    assert (refined.end < refined.start).all()
    hand.check_limits(refined.pose.joints, tolerance=1e-9)
    again = sum(Refiner().weights[name] * value for name, value in refined.terms.items())
    torch.testing.assert_close(again, refined.end)


def test_the_result_turns_with_the_object(hand, pushed, grasps):
    turn = rotvec_to_rotmat(torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64))
    shift = torch.tensor([0.1, 0.0, -0.2], dtype=torch.float64)
    refiner = Refiner(steps=10, hand_distance="primitives")
    here = refiner(hand, pushed[:2], grasps[1][:2]).pose.moved_by(turn, shift)
    there = refiner(hand, pushed[:2].moved_by(turn, shift), grasps[1][:2] @ turn.mT + shift).pose
    torch.testing.assert_close(here.to_vector(), there.to_vector(), atol=1e-7, rtol=0)


def test_converged_grasps_stop_early_and_keep_their_best(hand, pushed, grasps):
    """Without any weight nothing can improve, so every grasp leaves after `patience` steps, unmoved."""
    still = dict.fromkeys(Refiner().weights, 0.0)
    refined = Refiner(steps=20, patience=5, weights=still, hand_distance="primitives")(hand, pushed, grasps[1])
    assert refined.steps.tolist() == [5] * 6
    torch.testing.assert_close(refined.pose.to_vector(), pushed.to_vector(), atol=1e-12, rtol=0)


def test_steps_that_only_make_a_grasp_worse_leave_it_as_it_was(hand, grasps):
    pose, points = grasps[0][:2], grasps[1][:2]
    refined = Refiner(steps=3, step=(0.5, 0.5, 0.5))(hand, pose, points)
    assert torch.equal(refined.end, refined.start)
    torch.testing.assert_close(refined.pose.to_vector(), pose.to_vector(), atol=1e-6, rtol=0)
    assert all(torch.equal(refined.terms[name], value) for name, value in refined.before.items())


def test_steps_fade_like_half_a_cosine(hand, grasps):
    """A hand deep below a table has a constant slope: Adam goes one step length along each axis each time.

    The lengths sum to step (n + 1) / 2 over n steps: half of 1 + cos(pi k / n) for k = 0 ... n - 1.
    """
    normal = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
    plane = torch.cat([normal, torch.tensor([-5.0], dtype=torch.float64)]).expand(1, -1)
    weights = dict.fromkeys(Refiner().weights, 0.0) | {"table": 1.0}
    refiner = Refiner(steps=10, weights=weights, step=(0.01, 0.0, 0.0), hand_distance="primitives")
    pose = grasps[0][:1]
    moved = refiner(hand, pose, grasps[1][:1], plane=plane).pose.translation - pose.translation
    assert (pose.rotation.mT @ normal).abs().min() > 0.01, "an axis has no slope"
    local = (pose.rotation.mT @ moved.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(local.abs(), torch.full_like(local, 0.01 * 11 / 2), rtol=1e-4, atol=0)


def test_the_official_preset_is_adam_on_the_naive_energy_and_keeps_the_last_iterate(hand, pushed, grasps):
    pose, points = pushed[2:3], grasps[1][:1]
    plane = torch.tensor([[0.0, 0.0, 1.0, -0.05]], dtype=torch.float64)
    x = torch.cat([torch.zeros(1, 6, dtype=torch.float64), pose.joints], dim=-1).requires_grad_(True)
    adam, values = torch.optim.Adam([x], lr=0.05), []
    weights = {"penetration": 1e4, "repulsion": 10.0, "table": 1e3}

    def energy():
        turned = pose.rotation @ rotvec_to_rotmat(x[:, 3:6])
        moved = pose.translation + (pose.rotation @ x[:, :3, None]).squeeze(-1)
        there = HandPose(moved, turned, x[:, 6:], hand.name)
        terms = oracle.terms(hand, there, points, torch.zeros(1, 300), plane)
        return sum(weight * terms[name] for name, weight in weights.items())

    for _ in range(4):
        adam.zero_grad()
        value = energy()
        value.sum().backward()
        values.append(value.item())
        adam.step()
    values.append(energy().item())
    assert min(values) < values[-1], "the last iterate is not the best one"
    refined = Refiner("unidexgrasp", steps=4, step=(0.05, 0.05, 0.05), points=None)(hand, pose, points, plane=plane)
    assert refined.start.item() == pytest.approx(values[0], rel=1e-6)
    assert refined.end.item() == pytest.approx(values[-1], rel=1e-4)
    torch.testing.assert_close(refined.pose.joints, x[:, 6:].detach(), atol=1e-6, rtol=0)


def test_pushed_grasps_are_taken_out_again(hand, pushed, grasps):
    grid = DistanceGrid(object_mesh("jar"), spacing=0.004, margin=0.02)
    fields = ObjectFields([grid], torch.zeros(6, dtype=torch.long), torch.ones(6))
    skin = hand.surface(512)

    def depth(pose):
        return -fields(hand.place(hand.forward_kinematics(pose), skin)).amin(1)

    refined = Refiner(steps=80, fields="mesh")(hand, pushed, grasps[1], meshes=fields)
    assert depth(pushed).mean() > 0.005
    assert depth(refined.pose).mean() < 0.0025
    assert (depth(refined.pose) > -0.002).all(), "the hand is still on the object"


def test_the_target_is_predicted_once_by_the_likeliest_bin_in_eval_mode(hand, pushed, grasps):
    class Predictor(torch.nn.Module):
        calls = 0

        def hand_points(self, pose):
            torch.testing.assert_close(pose.joints, pushed.joints)
            return pose.translation[:, None]

        def forward(self, points, hand_points):
            assert not self.training
            self.calls += 1
            return points.norm(dim=-1)

        def mode(self, logits):
            return torch.zeros_like(logits)

    predictor = Predictor()
    refined = Refiner("unidexgrasp", steps=3, points=None)(hand, pushed, grasps[1], predictor)
    assert predictor.calls == 1
    assert predictor.training, "it is left as it was"
    expected = oracle.terms(hand, pushed, grasps[1], torch.zeros(6, 300), torch.zeros(6, 4))["contact"]
    torch.testing.assert_close(refined.before["contact"], expected, atol=1e-6, rtol=0)


def test_fields_of_clouds_against_the_distance_of_a_ball():
    generator = torch.Generator().manual_seed(0)
    ball = torch.nn.functional.normalize(torch.randn(2, 1024, 3, generator=generator), dim=-1)
    clouds = torch.stack([0.04 * ball[0], 0.03 * ball[1] + 0.1, 0.04 * ball[0]])
    fields = cloud_fields(clouds)
    assert len(fields.grids) == 2
    assert fields.owner[0] == fields.owner[2]
    points = 0.05 * (2 * torch.rand(3, 2000, 3, generator=generator) - 1)
    points[1] += 0.1
    exact = torch.stack(
        [points[0].norm(dim=-1) - 0.04, (points[1] - 0.1).norm(dim=-1) - 0.03, points[2].norm(dim=-1) - 0.04]
    )
    error = (fields(points) - exact).abs()
    near = exact.abs() < 0.01
    assert error[near].mean() < 0.0003  # the points are drawn at random, not spread
    assert ((fields(points) > 0) == (exact > 0))[exact.abs() > 0.001].all()


def test_a_cloud_of_one_side_refines_without_nan(hand, pushed, grasps):
    points = grasps[1][:, grasps[1][0, :, 0] > 0]
    assert 100 < points.shape[1] < 200
    refined = Refiner(steps=4)(hand, pushed, points)
    assert refined.pose.to_vector().isfinite().all()
    assert refined.end.mean() < 0.8 * refined.start.mean()


def test_fields_scale_with_the_object_and_point_outwards():
    grid = DistanceGrid(trimesh.creation.icosphere(subdivisions=3, radius=1.0), spacing=0.08, margin=0.4)
    fields = ObjectFields([grid], torch.tensor([0, 0]), torch.tensor([0.03, 0.05]))
    points = torch.tensor([0.04, 0.0, 0.0]).expand(2, 1, 3)
    torch.testing.assert_close(fields(points), torch.tensor([[0.01], [-0.01]]), atol=5e-4, rtol=0)
    torch.testing.assert_close(fields[torch.tensor([1])](points[:1]), torch.tensor([[-0.01]]), atol=5e-4, rtol=0)
    torch.testing.assert_close(fields.normals(points), torch.tensor([1.0, 0, 0]).expand(2, 1, 3), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "ofical"}, "preset: expected 'dexzoo' or 'unidexgrasp', found 'ofical'"),
        ({"weights": {"contacts": 1.0}}, "weights: expected some of contact, .*found \\['contacts'\\]"),
        ({"hand_distance": "mesh"}, "hand_distance: expected 'primitives' or 'grid', found 'mesh'"),
        ({"steps": 0}, "steps, patience: expected at least 1, found 0 and 40"),
        ({"fields": "meshes"}, "fields: expected 'cloud' or 'mesh', found 'meshes'"),
        ({"fields": "mesh", "preset": "unidexgrasp"}, "fields: expected 'cloud', .* found preset 'unidexgrasp'"),
        ({"fields": "mesh", "hand_distance": "primitives"}, "fields: expected 'cloud', .* hand_distance 'primitives'"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Refiner(**settings)


@pytest.mark.parametrize("fields", ["cloud", "mesh"])
def test_meshes_count_with_fields_of_meshes_alone(hand, pushed, grasps, fields):
    meshes = Ball() if fields == "cloud" else None
    with pytest.raises(ValueError, match=f"meshes: expected grids with fields='mesh' alone, found .* with '{fields}'"):
        Refiner(steps=1, fields=fields)(hand, pushed, grasps[1], meshes=meshes)


def test_a_batch_that_does_not_fit_is_named(hand, pushed, grasps):
    with pytest.raises(ValueError, match=r"found \(6,\) and \(5, 300, 3\); flatten candidates with HandPose.reshape"):
        Refiner()(hand, pushed, grasps[1][:5])
    with pytest.raises(ValueError, match="expected at least 32 distinct ones to fit a surface, found 8"):
        Refiner()(hand, pushed, grasps[1][:, :8])
