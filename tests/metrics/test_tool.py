"""The evaluation tool: closed-form values, resuming, what it refuses, and the same bits wherever it runs."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import trimesh

from dexzoo.grasps.files import GraspSet
from dexzoo.metrics.tool import EvaluationError, Settings, work
from dexzoo.metrics.tool.plan import limited
from dexzoo.metrics.tool.summary import column_stats

from .given_grasps import COUNTS, RADIUS, Given
from .small_hands import ball, fixed_hand, pose_at

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards that are measured in this process."""
    done: list[str] = []
    real = work.measure_chunk

    def counted(chunk):
        done.append(chunk.shard.name)
        return real(chunk)

    monkeypatch.setattr(work, "measure_chunk", counted)
    return done


def different(a: Path, b: Path) -> list[str]:
    """Columns of two results that are not the same bit for bit."""
    one, two = pq.read_table(a / "grasps.parquet"), pq.read_table(b / "grasps.parquet")
    assert one.schema == two.schema
    numbers = [name for name in one.column_names if name != "object"]
    found = [name for name in numbers if one[name].to_numpy().tobytes() != two[name].to_numpy().tobytes()]
    return found if one["object"] == two["object"] else ["object", *found]


class TestNumbers:
    def test_every_grasp_has_its_gap_in_the_order_of_the_input(self, given: Given) -> None:
        found = given.run()
        table = pq.read_table(given.out / "grasps.parquet")
        assert table.column_names[:3] == ["object", "row", "scale"]
        assert table["object"].to_pylist() == [name for name, count in COUNTS.items() for _ in range(count)]
        assert table["row"].to_pylist() == [100 + n for count in COUNTS.values() for n in range(count)]
        np.testing.assert_allclose(table["scale"], [0.02 + 1e-3 * n for c in COUNTS.values() for n in range(c)])
        expected = [0.1 * n + 0.02 if n != 1 else np.nan for count in COUNTS.values() for n in range(count)]
        np.testing.assert_allclose(table["gap_cm"], expected, atol=1e-5)
        touches = [np.nan if np.isnan(gap) else gap < 0.5 for gap in expected]
        np.testing.assert_array_equal(table["contact_ratio"], touches)
        assert found.table.schema == table.schema
        np.testing.assert_array_equal(found.table["gap_cm"], table["gap_cm"])
        assert all(file.exists() for file in found.files)

    def test_the_summary_counts_grasps_and_those_without_a_value(self, given: Given) -> None:
        given.run()
        summary = json.loads((given.out / "summary.json").read_text())
        values = {name: [0.1 * n + 0.02 for n in range(count) if n != 1] for name, count in COUNTS.items()}
        pooled = [x for each in values.values() for x in each]
        for stats, known, missing in (
            (summary["overall"]["gap_cm"], pooled, 2),
            *((summary["objects"][name]["gap_cm"], known, 1) for name, known in values.items()),
        ):
            assert stats["mean"] == pytest.approx(statistics.mean(known), abs=1e-5)
            assert stats["sd"] == pytest.approx(statistics.stdev(known), abs=1e-5)
            assert stats["median"] == pytest.approx(statistics.median(known), abs=1e-5)
            assert (stats["n"], stats["n_nan"]) == (len(known), missing)
        assert summary["columns"]["gap_cm"]["unit"] == "cm"
        assert summary["columns"]["contact_ratio"]["higher_is_better"] is True
        assert summary["settings"]["metrics"] == ["contact"]

    def test_statistics_of_none_and_one(self) -> None:
        nothing = column_stats(np.array([np.nan, np.nan]))
        assert np.isnan([nothing["mean"], nothing["sd"], nothing["median"]]).all()
        assert (nothing["n"], nothing["n_nan"]) == (0, 2)
        one = column_stats(np.array([3.0]))
        assert (one["mean"], one["median"], one["n"]) == (3, 3, 1)
        assert np.isnan(one["sd"])

    def test_a_limit_takes_grasps_from_first_to_last(self, given: Given) -> None:
        part = GraspSet("a", pose_at(given.hand, torch.zeros(10, 3)), torch.ones(10), torch.arange(10))
        assert limited(part, 4).rows.tolist() == [0, 3, 6, 9]
        assert limited(part, 10) is part
        found = given.run(settings=Settings(str(given.hand.spec.file), ("contact",), limit=3))
        assert found.table["row"].to_pylist() == [100, 104, 109, 100, 103, 106]

    def test_what_is_printed(self, given: Given, capsys: pytest.CaptureFixture[str]) -> None:
        assert given.main() == 0
        printed = capsys.readouterr().out
        assert "17 grasps of 2 objects" in printed
        assert "2 grasps contain numbers that are not finite" in printed
        assert "sem/slab-1" in printed
        overall = next(line for line in printed.splitlines() if line.startswith(" contact_ratio"))
        assert overall.split() == ["contact_ratio", "share", "higher", "0.53", "±", "0.52", "1.00", "15", "2"]


class TestResuming:
    def test_only_what_is_missing_is_measured(self, given: Given, calls: list[str], tmp_path: Path) -> None:
        given.run()
        assert len(calls) == 5  # 4 + 4 + 2 and 4 + 3 grasps
        before, shards = (given.out / "grasps.parquet").read_bytes(), sorted((given.out / "shards").iterdir())
        calls.clear()
        given.run()
        assert calls == []
        for shard in shards[1], shards[4]:
            shard.unlink()
        shards[0].write_bytes(shards[0].read_bytes()[:100])
        given.run()
        assert sorted(calls) == [shards[i].name for i in (0, 1, 4)]
        assert (given.out / "grasps.parquet").read_bytes() == before

    def test_a_stopped_run_goes_on(self, given: Given, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        real, done = work.measure_chunk, []

        def stopped(chunk):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(chunk)
            return real(chunk)

        with monkeypatch.context() as patch:
            patch.setattr(work, "measure_chunk", stopped)
            assert given.main() == 130
        assert "the same command goes on" in capsys.readouterr().err
        assert len(list((given.out / "shards").iterdir())) == 2
        done.clear()
        monkeypatch.setattr(work, "measure_chunk", lambda chunk: done.append(chunk) or real(chunk))
        assert given.main() == 0
        assert len(done) == 3
        assert "8 grasps are measured already" in capsys.readouterr().out
        given.run(out=given.folder / "at once")
        assert different(given.out, given.folder / "at once") == []

    def test_another_object_is_added(self, given: Given, calls: list[str]) -> None:
        given.run()
        calls.clear()
        given.write_grasps("new", 2)
        given.write_mesh("new.stl", trimesh.creation.box((2, 2, 2)))
        assert list(given.run().objects) == ["cube", "new", "sem/slab-1"]
        assert calls == ["new-000000.parquet"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"metrics": ("contact", "q1")}, r"metrics \(\['contact'\] there, \['contact', 'q1'\] now\)"),
            ({"legacy": True}, r"legacy \(False there, True now\)"),
            ({"limit": 3}, r"limit \(None there, 3 now\)"),
            ({"chunk": 5}, r"chunk \(4 there, 5 now\)"),
        ],
    )
    def test_other_settings_are_refused(self, given: Given, change: dict, message: str) -> None:
        given.run()
        with pytest.raises(EvaluationError, match=rf"holds results of other settings: {message}; choose another --out"):
            given.run(settings=replace(given.settings, **change))

    def test_another_hand_of_the_same_name_is_refused(self, given: Given) -> None:
        given.run()
        fixed_hand(given.folder / "hand", ball((0, 0, 0), 2 * RADIUS))
        with pytest.raises(EvaluationError, match=r"other settings: hand_key \('\w+' there"):
            given.run()

    def test_other_grasps_and_another_mesh_are_refused(self, given: Given) -> None:
        given.run()
        given.write_grasps("cube", 10, shift=0.001)
        with pytest.raises(EvaluationError, match=r"of another mesh, of object 'cube'; choose another"):
            given.run()
        given.write_grasps("cube", 10)
        given.run()
        given.write_mesh("sem-slab-1/coacd/decomposed.obj", trimesh.creation.box((4, 4, 3)))
        with pytest.raises(EvaluationError, match="of object 'sem/slab-1'"):
            given.run()


class TestWhereItRuns:
    @pytest.mark.slow
    def test_two_processes_give_the_same_bits_as_this_one(self, given: Given) -> None:
        given.run()
        given.run(out=given.folder / "two", workers=2)
        assert different(given.out, given.folder / "two") == []

    @pytest.mark.slow
    def test_an_error_in_a_process_reaches_the_caller(self, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
        (given.folder / "file").write_text("")
        monkeypatch.setenv("DEXZOO_CACHE", str(given.folder / "file" / "below"))
        with pytest.raises(ValueError, match="can't write to"):
            given.run(workers=2)

    @pytest.mark.slow
    def test_ray_gives_the_same_bits_and_skips_what_is_there(self, given: Given) -> None:
        pytest.importorskip("ray")
        given.run()
        two = given.folder / "ray"
        given.run(out=two, workers=2, runner="ray")
        assert different(given.out, two) == []
        kept, gone = sorted((two / "shards").iterdir())[:2]
        stamp = kept.stat().st_mtime_ns
        gone.unlink()
        given.run(out=two, workers=2, runner="ray")
        assert (kept.stat().st_mtime_ns, gone.exists()) == (stamp, True)
        assert different(given.out, two) == []

    def test_ray_that_is_not_installed_is_named(self, given: Given, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        monkeypatch.setitem(__import__("sys").modules, "ray", None)
        assert given.main("--ray") == 1
        assert 'pip install "dexzoo[ray]"' in capsys.readouterr().err
