"""The hand as solids. Oracles: closed forms, MuJoCo's distances, support functions, booleans of all pairs."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import yaml
from manifold3d import Manifold, OpType

from dexzoo.hands import Hand, HandError, HandPose, HandSpecError, load_hand
from dexzoo.hands.check import findings
from dexzoo.hands.gaps import box_gap, capsule_box_gap, capsule_gap, segment_distance
from dexzoo.hands.mano_standin import write_standin
from dexzoo.hands.solids import adjacent, hand_solids, shape_solid
from dexzoo.hands.spec import SPECS
from dexzoo.hands.tree import Box, Capsule
from tests.metrics.small_hands import ball, box, fixed_hand

HANDS = ["shadow", "shadow_e3m5", "mano"]
BOX, CAPSULE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standin(tmp_path_factory.mktemp("models") / "MANO_RIGHT.pkl")


@pytest.fixture(params=HANDS)
def hand(request: pytest.FixtureRequest, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Hand:
    monkeypatch.setenv("DEXZOO_MANO", str(model_file))
    return load_hand(request.param)


def placed(hand: Hand, joints: torch.Tensor) -> list[Manifold]:
    """The primitives of one posture in the root's frame."""
    pose = HandPose(torch.zeros(1, 3), torch.eye(3)[None], joints[None], hand.name).map(lambda x: x.double())
    links, solids = hand.forward_kinematics(pose), hand_solids(hand)
    frames = torch.cat([links.rotation[0], links.translation[0].unsqueeze(-1)], dim=-1).numpy()
    return [m.transform(frames[i]) for m, i in zip(solids.manifolds, solids.link, strict=True)]


def turns(n: int, seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, 3, 3)))
    q = q * np.sign(np.einsum("nii->ni", r))[:, None]
    return q * np.linalg.det(q)[:, None, None]


# Pairs


def test_shadow_keeps_131_of_153_pairs() -> None:
    hand = load_hand("shadow")
    solids = hand_solids(hand)
    assert (len(solids.manifolds), solids.pairs.shape) == (18, (131, 2))
    tree, at = hand.spec.tree, hand.link_names.index
    assert adjacent(tree, at("palm"), at("ffproximal"))  # over a knuckle without a shape
    assert adjacent(tree, at("thmiddle"), at("thproximal"))  # over the hub, whose marker box is left out
    assert adjacent(tree, at("palm"), at("lfmetacarpal"))
    assert adjacent(tree, at("lfmetacarpal"), at("lfproximal"))
    assert not adjacent(tree, at("palm"), at("lfproximal"))
    assert not adjacent(tree, at("ffproximal"), at("mfproximal"))
    assert not adjacent(tree, at("ffproximal"), at("ffdistal"))


def test_shipped_hands_are_apart_at_rest(hand: Hand) -> None:
    """So that no overlap of the rest pose has to be taken off. By closed form and by the booleans of all pairs."""
    assert hand_solids(hand).overlaps == ()
    pairs = hand_solids(hand).pairs
    for joints in (hand.rest, torch.zeros(hand.num_joints)):
        solids = placed(hand, joints)
        assert max((solids[i] ^ solids[j]).volume() for i, j in pairs) == 0


def test_neighbours_overlap_by_design() -> None:
    """38 cm^3, so they must not count."""
    hand = load_hand("shadow")
    solids = placed(hand, torch.zeros(22))
    shared = sum(m.volume() for m in solids) - Manifold.batch_boolean(solids, OpType.Add).volume()
    assert 1e6 * shared == pytest.approx(38, rel=0.06)


def test_links_that_overlap_at_rest_are_excluded_and_named_once(tmp_path: Path) -> None:
    hand = fixed_hand(tmp_path, ball([0, 0, 0], 0.01), ball([0.015, 0, 0], 0.01), ball([0.1, 0, 0], 0.01))
    assert hand_solids(hand).overlaps == (("link0", "link1", pytest.approx(0.005)),)
    assert hand_solids(hand).pairs.tolist() == [[0, 2], [1, 2]]
    said = [note for note in findings(hand) if "overlap" in note]
    assert said == ["link0 and link1 overlap by 5.0 mm at rest: not counted as self-intersection"]
    content = yaml.safe_load((tmp_path / "fixed.yaml").read_text())
    (tmp_path / "listed.yaml").write_text(yaml.safe_dump(content | {"overlaps": [["link1", "link0"]]}))
    listed = load_hand(tmp_path / "listed.yaml")
    assert hand_solids(listed).overlaps == ()
    assert hand_solids(listed).pairs.tolist() == [[0, 2], [1, 2]]
    assert not any("overlap" in note for note in findings(listed))


@pytest.mark.parametrize(
    ("overlaps", "message"),
    [
        ([["ffprximal", "mfproximal"]], r"overlaps: no 'ffprximal'; did you mean 'ffproximal'\?"),
        ([["ffknuckle", "mfproximal"]], r"overlaps: no 'ffknuckle'; .*available: palm, ffproximal"),
        ([["palm"]], r"overlaps: expected pairs \[link, other link\], found \['palm'\]"),
        (["palm"], r"overlaps: expected pairs \[link, other link\], found 'palm'"),
        ([["palm", "palm"]], r"overlaps: expected pairs \[link, other link\], found \['palm', 'palm'\]"),
        ("palm", r"overlaps: expected a list of pairs \[link, other link\], found 'palm'"),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, overlaps: object, message: str) -> None:
    content = yaml.safe_load((SPECS / "shadow_e3m5.yaml").read_text())
    (tmp_path / "hand.yaml").write_text(yaml.safe_dump(content | {"overlaps": overlaps}))
    with pytest.raises(HandSpecError, match=message):
        load_hand(tmp_path / "hand.yaml")


# Solids


@pytest.mark.parametrize("length", [0.0, 0.003, 0.05])
@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_round_solids_have_the_round_volume(length: float, unit: float) -> None:
    """pi r^2 2h + 4/3 pi r^3, in metres and millimetres; of a bad mesh Manifold makes an empty solid in silence."""
    r, start, along = 0.01, np.array([0.3, -0.2, 0.1]), np.array([2.0, -1.0, 2.0]) / 3
    solid = shape_solid(Capsule(start / unit, (start + length * along) / unit, r / unit))
    volume = np.pi * r**2 * length + 4 / 3 * np.pi * r**3
    assert solid.volume() * unit**3 == pytest.approx(volume, rel=1e-12)
    assert solid.genus() == 0
    points = np.asarray(solid.to_mesh64().vert_properties)[:, :3] * unit
    on_axis = start + np.clip((points - start) @ along, 0, length)[:, None] * along
    radii = np.linalg.norm(points - on_axis, axis=1)
    assert np.abs(points.mean(0) - start - along * length / 2).max() < 1e-9
    assert radii.max() < 1.01 * r + 0.004 * length  # scaled about the middle: the ends move a little outwards
    assert radii.min() > 0.99 * r


def test_boxes_are_exact() -> None:
    turn = turns(1, 0)[0]
    solid = shape_solid(Box(np.array([0.1, 0.2, 0.3]), turn, np.array([0.01, 0.02, 0.03])))
    assert solid.volume() == pytest.approx(8 * 0.01 * 0.02 * 0.03, rel=1e-12)
    corners = (np.asarray(solid.to_mesh64().vert_properties)[:, :3] - [0.1, 0.2, 0.3]) @ turn
    np.testing.assert_allclose(np.abs(corners), np.broadcast_to([0.01, 0.02, 0.03], (8, 3)), atol=1e-12)


def test_solids_are_made_once_per_hand() -> None:
    assert hand_solids(load_hand("shadow")) is hand_solids(load_hand("shadow"))


def test_hands_without_solids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HandError, match=r"fixed: link1: expected a shape with a volume, found Box"):
        hand_solids(fixed_hand(tmp_path, ball([0, 0, 0], 0.01), box([0, 0, 0], [0.01, 0, 0.01])))
    content = yaml.safe_load((tmp_path / "fixed.yaml").read_text())
    links = [{k: v for k, v in link.items() if k != "boxes" and k != "capsules"} for link in content["links"]]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump(content | {"links": links, "contact_links": []}))
    with pytest.raises(HandError, match="fixed: expected collision shapes, found none"):
        hand_solids(load_hand(tmp_path / "bare.yaml"))


def test_balls_cover_the_primitives_and_little_more(hand: Hand) -> None:
    solids = hand_solids(hand)
    rng, balls = np.random.default_rng(0), hand_solids(hand).balls
    for k, shape in enumerate(
        [s for kind in ("capsules", "boxes") for x in hand.spec.tree.links for s in getattr(x, kind)]
    ):
        centre, radius = balls.centre[balls.primitive == k], balls.radius[balls.primitive == k]
        assert (balls.link[balls.primitive == k] == solids.link[k]).all()
        if isinstance(shape, Box):
            points = shape.centre + (shape.half * rng.uniform(-1, 1, (4000, 3)).round(1)) @ shape.rotation.T
            assert radius.max() < 1.8 * shape.half.min()
        else:
            ways = rng.normal(size=(4000, 3))
            points = shape.start + rng.uniform(0, 1, (4000, 1)) * (shape.end - shape.start)
            points += shape.radius * ways / np.linalg.norm(ways, axis=1, keepdims=True)
            assert radius.max() < 1.02 * shape.radius
        inside = np.linalg.norm(points[:, None] - centre, axis=-1) <= radius * (1 + 1e-9)
        assert inside.any(1).all()


# Gaps


def support_depth(a: np.ndarray, b: np.ndarray, extra: float) -> float:
    """Least translation that parts two convex bodies: over directions d, max of d.(x - y) over their corners."""
    corners = (a[:, None] - b).reshape(-1, 3)
    rng = np.random.default_rng(0)
    ways, spread = rng.normal(size=(20000, 3)), 1.0
    for _ in range(12):
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        best = ways[(ways @ corners.T).max(1).argmin()]
        spread /= 3
        ways = np.concatenate([[best], best + spread * rng.normal(size=(3000, 3))])
    return float((best @ corners.T).max() + extra)


def corners_of(half: np.ndarray, turn: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return centre + ((np.indices((2, 2, 2)).reshape(3, 8).T * 2 - 1) * half) @ turn.T


def mujoco_gap(first: dict, second: dict) -> float:
    spec = mujoco.MjSpec()
    for geom in (first, second):
        spec.worldbody.add_body().add_geom(**geom)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return mujoco.mj_geomDistance(model, data, 0, 1, 10.0, None)


def quat(turn: np.ndarray) -> np.ndarray:
    out = np.empty(4)
    mujoco.mju_mat2Quat(out, np.ascontiguousarray(turn).ravel())
    return out


def test_segment_distance_in_closed_form_and_against_sampling() -> None:
    def at(*rows: list[float]) -> list[np.ndarray]:
        return [np.array(row, float) for row in rows]

    assert segment_distance(*at([-1, 0, 0], [1, 0, 0], [0, -1, 0.5], [0, 1, 0.5])) == 0.5  # crossing
    assert segment_distance(*at([0, 0, 0], [1, 0, 0], [3, 4, 0], [9, 4, 0])) == pytest.approx(
        np.hypot(2, 4)
    )  # parallel
    assert segment_distance(*at([0, 0, 0], [2, 0, 0], [1, 1, 0], [3, 1, 0])) == 1  # parallel, side by side
    assert segment_distance(*at([0, 0, 0], [1, 0, 0], [0.5, 0, 0], [4, 0, 0])) == 0  # on one line
    assert segment_distance(*at([0, 0, 0], [0, 0, 0], [1, 2, 2], [1, 2, 2])) == 3  # points
    assert segment_distance(*at([0, 0, 0], [0, 0, 0], [-1, 2, 0], [1, 2, 0])) == 2  # point and segment
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 50, 3))
    t = np.linspace(0, 1, 201)[:, None]
    for row, value in zip(zip(a, b, c, d, strict=True), segment_distance(a, b, c, d), strict=True):
        first, second = row[0] + t * (row[1] - row[0]), row[2] + t * (row[3] - row[2])
        sampled = np.linalg.norm(first[:, None] - second, axis=-1).min()
        assert value <= sampled + 1e-12 <= value + 0.03


def test_gaps_of_bodies_apart_are_mujocos_distances() -> None:
    rng, turn = np.random.default_rng(1), turns(40, 1)
    a, b, c, d = rng.normal(size=(4, 40, 3))
    half, r = rng.uniform(0.1, 0.5, (40, 3)), rng.uniform(0.05, 0.3, 40)
    local = np.einsum("nji,nj->ni", turn, a - c), np.einsum("nji,nj->ni", turn, b - c)
    of_capsules, of_box = capsule_gap(a, b, r, c, d, 0.5 * r), capsule_box_gap(*local, r, half)
    assert (of_capsules > 0.01).sum() > 10
    assert (of_box > 0.01).sum() > 10
    for k in range(40):
        rod = {"type": CAPSULE, "fromto": [*a[k], *b[k]], "size": [r[k], 0, 0]}
        other = {"type": CAPSULE, "fromto": [*c[k], *d[k]], "size": [0.5 * r[k], 0, 0]}
        brick = {"type": BOX, "pos": c[k], "quat": quat(turn[k]), "size": half[k]}
        if of_capsules[k] > 0.01:
            assert of_capsules[k] == pytest.approx(mujoco_gap(rod, other), abs=1e-5)
        if of_box[k] > 0.01:
            assert of_box[k] == pytest.approx(mujoco_gap(rod, brick), abs=1e-5)


def test_depths_are_the_least_translations() -> None:
    rng, turn = np.random.default_rng(2), turns(25, 2)
    half, other_half = rng.uniform(0.3, 1, (2, 25, 3))
    a, b = 0.7 * rng.normal(size=(2, 25, 3))
    centre = 0.5 * rng.normal(size=(25, 3))
    of_capsule, of_box = capsule_box_gap(a, b, np.full(25, 0.2), half), box_gap(centre, turn, half, other_half)
    deep = np.flatnonzero(of_capsule < -0.2)  # the axis itself meets the box
    assert len(deep) > 5
    assert (of_box < 0).sum() > 10
    origin = np.zeros(3)
    for k in deep:
        depth = support_depth(corners_of(half[k], np.eye(3), origin), np.array([a[k], b[k]]), 0.2)
        assert -of_capsule[k] == pytest.approx(depth, abs=1e-4)
    for k in np.flatnonzero(of_box < 0):
        depth = support_depth(corners_of(half[k], np.eye(3), origin), corners_of(other_half[k], turn[k], centre[k]), 0)
        assert -of_box[k] == pytest.approx(depth, abs=1e-4)


def test_boxes_are_apart_exactly_where_mujoco_says_so() -> None:
    rng, turn = np.random.default_rng(3), turns(60, 3)
    half, other_half = rng.uniform(0.1, 0.5, (2, 60, 3))
    centre = 0.6 * rng.normal(size=(60, 3))
    gaps = box_gap(centre, turn, half, other_half)
    distances = [
        mujoco_gap(
            {"type": BOX, "size": half[k]},
            {"type": BOX, "pos": centre[k], "quat": quat(turn[k]), "size": other_half[k]},
        )
        for k in range(60)
    ]
    apart = np.array(distances) > 1e-6
    assert 10 < apart.sum() < 50
    assert ((gaps > 0) == apart).all()
    assert (gaps[apart] <= np.array(distances)[apart] + 1e-6).all()


def test_special_cases_of_capsule_and_box() -> None:
    half = np.array([1.0, 2.0, 3.0])
    cases = {
        -1.5: ([0, 0, -9], [0, 0, 9]),  # through the box along its long side
        -1.25: ([0.25, 0, 0], [0.25, 0, 0]),  # a ball inside
        2.5: ([4, 0, 0], [4, 0, 0]),
        1.5: ([3, -5, 0], [3, 5, 0]),  # parallel to a face
        np.sqrt(8) - 0.5: ([3, 4, -1], [3, 4, 1]),  # beside an edge
        np.sqrt(12) - 0.5: ([3, 4, 5], [9, 9, 9]),  # at a corner
    }
    for expected, (a, b) in cases.items():
        found = capsule_box_gap(np.array(a, float), np.array(b, float), np.array(0.5), half)
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_gaps_are_those_of_all_pairs_and_move_with_the_hand(tmp_path: Path) -> None:
    """Every kind of pair in one hand: each gap by its own function, in another frame."""
    hand = fixed_hand(
        tmp_path, ball([0, 0, 0], 0.01), box([0.03, 0, 0], [0.01, 0.02, 0.03], [0.3, 0.2, 0.1]),
        box([0.045, 0.01, 0], [0.01, 0.02, 0.03]), ball([0.012, 0, 0], 0.005), apart_at_rest=True,
    )  # fmt: skip
    turn = torch.from_numpy(turns(2, 4))
    pose = HandPose(torch.randn(2, 3), turn, torch.zeros(2, hand.num_joints), hand.name).map(lambda x: x.double())
    solids = hand_solids(hand)
    found = solids.gaps(hand.forward_kinematics(pose))
    pairs = [tuple(hand.link_names[solids.link[i]] for i in pair) for pair in solids.pairs]
    assert pairs[:3] == [("link0", "link3"), ("link0", "link1"), ("link0", "link2")]
    np.testing.assert_allclose(found[0], found[1], atol=1e-8)
    gaps = dict(zip(pairs, found[0], strict=True))
    assert gaps["link0", "link3"] == pytest.approx(-0.003, abs=1e-8)
    assert gaps["link0", "link2"] == pytest.approx(0.025, abs=1e-8)
    assert gaps["link1", "link2"] < 0


def test_a_gap_below_zero_is_a_volume_above_zero(hand: Hand) -> None:
    """Closed forms against booleans over random postures; tessellations may differ within 2 % of a radius."""
    solids = hand_solids(hand)
    generator, shared, apart = torch.Generator().manual_seed(0), 0, 0
    lower, upper = (hand.lower, hand.upper) if hand.name != "mano" else (hand.rest - 0.6, hand.rest + 0.6)
    for _ in range(12):
        joints = lower + (upper - lower) * torch.rand(hand.num_joints, generator=generator)
        parts = placed(hand, joints)
        pose = HandPose(torch.zeros(1, 3), torch.eye(3)[None], joints[None], hand.name).map(lambda x: x.double())
        for (i, j), gap in zip(solids.pairs, solids.gaps(hand.forward_kinematics(pose))[0], strict=True):
            volume = (parts[i] ^ parts[j]).volume()
            assert volume > 0 if gap < -4e-4 else volume == 0 if gap > 4e-4 else True
            shared, apart = shared + (gap < -4e-4), apart + (gap > 4e-4)
    assert shared > 3
    assert apart > 100
