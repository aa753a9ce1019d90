"""Observations as a transform of every data set, and their errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dexzoo.datamodules.observation import Observe, _log_repeats
from dexzoo.datamodules.sensors import Cameras, DepthNoise, FixedCameras, Table
from dexzoo.datamodules.types import MotionSample
from dexzoo.datamodules.windows import ClipStore, WindowDataset
from dexzoo.files.errors import DataError, UnknownName
from tests.datamodules.test_observation import RADIUS, ball, grasp, grasps, off, seeded


class TestEveryDataSet:
    everything = Observe(128, Cameras(2), noise=DepthNoise(0.001, dropout=0.1), table=Table())

    def test_the_same_seed_repeats_it_and_another_does_not(self, ball_file: Path) -> None:
        sample = grasp(ball(500), mesh=ball_file, scale=RADIUS)
        first, again, other = (self.everything(sample, seeded(s)).object_points for s in (3, 3, 4))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        torch.manual_seed(0)
        state = torch.random.get_rng_state()
        self.everything(sample, seeded())
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_a_batch_is_its_rows_one_after_the_other(self, ball_file: Path) -> None:
        meshes, scale = (None, ball_file, ball_file), torch.tensor([1.0, RADIUS, 2 * RADIUS])
        points = torch.stack([ball(500), ball(500), 2 * ball(500)])
        plane = torch.tensor([[0, 0, 1, RADIUS], [0, 0, 1, RADIUS], [0, 0, 1, 2 * RADIUS]])
        shown = self.everything(grasps(points, meshes=meshes, scale=scale, plane=plane), seeded(5))
        generator = seeded(5)
        for i in range(3):
            row = slice(i, i + 1)
            one = grasps(points[row], meshes=meshes[row], scale=scale[row], plane=plane[row])
            assert torch.equal(shown.object_points[row], self.everything(one, generator).object_points)
        assert shown.names == ("0", "1", "2")

    def test_windows_and_clips_of_motions(self, make_sample: Callable[..., MotionSample]) -> None:
        samples = [make_sample("mug", 9, n_points=200), make_sample("jar", 12, 1, n_points=200)]
        observe = Observe(64, Cameras(distance=(9.0, 9.0)))
        store = ClipStore.of(samples)
        batch = WindowDataset(store, 3, transforms=[observe]).__getitems__([0, 5, 9])
        plain = WindowDataset(store, 3).__getitems__([0, 5, 9])
        assert batch.object_points.shape == (3, 64, 3)
        for shown, cloud in zip(batch.object_points, plain.object_points, strict=True):
            assert off(shown, cloud) == 0
        assert torch.equal(batch.past.joints, plain.past.joints)
        clips = observe(store.clips([0, 1]), seeded())
        assert clips.object_points.shape == (2, 64, 3)
        assert observe(samples[0], seeded()).object_points.shape == (64, 3)

    def test_batches_in_the_world_frame_leave_their_meshes_alone(
        self, make_sample: Callable[..., MotionSample], ball_file: Path
    ) -> None:
        clips = ClipStore.of([replace(make_sample("mug", 9, n_points=300), mesh=ball_file)]).clips([0])
        shown = Observe(64, Cameras(distance=(9.0, 9.0)))(clips, seeded())
        assert off(shown.object_points[0], clips.object_points[0]) == 0

    def test_repeats_in_a_batch_are_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        _log_repeats.cache_clear()
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                Observe(333)(grasps(ball(20).expand(2, -1, -1)), seeded())
        message = "observations: of some objects, fewer than 333 points are visible; they are repeated"
        assert caplog.messages == [message]


class TestErrors:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Observe(visibility="meshes"), "visibility: expected one of .*found 'meshes'; did you mean 'mesh'"),
            (lambda: Observe(thinning="fps"), "thinning: expected one of farthest, random, found 'fps'"),
            (lambda: Observe(noise=DepthNoise()), "noise: expected cameras with it"),
            (lambda: Observe(0), "n_points: expected at least one point of object and table, found 0"),
            (lambda: Observe(1, table=Table()), "n_points: expected at least one point of object and table, found 1"),
            (lambda: Observe(candidates=3), "candidates: expected at least 4 points, found 3"),
            (lambda: Observe(up=(0, 0, 0)), r"up: expected a nonzero vector of 3, found \[0, 0, 0\]"),
            (lambda: Observe(hidden_radius=1.0), "hidden_radius: expected more than 1, found 1.0"),
            (lambda: Cameras(0), "count: expected at least one camera, found 0"),
            (lambda: Cameras(distance=(0.5, 0.4)), r"distance: expected \[low, high\] with 0 < low <= high"),
            (lambda: Cameras(elevation=(0, 91)), r"elevation: expected \[low, high\] from -90 to 90 degrees"),
            (lambda: FixedCameras([]), r"places: expected at least one \(x, y, z\), found \[\]"),
            (lambda: DepthNoise(growth=-1), "growth: expected a number >= 0, found -1"),
            (lambda: DepthNoise(dropout=1), "dropout: expected a share below 1, found 1"),
            (lambda: Table(radius=0), "radius: expected a length > 0, found 0"),
            (lambda: Table(share=1), "share: expected a share between 0 and 1, found 1"),
        ],
    )
    def test_of_settings(self, make: Callable[[], object], message: str) -> None:
        with pytest.raises((DataError, UnknownName), match=message):
            make()

    def test_of_clouds(self) -> None:
        with pytest.raises(DataError, match=r"object_points: expected shape \(N, 3\) with N >= 1, found \(0, 3\)"):
            Observe()(grasp(torch.zeros(0, 3)), seeded())
        with pytest.raises(DataError, match="object_points: expected finite coordinates"):
            Observe()(grasp(torch.full((5, 3), torch.nan)), seeded())
        with pytest.raises(DataError, match=r"cameras: expected them outside the object's box, found one at \[0.01"):
            Observe(9, FixedCameras([(0.01, 0, 0)]))(grasp(ball(99)), seeded())
        with pytest.raises(DataError, match=r"plane: expected a normal and an offset \(4,\), found \[0.0, 0.0, 0.0, 1"):
            Observe(9, table=Table())(grasps(ball(99)[None], plane=torch.tensor([[0.0, 0, 0, 1]])), seeded())

    def test_of_cameras_that_see_nothing(self, tmp_path: Path) -> None:
        """Everything drops out."""
        with pytest.raises(DataError, match="cameras: expected some point of the object to be visible, found"):
            Observe(9, Cameras(), noise=DepthNoise(dropout=0.999999))(grasp(ball(99)), seeded())
