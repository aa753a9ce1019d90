"""Batches of grasps: which, how often, in which order, seen how; against loops over plain lists."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.utils.data import DistributedSampler

from dexzoo.datamodules import Compose, DataError, Jitter, Observe, PerturbHand, UnknownName, Yaw
from dexzoo.datamodules.demo.grasp_module import DemoGrasps
from dexzoo.datamodules.grasp_store import GraspObject, GraspStore
from dexzoo.datamodules.grasps import GraspDataModule, GraspDataset, GraspParts, ObjectDataset
from dexzoo.datamodules.types import GraspBatch
from dexzoo.hands.pose import HandPose
from dexzoo.synthesis.grasps import SHIPPED, load_grasps
from dexzoo.synthesis.objects import TEST_OBJECTS, VAL_OBJECTS, object_mesh

JOINTS = 2
TABLES = np.array([[0, 0, 1.0], [1.0, 0, 0]])


def poses(n: int, seed: int = 0) -> HandPose:
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.normal(size=(n, 3))).as_matrix()
    parts = (torch.from_numpy(x).float() for x in (rng.normal(size=(n, 3)), turns, rng.normal(size=(n, JOINTS))))
    return HandPose(*parts, hand="two_joints")


def store(objects: Iterable[str], scales: Iterable[float] = (), tables: Iterable[int] = ()) -> GraspStore:
    """A grasp for each name, in this order; its scale and which of two tables its object stands on."""
    each, scale, table = list(objects), list(scales), list(tables)
    names = sorted(set(each))
    clouds = torch.from_numpy(np.random.default_rng(1).normal(size=(len(names), 40, 3))).float()
    index = np.array([names.index(name) for name in each])
    made = GraspStore.of(poses(len(each)), index, [GraspObject(name, Path(f"{name}.stl")) for name in names], clouds)
    numbers = made.numbers.copy()
    if scale:
        numbers[:, 12] = scale
    if table:
        noise = np.random.default_rng(2).normal(scale=1e-4, size=(len(table), 3))
        planes = np.column_stack([TABLES[table] + noise, np.full(len(table), 0.5)])
        numbers = np.column_stack([numbers, planes]).astype(np.float32)
    return replace(made, numbers=numbers)


class Plain(GraspDataModule):
    """Trains on all objects but the last two."""

    title = "plain"

    def load(self) -> GraspStore:
        return store([name for name in "abcd" for _ in range(6)])

    def split(self, store: GraspStore) -> GraspParts:
        return GraspParts.by_object(store, ["c"], ["d"])


def ready(**options: object) -> Plain:
    data = Plain("two_joints", batch_size=5, **options)  # type: ignore[arg-type]
    data.setup()
    return data


class TestStore:
    def test_clouds_have_the_scale_of_their_grasp(self) -> None:
        scales = [0.1, 0.3, 0.2]
        grasps, same = store("aab", scales), store("aab")
        batch, plain = grasps.batch([2, 0, 1]), same.batch([2, 0, 1])
        for i, k in enumerate((2, 0, 1)):
            torch.testing.assert_close(batch.object_points[i], scales[k] * plain.object_points[i])
        torch.testing.assert_close(grasps[1].object_points, 0.3 * same[1].object_points)

    def test_radii_are_about_the_centroid_and_scaled(self) -> None:
        cloud = torch.tensor([[5.0, 0, 0], [5, 0, 2], [5, 0, -2]])  # 2 about (5, 0, 0), 5 and more about the origin
        one = GraspStore.of(poses(2), np.zeros(2, np.int64), [GraspObject("a")], cloud[None])
        numbers = one.numbers.copy()
        numbers[:, 12] = [1.0, 0.5]
        assert replace(one, numbers=numbers).radii.tolist() == pytest.approx([2.0, 1.0])

    def test_grasps_in_memory_keep_their_numbers_and_are_counted_by_name(self) -> None:
        objects = [GraspObject("mug", Path("a.ply")), GraspObject("can"), GraspObject("mug", Path("b.ply"))]
        index = np.array([1, 0, 2, 1, 2, 0])
        clouds = torch.arange(18.0).reshape(3, 2, 3)
        made, pose = GraspStore.of(poses(6), index, objects, clouds), poses(6)
        batch = made.batch(range(6))
        assert batch.names == ("can/0", "mug/0", "mug/1", "can/1", "mug/2", "mug/3")
        assert [mesh and mesh.name for mesh in batch.meshes] == [None, "a.ply", "b.ply", None, "b.ply", "a.ply"]
        for name in ("translation", "rotation", "joints"):
            torch.testing.assert_close(getattr(batch.pose, name), getattr(pose, name))
        torch.testing.assert_close(batch.object_points, clouds[torch.from_numpy(index)])
        assert batch.scale.tolist() == [1.0] * 6
        assert made.object_names == ("mug", "can")

    def test_a_grasp_may_have_a_cloud_of_its_own(self) -> None:
        clouds = torch.arange(9.0).reshape(3, 1, 3)
        made = GraspStore.of(poses(3), np.zeros(3, np.int64), [GraspObject("mug")], clouds, np.array([2, 0, 1]))
        assert made.batch([0, 1, 2]).object_points[:, 0, 0].tolist() == [6.0, 0.0, 3.0]


class TestTraining:
    def test_an_epoch_deals_every_grasp_as_often_as_it_takes(self) -> None:
        for least, times in ((1, 1), (12, 1), (13, 2), (36, 3)):
            names = [name for batch in ready(min_grasps_per_epoch=least).train_dataloader() for name in batch.names]
            assert sorted(names) == sorted([f"{o}/{i}" for o in "ab" for i in range(6)] * times)

    def test_random_numbers_follow_from_seed_epoch_and_batch(self) -> None:
        def epoch(number: int, **options: object) -> list[GraspBatch]:
            data = ready(min_grasps_per_epoch=1, transforms=Compose([Jitter(0.01), PerturbHand(0.1)]), **options)
            loader = data.train_dataloader()
            loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
            return list(loader)

        def same(a: list[GraspBatch], b: list[GraspBatch]) -> bool:
            return all(
                x.names == y.names
                and x.object_points.equal(y.object_points)
                and x.pose.translation.equal(y.pose.translation)
                for x, y in zip(a, b, strict=True)
            )

        first = epoch(3)
        torch.rand(7)
        assert same(first, epoch(3))
        assert same(first, epoch(3, num_workers=1))
        assert not same(first, epoch(4))
        assert not same(first, epoch(3, seed=1))
        assert not (first[0].object_points[0] - first[0].object_points[1]).equal(
            first[1].object_points[0] - first[1].object_points[1]
        )

    def test_two_batches_of_one_grasp_are_shaken_apart(self) -> None:
        one = store(["a"])
        moved = GraspDataset(one, 0, [Jitter(0.01)])
        first, second = (moved.__getitems__([index]).object_points for index in (0, 1))  # grasp 0 in two passes
        assert not first.equal(second)
        assert (first - one.batch([0]).object_points).std() == pytest.approx(0.01, rel=0.2)

    def test_observing_comes_first_and_in_all_parts_transforms_only_in_training(self) -> None:
        data = ready(observe=Observe(n_points=8), transforms=Jitter(0.01), min_grasps_per_epoch=1)
        for batch in data.train_dataloader():
            assert batch.object_points.shape[1:] == (8, 3)
        for loader in (data.val_dataloader(), data.test_dataloader()):
            for batch in loader:
                whole = data.val.clouds[
                    [data.val.objects.index(GraspObject(o, Path(f"{o}.stl"))) for o in batch.objects]
                ]
                gap = (batch.object_points[:, :, None] - torch.from_numpy(whole)[:, None]).norm(dim=-1).amin(-1)
                assert batch.object_points.shape[1:] == (8, 3)
                assert gap.max() < 1e-5  # still points of the cloud

    def test_validation_is_the_same_each_time(self) -> None:
        data = ready(observe=Observe(n_points=8))
        first, second = (next(iter(data.val_dataloader())) for _ in range(2))
        assert first.object_points.equal(second.object_points)
        assert first.names == tuple(f"c/{i}" for i in range(6))


class TestTransforms:
    def test_yaw_leaves_hand_and_object_as_they_stand_to_each_other_and_to_the_table(self) -> None:
        before = store("abab", tables=[0, 1, 1, 0]).batch(range(4))
        after = Yaw()(before, torch.Generator().manual_seed(0))
        assert before.plane is not None
        assert after.plane is not None
        assert after.plane.equal(before.plane)
        assert not after.pose.translation.allclose(before.pose.translation, atol=0.05)
        normal, offset = after.plane[:, :3], after.plane[:, 3:]

        def heights(points: torch.Tensor) -> torch.Tensor:
            return (points @ (normal / normal.norm(dim=1, keepdim=True))[..., None]).squeeze(-1) + offset

        def in_palm(batch: GraspBatch) -> torch.Tensor:
            return (batch.object_points - batch.pose.translation[:, None]) @ batch.pose.rotation

        torch.testing.assert_close(heights(after.object_points), heights(before.object_points), atol=2e-5, rtol=0)
        palm = (x.pose.translation[:, None] for x in (after, before))
        torch.testing.assert_close(*(heights(x) for x in palm), atol=2e-5, rtol=0)
        torch.testing.assert_close(in_palm(after), in_palm(before), atol=2e-5, rtol=0)

    def test_jitter_moves_the_points_alone(self) -> None:
        before = store("ab", tables=[0, 1]).batch(range(2))
        after = Jitter(0.002)(before, torch.Generator().manual_seed(0))
        assert (after.object_points - before.object_points).std() == pytest.approx(0.002, rel=0.2)
        assert after.pose is before.pose
        assert after.plane is before.plane


def scenes_of(grasps: GraspStore, scales: str) -> list[list[int]]:
    """Twin by loops: indices of each scene."""
    plane = grasps.plane
    found: dict[tuple[str, float, int], list[int]] = {}
    for i, sample in enumerate(grasps):
        table = 0 if plane is None else int(np.argmin(np.linalg.norm(TABLES - plane[i, :3].numpy(), axis=1)))
        found.setdefault((sample.object, round(sample.scale, 5), table), []).append(i)
    if scales == "all":
        return sorted(found.values())
    chosen = []
    for name in grasps.object_names:
        sizes = sorted({size for o, size, _ in found if o == name})
        middle = statistics.median_low(sizes)
        chosen.append(max((v for (o, size, _), v in found.items() if (o, size) == (name, middle)), key=len))
    return sorted(chosen)


class TestObjects:
    RNG = np.random.default_rng(5)
    N = 400
    GRASPS = store(
        RNG.choice(["a", "b", "c"], N), RNG.choice([0.06, 0.08, 0.1, 0.15], N).tolist(), RNG.integers(0, 2, N).tolist()
    )
    FREE = store(RNG.choice(["a", "b", "c"], N), RNG.choice([0.06, 0.08, 0.15], N).tolist())

    @pytest.mark.parametrize("scales", ["one", "all"])
    @pytest.mark.parametrize("grasps", [GRASPS, FREE], ids=["tables", "free"])
    def test_a_scene_is_an_object_of_a_size_on_a_table(self, grasps: GraspStore, scales: str) -> None:
        dataset = ObjectDataset(grasps, 1000, scales)
        assert sorted(scene.tolist() for scene in dataset.scenes) == scenes_of(grasps, scales)
        for i in range(len(dataset)):
            batch = dataset[i]
            assert len(set(batch.objects)) == len(set(batch.scale.tolist())) == 1
            assert batch.names == grasps.batch(dataset.scenes[i]).names
            torch.testing.assert_close(batch.object_points, grasps.batch(dataset.scenes[i]).object_points)

    def test_grasps_are_spread_evenly(self) -> None:
        dataset = ObjectDataset(store("a" * 10 + "b" * 3 + "c"), 4)
        assert [scene.tolist() for scene in dataset.scenes] == [[0, 3, 6, 9], [10, 11, 12], [13]]

    def test_a_part_of_the_grasps_has_its_own_indices(self) -> None:
        part = self.FREE.of_objects({"b"})
        names = {name for i in range(3) for name in ObjectDataset(part, 1000, "all")[i].names}
        assert names == {sample.name for sample in part}

    def test_a_scene_is_seen_alike_by_all_its_grasps_and_each_time(self) -> None:
        dataset = ObjectDataset(self.GRASPS, 5, observe=Observe(n_points=8))
        batch = dataset[1]
        assert batch.object_points.shape == (5, 8, 3)
        assert (batch.object_points == batch.object_points[0]).all()
        assert batch.object_points.equal(dataset[1].object_points)
        other = ObjectDataset(self.GRASPS, 5, observe=Observe(n_points=8), seed=1)[1]
        assert not batch.object_points.equal(other.object_points)

    def test_the_loader_deals_scenes_and_can_be_shared_out(self) -> None:
        data = ready(eval_grasps=4)
        data.test_dataloader()
        assert [batch.names for batch in data.test_dataloader()] == [("d/0", "d/2", "d/3", "d/5")]
        dataset = ObjectDataset(self.FREE, 5, "all")
        shares = [list(DistributedSampler(dataset, 2, rank, shuffle=False)) for rank in (0, 1)]
        assert {*shares[0], *shares[1]} == set(range(9))

    def test_unknown_settings(self) -> None:
        with pytest.raises(DataError, match=r"^eval_grasps: expected 1 or more, found 0"):
            Plain(eval_grasps=0)
        with pytest.raises(UnknownName, match=r"eval_scales: expected one of all, one, found 'al'"):
            Plain(eval_scales="al")
        with pytest.raises(DataError, match=r"batch_size: expected 1 or more, found 0"):
            Plain(batch_size=0)
        with pytest.raises(DataError, match=r"plain: call setup\(\) before asking for data"):
            _ = Plain().train


class TestParts:
    def test_a_missing_part_or_a_torn_object_is_named(self) -> None:
        data, whole = Plain(), store("aabb")
        with pytest.raises(DataError, match="found none for test"):
            data.check(GraspParts.by_object(whole, ["b"], ["z"]))
        with pytest.raises(DataError, match="found object b in more than one"):
            data.check(GraspParts(whole, whole.of_objects(set()), whole.of_objects({"b"})))

    def test_parts_count_what_they_hold(self) -> None:
        data = ready()
        assert [data.describe(part) for part in (data.train, data.val)] == [
            "12 grasps of 2 objects",
            "6 grasps of 1 objects",
        ]
        assert data.fold_ids() == [None]


class TestDemo:
    @pytest.fixture
    def data(self) -> DemoGrasps:
        data = DemoGrasps(n_object_points=64)
        data.setup()
        return data

    def test_every_shipped_grasp_is_in_the_part_of_its_object(self, data: DemoGrasps) -> None:
        assert set(data.test.object_names) == set(TEST_OBJECTS)
        assert set(data.val.object_names) == set(VAL_OBJECTS)
        assert len(data.train) + len(data.val) + len(data.test) == 672
        assert data.is_demo
        assert "demo data" in data.title
        with np.load(SHIPPED) as file:
            for name in ("can", "jar"):
                part = data.train if name == "can" else data.test
                batch = part.of_objects({name}).batch(range(48))
                assert batch.names == tuple(f"{name}/{i}" for i in range(48))
                np.testing.assert_allclose(batch.pose.to_vector(), file[f"{name}/pose"], atol=1e-6)

    def test_clouds_lie_on_the_objects(self, data: DemoGrasps) -> None:
        (jar,) = (batch for batch in data.test_dataloader() if batch.objects[0] == "jar")
        box = torch.tensor(object_mesh("jar").bounds).float()
        assert jar.object_points.shape == (48, 64, 3)
        assert ((jar.object_points >= box[0] - 1e-6) & (jar.object_points <= box[1] + 1e-6)).all()
        assert jar.meshes[0] is not None
        assert jar.meshes[0].is_file()

    def test_some_of_the_objects(self) -> None:
        data = DemoGrasps(objects=("can", "jar"), n_object_points=16)
        data.setup()
        assert (data.train.object_names, len(data.val), data.test.object_names) == (("can",), 0, ("jar",))
        assert data.val_dataloader() == []
        with pytest.raises(UnknownName, match=r"demo object: .*did you mean 'jar'"):
            DemoGrasps(objects=("jra",))

    def test_grasps_of_other_objects(self, tmp_path: Path) -> None:
        with np.load(SHIPPED) as file:
            kept = {k: file[k] for k in file.files if not k.startswith("mug/")} | {"objects": np.array(["can"])}
        np.savez(tmp_path / "own.npz", **kept)
        assert list(load_grasps(tmp_path / "own.npz")) == ["can"]
        with pytest.raises(DataError, match=r"own\.npz: expected grasps of jar, found can"):
            DemoGrasps(grasps=tmp_path / "own.npz", objects=("can", "jar")).load()
        with pytest.raises(DataError, match="expected grasps of hand 'shadow_e3m5', found 'shadow'"):
            DemoGrasps("shadow_e3m5").load()
