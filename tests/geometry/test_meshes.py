"""Oracle: what was written to the file, read by eye."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dexzoo.geometry.meshes import MeshError, check_mesh, load_mesh, mesh_hash

QUAD = """mtllib absent.mtl
v 0 0 0
v 1 0 0
v 9 9 9
v 1 1 0
v 0 1 0
vt 0 0
vt 1 1
usemtl none
f 1/1 2/2 4/1 5/2
"""


@pytest.mark.parametrize("suffix", ["obj", "stl", "ply", "off", "glb"])
def test_every_format_gives_the_box(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"box.{suffix}"
    trimesh.creation.box((0.1, 0.2, 0.3)).export(path)
    mesh = load_mesh(path)
    assert mesh.volume == pytest.approx(0.006)
    assert (len(mesh.vertices), len(mesh.faces)) == (8, 12)


def test_vertex_order_and_unused_vertices_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "quad.obj"
    path.write_text(QUAD)
    mesh = load_mesh(str(path))
    np.testing.assert_array_equal(mesh.vertices, [[0, 0, 0], [1, 0, 0], [9, 9, 9], [1, 1, 0], [0, 1, 0]])
    assert mesh.area == pytest.approx(1)


def test_parts_become_one_mesh(tmp_path: Path) -> None:
    parts = trimesh.Scene([trimesh.creation.box(), trimesh.creation.box(transform=np.diag([2.0, 2, 2, 1]))])
    parts.export(tmp_path / "two.glb")
    assert load_mesh(tmp_path / "two.glb").volume == pytest.approx(9)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.obj", None, "absent.obj: expected a mesh file, found nothing there"),
        ("empty.stl", "", "empty.stl: expected a mesh file, found an empty one; was a download cut short"),
        ("text.txt", "hello", "text.txt: expected one of .obj .stl .* found '.txt'"),
        ("points.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "points.obj: expected a triangle mesh, found no faces"),
        ("nan.obj", "v 0 0 0\nv 1 0 nan\nv 0 1 0\nf 1 2 3\n", r"nan.obj: expected finite vertices, found .* vertex 1"),
        ("range.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "range.off: expected"),
        ("cut.ply", "ply\nformat binary_little_endian 1.0\nelement vertex 9\n", "cut.ply: expected"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(MeshError, match=message):
        load_mesh(tmp_path / name)


def test_a_folder_is_named_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "mug.obj").write_text(QUAD)
    with pytest.raises(MeshError, match=r"expected a mesh file, found a folder; it holds mug\.obj"):
        load_mesh(tmp_path)


def test_the_hash_is_of_the_content() -> None:
    box = trimesh.creation.box()
    moved, reordered = box.copy(), box.copy()
    moved.vertices[0, 0] += 1e-12
    reordered.faces = np.roll(box.faces, 1, axis=0)
    assert mesh_hash(box) == mesh_hash(trimesh.creation.box())
    assert len({mesh_hash(mesh) for mesh in (box, moved, reordered)}) == 3


def test_the_hash_stays_the_same_in_later_versions() -> None:
    content = b"3 1" + struct.pack("<9d", 1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack("<3q", 0, 1, 2)
    mesh = trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False)
    assert mesh_hash(mesh) == hashlib.sha256(content).hexdigest()[:32]


@pytest.mark.parametrize("shape", [(3, 2), (3, 4), (9,)])
def test_vertices_of_another_shape_are_named(shape: tuple[int, ...]) -> None:
    mesh = trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False)
    mesh._data["vertices"] = np.ones(shape)
    with pytest.raises(MeshError, match=r"mug: expected vertices of shape \(V, 3\), found \("):
        check_mesh(mesh, "mug")
