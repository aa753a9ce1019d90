"""Penetration depth of DexGraspNet's published grasps, against the numbers that were measured on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from dexzoo.files.unpickle import load_npy
from dexzoo.grasps.asset import ObjectAsset
from dexzoo.grasps.posed import PosedGrasps
from dexzoo.hands import HandPose, load_hand
from dexzoo.metrics.depth.hand_in_object import TOLERANCE
from dexzoo.metrics.functional.penetration import penetration_depth

SAMPLE = Path(__file__).parents[2] / "../shared/data/dexgraspnet_sample"

OBJECTS = {
    "mug": ("core-mug-8570d9a8d24cb0acbebd3c0c0c70fb03", 0.0750),
    "banana": ("ddg-gd_banana_poisson_002", 0.0440),
    "bottle": ("sem-Bottle-437678d4bc6be981c8724d5673a063a6", 0.0620),
}


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the DexGraspNet sample")
class TestDexGraspNet:
    """Section 4 of the metrics' specification, which was measured on capsules of flat facets, inside the round ones."""

    @pytest.fixture(params=list(OBJECTS))
    def sample(self, request: pytest.FixtureRequest) -> tuple[PosedGrasps, float]:
        name, expected = OBJECTS[request.param]
        rows = load_npy(SAMPLE / "dataset" / f"{name}.npy")
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, 20).astype(int)]
        hand, q = load_hand("shadow"), [row["qpos"] for row in rows]
        turn = Rotation.from_euler("xyz", [[x[f"WRJR{c}"] for c in "xyz"] for x in q]).as_matrix()
        pose = HandPose(
            torch.tensor([[x[f"WRJT{c}"] for c in "xyz"] for x in q]).double(),
            torch.from_numpy(turn),
            torch.tensor([[x[f"robot0:{k}"] for k in hand.joint_names] for x in q]).double(),
            hand.name,
        )
        asset = ObjectAsset.from_file(SAMPLE / "meshdata" / name / "coacd/decomposed.obj", request.param)
        return PosedGrasps(hand, pose, asset, torch.tensor([row["scale"] for row in rows])), expected / 100

    def test_certified_depth(self, sample: tuple[PosedGrasps, float]) -> None:
        """The specification's value is at most 0.05 mm too small by its tolerance, and by as much by its facets."""
        grasps, expected = sample
        certified, default = penetration_depth(grasps, certify=True), penetration_depth(grasps)
        assert expected < certified.mean() < expected + 1e-4
        assert (default <= certified).all()
        assert (certified - default).max() < TOLERANCE
        assert default.mean() > 0.99 * certified.mean()

    def test_definitions_agree(self, sample: tuple[PosedGrasps, float]) -> None:
        grasps, _ = sample
        depth, back = penetration_depth(grasps), penetration_depth(grasps, "object_to_hand")
        assert np.corrcoef(depth, back)[0, 1] > 0.95
        torch.testing.assert_close(back.mean(), depth.mean(), atol=0, rtol=0.1)
        assert torch.equal(penetration_depth(grasps, "max"), torch.maximum(depth, back))

    def test_the_script_in_metres_finds_centimetres(self, sample: tuple[PosedGrasps, float]) -> None:
        grasps, _ = sample
        grasps = grasps[::7]
        depth = penetration_depth(grasps)
        assert penetration_depth(grasps, mode="legacy_gtta").mean() > 4 * depth.mean()
        assert (penetration_depth(grasps, mode="legacy_obman") <= depth + TOLERANCE).all()
