"""Observed clouds against the closed forms of the ball, the table and the noise; seeds; every kind of item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull, Delaunay, KDTree

from dexzoo.datamodules.observation import Observe, Surface
from dexzoo.datamodules.sensors import Cameras, DepthNoise, FixedCameras, Table, frame_of
from dexzoo.datamodules.types import GraspBatch, GraspSample
from dexzoo.files.errors import DataError
from dexzoo.geometry.meshes import MeshError
from dexzoo.hands.pose import HandPose

RADIUS = 0.05


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ball(n: int, centre: tuple = (0.0, 0.0, 0.0)) -> torch.Tensor:
    """Points of a Fibonacci lattice."""
    k = torch.arange(n, dtype=torch.float64) + 0.5
    z, angle = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    ring = (1 - z * z).sqrt()
    return RADIUS * torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=1) + torch.tensor(centre)


def off(shown: torch.Tensor, cloud: torch.Tensor) -> float:
    """The largest distance of a point shown to the cloud; torch.cdist cancels."""
    return float(np.max(KDTree(cloud.numpy()).query(shown.numpy())[0]))


def still_pose(*shape: int) -> HandPose:
    eye = torch.eye(3).expand(*shape, 3, 3)
    return HandPose(torch.zeros(*shape, 3), eye, torch.zeros(*shape, 3), "three_joints")


def grasp(points: torch.Tensor, **more: Any) -> GraspSample:
    return GraspSample("ball/0", "ball", still_pose(), points, **more)


def grasps(points: torch.Tensor, **more: Any) -> GraspBatch:
    n = len(points)
    names: dict[str, Any] = {"names": tuple(map(str, range(n))), "objects": ("ball",) * n, "meshes": (None,) * n}
    fields: dict[str, Any] = names | {"scale": torch.ones(n)} | more
    return GraspBatch(still_pose(n), points, **fields)


class TestFull:
    def test_a_cloud_of_the_right_size_stays_as_it_is(self) -> None:
        points = ball(1024).float()
        assert torch.equal(Observe()(grasp(points), seeded()).object_points, points)

    def test_a_larger_one_is_thinned_out_evenly(self) -> None:
        shown = Observe(256)(grasp(ball(4000)), seeded()).object_points
        assert shown.shape == (256, 3)
        gaps = torch.cdist(shown, shown).fill_diagonal_(1).min(1).values
        # 256 caps of this radius would cover the ball twice over; random points lie far closer than half of it.
        assert gaps.min() > 0.5 * 2 * RADIUS * (4 / 256) ** 0.5
        rough = Observe(256, thinning="random")(grasp(ball(4000)), seeded()).object_points
        assert torch.cdist(rough, rough).fill_diagonal_(1).min() < 0.5 * gaps.min()

    def test_a_smaller_one_is_repeated_equally_often_and_flagged(self) -> None:
        points = ball(100)
        shown = Observe(256)(grasp(points, flags=("old",)), seeded())
        assert shown.flags == ("old", "points_repeated")
        rows, counts = shown.object_points.unique(dim=0, return_counts=True)
        assert torch.equal(rows, points.unique(dim=0))
        assert sorted(counts.unique().tolist()) == [2, 3]
        assert Observe(256)(shown, seeded()).flags == ("old", "points_repeated")

    def test_dtype_is_kept_and_the_input_too(self) -> None:
        points = ball(300).float()
        before = points.clone()
        shown = Observe(64, Cameras(), noise=DepthNoise(0.01))(grasp(points), seeded())
        assert shown.object_points.dtype == torch.float32
        assert torch.equal(points, before)


class TestPartial:
    @pytest.mark.parametrize("distance", [0.1, 0.25, 1.0])
    def test_by_rays_the_cap_of_a_ball_is_seen(self, ball_file: Path, distance: float) -> None:
        """The share (1 - r / d) / 2 of the area, and of it only points at least r^2 / d towards the camera."""
        eye = distance * torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
        observe = Observe(512, FixedCameras([eye.tolist()]), candidates=20_000)
        shown = observe.cloud(ball(100), seeded(), Surface.of(ball_file, 20_000), RADIUS)
        assert shown.seen / 20_000 == pytest.approx((1 - RADIUS / distance) / 2, abs=0.006)
        height = shown.points @ eye / distance
        assert height.min() > RADIUS**2 / distance - 1e-3  # half an edge of the icosphere
        assert not shown.repeated
        torch.testing.assert_close(shown.cameras, eye[None])

    def test_without_a_mesh_it_is_nearly_the_same_cap(self) -> None:
        eye = torch.tensor([0.0, 0.3, 0.4], dtype=torch.float64)
        shown = Observe(256, FixedCameras([eye.tolist()])).cloud(ball(4000), seeded())
        assert shown.seen / 4000 == pytest.approx((1 - RADIUS / 0.5) / 2, abs=0.03)
        assert (shown.points @ eye / 0.5).min() > -1e-3

    def test_a_sample_is_rayed_at_its_scaled_mesh(self, ball_file: Path) -> None:
        shown = Observe(512, Cameras())(grasp(ball(64), mesh=ball_file, scale=RADIUS), seeded()).object_points
        lengths = shown.norm(dim=1)
        assert lengths.max() <= RADIUS * (1 + 1e-9)
        assert lengths.min() > 0.999 * RADIUS  # facets of the icosphere
        assert len(shown.unique(dim=0)) == 512

    def test_rays_can_be_insisted_on_and_switched_off(self, ball_file: Path) -> None:
        with pytest.raises(DataError, match=r'ball/0: visibility "mesh" needs a mesh in the frame of the points'):
            Observe(64, Cameras(), "mesh")(grasp(ball(64)), seeded())
        points = ball(512)
        shown = Observe(64, Cameras(), "points")(grasp(points, mesh=ball_file, scale=RADIUS), seeded()).object_points
        assert off(shown, points) == 0
        with pytest.raises(MeshError, match=r"gone\.obj: expected a mesh file, found nothing there"):
            Observe(64, Cameras())(grasp(points, mesh=Path("gone.obj")), seeded())

    def test_two_opposite_cameras_see_all_but_a_ring(self, ball_file: Path) -> None:
        cameras = FixedCameras([(0.2, 0, 0), (-0.2, 0, 0)])
        shown = Observe(512, cameras, candidates=20_000).cloud(ball(9), seeded(), Surface.of(ball_file, 20_000), RADIUS)
        assert shown.seen / 20_000 == pytest.approx(1 - RADIUS / 0.2, abs=0.01)
        assert shown.points[:, 0].abs().min() > RADIUS**2 / 0.2 - 1e-3


class TestCameras:
    @pytest.mark.parametrize(("elevation", "low", "high"), [((0, 90), 0, 1), ((-90, 90), -1, 1), ((30, 30), 0.5, 0.5)])
    def test_they_are_uniform_on_the_sphere(self, elevation: tuple, low: float, high: float) -> None:
        up = np.array([0.6, 0.0, 0.8])
        centre = np.array([1.0, 2.0, 3.0])
        ways = Cameras(20_000, (0.4, 0.8), elevation).draw(centre, up, seeded()) - centre
        lengths = np.linalg.norm(ways, axis=1)
        assert (lengths.min(), lengths.max()) == pytest.approx((0.4, 0.8), abs=1e-3)
        heights = ways @ up / lengths
        expected = np.linspace(low, high, 11)  # Archimedes: heights are uniform
        np.testing.assert_allclose(np.quantile(heights, np.linspace(0, 1, 11)), expected, atol=0.015)
        sideways = (ways / lengths[:, None] - heights[:, None] * up).mean(axis=0)
        np.testing.assert_allclose(sideways, 0, atol=0.015)

    def test_frames_stand_upright(self) -> None:
        for up in np.random.default_rng(0).normal(size=(20, 3)):
            up /= np.linalg.norm(up)
            axes = frame_of(up)
            np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
            np.testing.assert_allclose(axes[2], up)
            assert np.linalg.det(axes) == pytest.approx(1)
        np.testing.assert_allclose(frame_of(np.array([0.0, 0.0, 1.0]))[2], [0, 0, 1])


class TestNoise:
    def measured(self, noise: DepthNoise, distance: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Errors along the rays (N,) and across them (N, 3), of a patch that faces the camera."""
        eye = torch.tensor([0.0, 0.0, distance], dtype=torch.float64)
        patch = torch.zeros(20_000, 3, dtype=torch.float64)
        patch[:, :2] = torch.rand(20_000, 2, generator=seeded(1), dtype=torch.float64) * 0.1 - 0.05
        moved = noise.measure(patch, eye.expand(20_000, 3), torch.zeros(3, dtype=torch.float64), seeded())
        ray = torch.nn.functional.normalize(patch - eye, dim=1)
        shift = moved - patch
        return moved[:, 2], shift - (shift * ray).sum(1, keepdim=True) * ray

    @pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
    def test_it_grows_with_the_square_of_depth_and_lies_along_the_rays(self, distance: float) -> None:
        height, across = self.measured(DepthNoise(0.0005, 0.002), distance)
        assert float(height.std()) == pytest.approx(0.0005 + 0.002 * distance**2, rel=0.02)
        assert float(height.mean()) == pytest.approx(0, abs=0.0002)
        assert across.abs().max() < 1e-12

    def test_depth_comes_in_steps(self) -> None:
        height, _ = self.measured(DepthNoise(0.0, 0.004, step=0.01), 1.0)
        depth = 1.0 - height
        torch.testing.assert_close((depth / 0.01).round() * 0.01, depth)
        assert len((depth / 0.01).round().unique()) > 2

    def test_points_drop_out(self, ball_file: Path) -> None:
        def seen(dropout: float) -> int:
            observe = Observe(64, FixedCameras([(0, 0, 0.5)]), noise=DepthNoise(dropout=dropout), thinning="random")
            return observe.cloud(ball(9), seeded(), Surface.of(ball_file, 20_000), RADIUS).seen

        assert seen(0.3) / seen(0.0) == pytest.approx(0.7, abs=0.02)  # four standard deviations

    def test_each_camera_errs_along_its_own_rays(self, ball_file: Path) -> None:
        cameras = FixedCameras([(0.5, 0, 0), (0, 0.5, 0)])
        observe = Observe(500, cameras, noise=DepthNoise(0.01, 0), thinning="random")
        shift = observe.cloud(ball(9), seeded(), Surface.of(ball_file, 4096), RADIUS).points
        assert shift[:, 2].abs().max() < 0.06  # neither looks along z: the ball keeps its height
        assert shift[:, 0].max() > 0.06
        assert shift[:, 1].max() > 0.06


class TestTable:
    tilted = torch.nn.functional.normalize(torch.tensor([0.2, -0.3, 0.9], dtype=torch.float64), dim=0)

    @pytest.mark.parametrize("cameras", [None, Cameras(2, elevation=(20, 80))])
    def test_its_points_lie_on_the_plane_outside_the_outline(self, cameras: Cameras | None, ball_file: Path) -> None:
        plane = torch.cat([self.tilted, torch.tensor([RADIUS], dtype=torch.float64)])
        for mesh in (None, ball_file):
            sample = grasps(ball(600)[None], plane=plane[None], meshes=(mesh,), scale=torch.tensor([RADIUS]))
            shown = Observe(200, cameras, table=Table(0.2, 0.3))(sample, seeded()).object_points[0]
            table, rest = shown[-60:], shown[:-60]
            torch.testing.assert_close(
                table @ self.tilted, torch.full((60,), -RADIUS, dtype=torch.float64), atol=1e-12, rtol=0
            )
            assert (rest @ self.tilted).min() >= -RADIUS - 1e-12
            away = (table + RADIUS * self.tilted).norm(dim=1)
            assert away.min() > 0.99 * RADIUS
            assert away.max() <= 0.2 + 2e-3  # the middle of a lattice is not the ball's own
            assert away.max() > 0.18

    def test_by_default_it_touches_the_lowest_point_and_its_points_are_uniform(self) -> None:
        points = ball(600, (0.3, 0.2, 0.7))
        table = Table(0.2).draw(points.numpy(), np.array([0, 0, 1, -float(points[:, 2].min())]), 20_000, seeded())
        np.testing.assert_allclose(table[:, 2], float(points[:, 2].min()), atol=1e-15)
        assert len(table) == 20_000
        squared = ((table[:, :2] - [0.3, 0.2]) ** 2).sum(1)  # uniform by area means uniform in squared radius
        quartiles = np.quantile(squared, [0.25, 0.5, 0.75])
        np.testing.assert_allclose(quartiles, RADIUS**2 + (0.04 - RADIUS**2) * np.array([0.25, 0.5, 0.75]), atol=8e-4)

    def test_a_long_object_has_table_along_its_sides(self) -> None:
        """UniDexGrasp's disc would leave none there; Delaunay decides what is under the object."""
        rng = np.random.default_rng(0)
        bar = rng.uniform([-0.15, -0.02, 0], [0.15, 0.02, 0.04], (500, 3))
        table = Table(0.1).draw(bar, np.array([0.0, 0.0, 1.0, 0.0]), 5000, seeded())
        assert (Delaunay(bar[:, :2]).find_simplex(table[:, :2]) < 0).all()
        beside = (np.abs(table[:, 0]) < 0.15) & (np.abs(table[:, 1]) < 0.05)
        assert beside.sum() > 300
        reach = np.linalg.norm(table[:, :2], axis=1).max()
        assert 0.19 < reach < 0.21  # the disc grew with the object
        area = np.pi * (1.25 * np.linalg.norm(bar[:, :2] - bar[:, :2].mean(0), axis=1).max()) ** 2
        strip = 0.3 * 0.06 / (area - ConvexHull(bar[:, :2]).volume)
        assert beside.mean() == pytest.approx(strip, rel=0.15)

    @pytest.mark.parametrize("by_rays", [True, False])
    def test_the_object_hides_what_lies_behind_it(self, ball_file: Path, by_rays: bool) -> None:
        """From low in front, the table in the ball's shadow cannot be seen: no way to it comes closer than r."""
        eye = torch.tensor([0.4, 0.0, 0.05], dtype=torch.float64)
        observe = Observe(800, FixedCameras([eye.tolist()]), table=Table(0.3, 0.5))
        shown = observe.cloud(ball(4000), seeded(), Surface.of(ball_file, 4096) if by_rays else None, RADIUS)
        table = shown.points[-400:]
        way = table - eye
        nearest = -(eye @ way.T) / (way * way).sum(1)
        gap = (eye + nearest.clamp(0, 1)[:, None] * way).norm(dim=1)
        assert (gap > RADIUS - 1e-3).double().mean() > (0.999 if by_rays else 0.98)
        free = Table(0.3).draw(ball(4000).numpy(), np.array([0, 0, 1, RADIUS]), 400, seeded())
        assert (
            np.sum((free[:, 0] < -0.1) & (np.abs(free[:, 1]) < 0.05)) > 15
        )  # where without the ball there would be some
        assert ((table[:, 0] < -0.1) & (table[:, 1].abs() < 0.05)).sum() <= (0 if by_rays else 2)

    def test_cameras_stay_above_it(self) -> None:
        with pytest.raises(DataError, match=r"cameras: expected them above the table, found one at \[0.3, 0.0, -0.1\]"):
            Observe(64, FixedCameras([(0.3, 0, -0.1)]), table=Table())(grasp(ball(200)), seeded())
