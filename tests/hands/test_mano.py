"""MANO on the generated stand-in. Oracle: smplx, which reads the same file."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import smplx
import torch
import trimesh

from dexzoo.geometry.rotations import rotvec_to_rotmat
from dexzoo.hands import HandError, HandPose, HandSpecError, load_hand
from dexzoo.hands.check import findings
from dexzoo.hands.mano import SkinPoints
from dexzoo.hands.mano_model import ManoModelNotFound
from dexzoo.hands.mano_standin import standin, write_standin
from dexzoo.hands.mujoco_model import hand_spec
from dexzoo.hands.spec import SPECS


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return write_standin(tmp_path_factory.mktemp("models") / "MANO_RIGHT.pkl", pose_blend=2e-4)


@pytest.fixture
def hand(model_file, monkeypatch):
    monkeypatch.setenv("DEXZOO_MANO", str(model_file))
    return load_hand("mano").double()


@pytest.fixture
def motion():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return {"global_orient": normal(6, 3), "hand_pose": 0.5 * normal(6, 45), "transl": normal(6, 3)}


def _smplx(file, **options):
    options = {"is_rhand": True, "use_pca": False, "flat_hand_mean": True, "dtype": torch.float64, **options}
    return smplx.create(str(file), "mano", **options)


def _pose(hand, motion):
    rotation = rotvec_to_rotmat(motion["global_orient"])
    return HandPose(motion["transl"] + hand.rest_wrist, rotation, motion["hand_pose"], "mano")


def test_standin_has_the_keys_and_shapes_of_the_genuine_file(model_file):
    """datasets.md section 2."""
    content = pickle.loads(model_file.read_bytes())
    shapes = {
        "v_template": (778, 3), "shapedirs": (778, 3, 10), "posedirs": (778, 3, 135),
        "J_regressor": (16, 778), "weights": (778, 16), "kintree_table": (2, 16), "f": (1538, 3),
        "hands_components": (45, 45), "hands_mean": (45,),
    }  # fmt: skip
    assert {key: content[key].shape for key in shapes} == shapes
    assert set(content) == {*shapes, "stand_in"}
    assert scipy.sparse.issparse(content["J_regressor"])
    np.testing.assert_allclose(content["weights"].sum(1), 1)
    assert content["kintree_table"][0, 0] == 2**32 - 1
    mesh = trimesh.Trimesh(content["v_template"], content["f"], process=False)
    assert mesh.body_count == 1
    assert mesh.euler_number == 1  # a disc: closed but for the wrist
    assert mesh.is_winding_consistent
    assert 5e-5 < mesh.volume < 2e-4


def test_standin_is_the_same_every_time():
    one, other = standin(), standin()
    for key in ("v_template", "f", "weights", "shapedirs"):
        np.testing.assert_array_equal(one[key], other[key])
    assert not np.any(one["posedirs"])


def test_joints_vertices_and_tips_equal_smplx(model_file, hand, motion):
    expected = _smplx(model_file)(**motion, betas=torch.zeros(6, 10).double())
    links = hand.forward_kinematics(_pose(hand, motion))
    torch.testing.assert_close(links.translation, expected.joints, atol=1e-6, rtol=0)
    torch.testing.assert_close(hand.vertices(links), expected.vertices, atol=1e-6, rtol=0)
    keypoints = hand.keypoints(links)
    assert keypoints.shape == (6, 21, 3)
    assert hand.keypoint_names[0] == "wrist"
    assert hand.keypoint_names[16:] == ("index_tip", "middle_tip", "ring_tip", "pinky_tip", "thumb_tip")
    tips = expected.vertices[:, [320, 443, 554, 671, 744]]
    torch.testing.assert_close(keypoints[:, 16:], tips, atol=1e-6, rtol=0)


def test_shape_and_mean_equal_smplx(model_file, hand, motion):
    betas = torch.linspace(-1, 1, 10).double()
    expected = _smplx(model_file, flat_hand_mean=False)(**motion, betas=betas.expand(6, 10))
    person = hand.with_shape(betas.numpy()).double()
    pose = _pose(person, {**motion, "hand_pose": motion["hand_pose"] + person.hands_mean})
    links = person.forward_kinematics(pose)
    torch.testing.assert_close(person.vertices(links), expected.vertices, atol=1e-6, rtol=0)


def test_personal_template_equals_smplx(model_file, hand, motion):
    template = hand._template.numpy() * [1.1, 0.9, 1.05] + 0.01
    expected = _smplx(model_file, v_template=template)(**motion, betas=torch.zeros(6, 10).double())
    person = hand.with_template(template).double()
    links = person.forward_kinematics(_pose(person, motion))
    torch.testing.assert_close(person.vertices(links), expected.vertices, atol=1e-6, rtol=0)
    with pytest.raises(HandError, match=r"expected shape \(778, 3\), found \(10475, 3\)"):
        hand.with_template(np.zeros((10475, 3)))
    with pytest.raises(HandError, match="expected up to 10 shape coefficients, found 16"):
        hand.with_shape(np.zeros(16))


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_gradients_and_batches(hand, batch):
    generator = torch.Generator().manual_seed(1)
    joints = (0.3 * torch.randn(*batch, 45, generator=generator, dtype=torch.float64)).requires_grad_()
    root = torch.eye(3).double().expand(*batch, 3, 3), torch.zeros(*batch, 3).double()
    points = hand.surface(5)

    def placed(q):
        return hand.place(hand.kinematics(*root, q), points)

    assert placed(joints).shape == (*batch, 5, 3)
    assert torch.autograd.gradcheck(placed, (joints,), fast_mode=True)
    flat = torch.zeros(*batch, 45, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(placed(flat).sum(), flat)
    assert gradient.isfinite().all()


def test_surface_is_on_the_skin(hand, motion):
    points = hand.surface(400)
    assert isinstance(points, SkinPoints)
    pose = _pose(hand, motion)[0]
    found = hand.place(hand.forward_kinematics(pose), points)
    distance = trimesh.proximity.closest_point(hand.mesh(pose), found.numpy())[1]
    assert distance.max() < 1e-5
    assert torch.equal(hand.surface(400).position, points.position)


def test_points_by_rule(hand):
    assert len(hand.contact_candidates) == 140
    links = hand.forward_kinematics(hand.rest_pose())
    assert torch.pdist(hand.place(links, hand.penetration_keypoints)).min() > 0.015
    skin = hand.vertices(links)
    assert hand.signed_distance(links, skin).abs().median() < 4e-3  # the capsules follow the skin
    hand.check_limits(hand.rest)


def test_standin_is_called_so(hand, model_file, tmp_path):
    assert hand.name == "mano"
    assert hand.title == "mano (stand-in)"
    assert any("invented by this project" in note for note in findings(hand))
    genuine = pickle.loads(model_file.read_bytes())
    del genuine["stand_in"]
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(pickle.dumps(genuine, protocol=2))
    assert _from(tmp_path / "MANO_RIGHT.pkl", tmp_path).title == "mano"


def _from(file, tmp_path):
    """A copy of the shipped YAML that names the model file, relative to itself."""
    text = (SPECS / "mano.yaml").read_text()
    (tmp_path / "my_mano.yaml").write_text(text + f"\nmodel: {file.name}\n")
    return load_hand(tmp_path / "my_mano.yaml")


def test_absent_model(monkeypatch, tmp_path):
    monkeypatch.delenv("DEXZOO_MANO", raising=False)
    for expected in ("https://mano.is.tue.mpg.de", "non-commercial", "DEXZOO_MANO", "mano_skeleton"):
        with pytest.raises(ManoModelNotFound, match=expected):
            load_hand("mano")
    monkeypatch.setenv("DEXZOO_MANO", str(tmp_path))
    with pytest.raises(ManoModelNotFound, match=f"found nothing at {tmp_path}"):
        load_hand("mano")


def test_model_folder_is_searched_as_smplx_does(model_file, monkeypatch):
    monkeypatch.setenv("DEXZOO_MANO", str(model_file.parent))
    assert load_hand("mano").stand_in


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("posedirs", None, "expected a MANO model with the key 'posedirs'"),
        ("weights", np.zeros((778, 24)), r"weights: expected .* shape \(778, 16\), found shape \(778, 24\)"),
        ("hands_mean", np.full(45, np.nan), "hands_mean: expected finite numbers"),
        ("kintree_table", np.zeros((2, 16)), "kintree_table: expected MANO's parents"),
    ],
)  # fmt: skip
def test_bad_model_files(tmp_path, key, value, message):
    content = standin()
    content[key] = value
    if value is None:
        del content[key]
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(HandSpecError, match=message):
        _from(tmp_path / "bad.pkl", tmp_path)


def test_a_left_hand_is_refused(tmp_path):
    content = standin()
    content["v_template"] = content["v_template"] * [1, 1, -1]
    (tmp_path / "left.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(HandSpecError, match="expected a right hand"):
        _from(tmp_path / "left.pkl", tmp_path)


def test_a_truncated_model(tmp_path, model_file):
    (tmp_path / "cut.pkl").write_bytes(model_file.read_bytes()[:5000])
    with pytest.raises(HandSpecError, match=r"cut\.pkl: expected a complete pickle"):
        _from(tmp_path / "cut.pkl", tmp_path)


def test_ball_joints_have_no_simulation_model(hand):
    with pytest.raises(HandError, match="expected a hand of hinges and slides, found the ball joints index1"):
        hand_spec(hand).compile()


def test_conversion_to_a_hand_without_a_map(hand):
    with pytest.raises(HandError, match="mano to shadow: expected `maps"):
        hand.convert(hand.rest_pose(), load_hand("shadow"))
