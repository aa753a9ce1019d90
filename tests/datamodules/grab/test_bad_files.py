"""Each bad file is named, with the key, what was expected and what was found; nothing of it runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from dexzoo.datamodules.grab import GrabMotion, read_labels
from dexzoo.datamodules.grab.files import find_tree
from dexzoo.datamodules.grab.tracks import read_tracks
from dexzoo.files.errors import BadFile
from dexzoo.files.unpickle import UnsafePickleError

from .conftest import LEFT_TEMPLATE, OBJECT, TEMPLATE, T, content, save

Writer = Callable[..., Path]


@pytest.fixture(autouse=True)
def _model(mano: Path) -> None:
    """The stand-in for MANO is there."""


def read(root: Path, **options: Any) -> list:
    return GrabMotion(root, **({"n_object_points": 8} | options)).load()


def with_nan(array: np.ndarray, *place: int) -> np.ndarray:
    array[place] = np.nan
    return array


class TestKeysAndShapes:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"framerate": 60.0}, "framerate: expected 120 frames per second, found 60"),
            ({"framerate": "fast"}, "framerate: expected a number, found 'fast'"),
            ({"framerate": ...}, "framerate: expected the keys framerate, n_frames, .* found none called 'framerate'"),
            ({"n_frames": T + 1}, rf"body\['params'\]\['body_pose'\]: expected \({T + 1}, 63\) numbers.*\({T}, 63\)"),
            ({"n_frames": 1}, "n_frames: expected at least 2 frames, found 1"),
            ({"n_frames": float("nan")}, "n_frames: expected a number, found nan"),
            ({"rhand": ...}, "rhand: expected the keys .* found none called 'rhand'"),
            ({"rhand": np.zeros(3)}, "rhand: expected a dict with the key 'params', a dict, found ndarray"),
            ({"rhand__params": ...}, "rhand: expected a dict with the key 'params', a dict, found vtemp"),
            (
                {"rhand__params__fullpose": ...},
                r"\['fullpose'\]: expected the keys .* found transl, global_orient, hand_",
            ),
            ({"rhand__params__fullpose": np.zeros((T, 24))}, r"\['fullpose'\]: expected \(240, 45\) .* \(240, 24\) of"),
            ({"rhand__params__fullpose": [[0.0] * 45] * T}, r"\['fullpose'\]: expected .* found list"),
            ({"rhand__params__transl": np.full((T, 3), "a")}, r"\['transl'\]: expected \(240, 3\) numbers.* of <U1"),
            (
                {"rhand__params__transl": with_nan(np.zeros((T, 3)), 7, 1)},
                r"rhand\['params'\]\['transl'\]: expected finite numbers under 100 .*, found nan at frame 7, column 1",
            ),
            (
                {"object__params__transl": np.full((T, 3), np.inf)},
                r"object\['params'\]\['transl'\]: expected finite numbers under 100 .*, found inf at frame 0, column 0",
            ),
            (
                {"rhand__params__transl": np.full((T, 3), 884.0)},
                r"\['transl'\]: expected finite numbers under 100 \(metres, radians\), found 884.0 at frame 0",
            ),
            ({"object__object_mesh": ...}, r"object\['object_mesh'\]: expected a path .*, found None"),
            ({"rhand__vtemp": 3}, r"rhand\['vtemp'\]: expected a path relative to the root of GRAB, found 3"),
            ({"contact": ...}, "contact: expected the keys contact, n_frames, found none called 'contact'"),
            ({"contact": None}, "contact: expected a dict of labels for 'object' and 'body', found NoneType"),
            ({"contact__object": ...}, r"contact\['object'\]: expected \(240, V\) integers, found NoneType"),
            ({"contact__object": np.zeros((T, 5))}, r"contact\['object'\]: expected \(240, V\) integers, .* float64"),
            (
                {"contact__object": np.zeros((9, 5), int)},
                r"contact\['object'\]: expected \(240, V\) integers, .*\(9, 5\)",
            ),
            ({"contact__object": np.full((T, 5), 56)}, r"contact\['object'\]: expected labels 0 to 55, found 56 to 56"),
            ({"contact__object": np.full((T, 5), -1)}, r"contact\['object'\]: expected labels 0 to 55, found -1 to -1"),
            ({"contact__body": np.zeros((T, 778), int)}, r"contact\['body'\]: expected \(240, 10475\) integers"),
        ],
    )
    def test_are_named(self, write: Writer, root: Path, changes: dict, message: str) -> None:
        write(**changes)
        with pytest.raises(BadFile, match=message):
            read(root)

    def test_an_array_that_is_not_boxed(self, root: Path) -> None:
        data = content(642)
        np.savez(root / "grab/s1/mug_lift.npz", **{**data, "body": np.zeros((2, 2))}, allow_pickle=True)  # type: ignore[arg-type]
        with pytest.raises(BadFile, match=r"body: expected a 0-d object array, found one of shape \(2, 2\)"):
            read(root)

    def test_an_unknown_object(self, write: Writer, root: Path) -> None:
        write("s1/teacup_lift")
        with pytest.raises(BadFile, match=r"teacup_lift\.npz: expected a name .* GRAB's objects, found 'teacup'"):
            read(root)

    def test_labels_asked_for_alone(self, write: Writer) -> None:
        with pytest.raises(BadFile, match="n_frames: expected a number, found None"):
            read_labels(write(n_frames=None))


class TestFilesNamedInside:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"object__object_mesh": "tools/cup.ply"},
                r"\['object_mesh'\]: expected a path .* 'tools/cup.ply', which is",
            ),
            (
                {"rhand__vtemp": "tools/s2.ply"},
                r"rhand\['vtemp'\]: expected a path .* 'tools/s2.ply', which is not there",
            ),
            (
                {"object__object_mesh": "../mug.ply"},
                r"expected a file inside `root`, found one that leads to .*mug.ply",
            ),
            (
                {"object__object_mesh": "/etc/hosts"},
                "expected a file inside `root`, found one that leads to /etc/hosts",
            ),
            ({"object__object_mesh": "a" * 5000}, r"\['object_mesh'\]: expected a path to a file .* too long"),
            ({"rhand__vtemp": OBJECT}, r"mug\.ply: expected the template of a hand, 778 vertices, found \d+"),
            (
                {"rhand__vtemp": LEFT_TEMPLATE},
                r"s1_lhand\.ply: expected a right hand in MANO's flat pose, found fingers",
            ),
        ],
    )
    def test_are_named(self, write: Writer, root: Path, changes: dict, message: str) -> None:
        write(**changes)
        with pytest.raises(BadFile, match=message):
            read(root)

    def test_paths_of_another_system(self, write: Writer, root: Path) -> None:
        write(object__object_mesh=OBJECT.replace("/", "\\"))
        assert len(read(root)) == 1

    @pytest.mark.parametrize("name", [OBJECT, TEMPLATE])
    def test_a_broken_mesh(self, root: Path, name: str) -> None:
        (root / name).write_bytes((root / name).read_bytes()[:200])
        with pytest.raises(BadFile, match=Path(name).name):
            read(root)

    def test_a_link_out_of_the_root(self, root: Path, tmp_path: Path) -> None:
        inside = root / OBJECT
        inside.rename(tmp_path / "elsewhere.ply")
        inside.symlink_to(tmp_path / "elsewhere.ply")
        with pytest.raises(BadFile, match=r"expected a file inside `root`, found one that leads to .*elsewhere\.ply"):
            read(root)
        sequence = root / "grab/s1/mug_lift.npz"
        sequence.rename(tmp_path / "mug_lift.npz")
        sequence.symlink_to(tmp_path / "mug_lift.npz")
        with pytest.raises(BadFile, match=r"expected a file inside `root`, found one that leads to .*mug_lift\.npz"):
            read(root)

    def test_without_points_no_mesh_is_needed(self, root: Path) -> None:
        (root / OBJECT).unlink()
        (clip,) = read(root, object_points="none")
        assert clip.mesh is None
        assert clip.object_points.shape == (0, 3)


class TestDamage:
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_truncated(self, root: Path, share: float) -> None:
        path = root / "grab/s1/mug_lift.npz"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(BadFile, match=r"mug_lift\.npz: expected a complete npz file"):
            read(root)

    @pytest.mark.slow
    def test_flipped_bits_end_in_an_error_that_names_the_file(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Zip keeps a checksum of every member, so nothing damaged passes for data."""
        path, tree = root / "grab/s1/mug_lift.npz", find_tree(root)
        good, rng = path.read_bytes(), np.random.default_rng(0)
        expected, messages = read_tracks(tree, path), []
        for number in range(60):
            raw = bytearray(good)
            place = int(rng.integers(len(raw))) if rng.random() < 0.5 else len(raw) - int(rng.integers(1, 900))
            raw[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(raw)
            monkeypatch.setenv("DEXZOO_CACHE", str(root / f"unused{number}"))
            try:
                np.testing.assert_array_equal(read_tracks(tree, path).hand, expected.hand)
            except (BadFile, UnsafePickleError) as error:
                messages.append(str(error))
        assert len(messages) > 5
        assert all("mug_lift" in message for message in messages)

    def test_code_is_refused_and_never_skipped(self, root: Path) -> None:
        marker = root / "executed"

        class Evil:
            def __reduce__(self) -> tuple:
                return os.system, (f"touch '{marker}'",)

        save(root / "grab/s1/mug_lift.npz", {**content(642), "body": Evil()})
        for on_bad in ("raise", "skip"):
            with pytest.raises(UnsafePickleError, match=r"mug_lift\.npz: refused to load `\w+\.system`"):
                read(root, on_bad=on_bad)
        assert not marker.exists()

    def test_skipped_sequences_are_logged_and_counted(
        self, write: Writer, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write("s1/hammer_lift", object__object_mesh="tools/hammer.ply")
        write("s1/apple_lift", rhand__params__transl=np.zeros((3, 3)))
        data = GrabMotion(root, on_bad="skip", n_object_points=8)
        with caplog.at_level(logging.WARNING):
            assert [clip.object for clip in data.load()] == ["mug"]
        assert "left out 2 of 3 sequences" in caplog.text
        assert ["apple_lift" in data.skipped[0], "hammer" in data.skipped[1]] == [True, True]

    def test_a_closed_template_is_read_as_well(self, root: Path) -> None:
        """Only its vertices count; some tools close the wrist with more faces."""
        mesh = trimesh.load_mesh(root / TEMPLATE, process=False)
        mesh.faces = np.concatenate([mesh.faces, [[0, 1, 2]]])
        mesh.export(root / TEMPLATE)
        assert len(read(root)) == 1
