"""A hand as one triangle mesh, for pictures and for metrics that need a surface."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import trimesh

from .points import LinkPoints
from .tree import Box, Capsule, Link, Tree


def hand_mesh(tree: Tree, rotation: np.ndarray, translation: np.ndarray, visual: bool = True) -> trimesh.Trimesh:
    """Mesh of all links in their world positions.

    Args:
        tree: the hand.
        rotation: (L, 3, 3), world_from_link.
        translation: (L, 3), metres.
        visual: draw the visual meshes of a link if it has any and the files exist, otherwise its primitives;
            False draws the primitives of every link.

    Returns:
        One mesh, world frame; links overlap, so it is not a solid.
    """
    parts = []
    for link, R, t in zip(tree.links, rotation, translation, strict=True):
        for part in link_meshes(link, visual):
            parts.append(trimesh.Trimesh(part.vertices @ R.T + t, part.faces, process=False))
    return cast(trimesh.Trimesh, trimesh.util.concatenate(parts))


def link_vertices(tree: Tree) -> LinkPoints:
    """Vertices of the links' meshes as drawn by `hand_mesh`, (n, 3) metres, link frame; without normals.

    A vertex counts once, even if the file repeats it for each triangle, as STL does.
    """
    links, positions = [], []
    for i, link in enumerate(tree.links):
        parts = [np.unique(np.round(part.vertices, 7), axis=0) for part in link_meshes(link)]
        positions += parts
        links += [np.full(len(part), i) for part in parts]
    position = torch.from_numpy(np.concatenate(positions))
    return LinkPoints(torch.from_numpy(np.concatenate(links)), position, torch.zeros_like(position))


def link_meshes(link: Link, visual: bool = True) -> list[trimesh.Trimesh]:
    """The meshes of one link, link frame."""
    drawn = [v.mesh() for v in link.visuals if v.found] if visual else []
    return drawn or [primitive_mesh(shape) for shape in (*link.capsules, *link.boxes)]


def primitive_mesh(shape: Capsule | Box, sections: int = 24) -> trimesh.Trimesh:
    """A watertight mesh of a primitive, link frame; round ones with `sections` segments each way."""
    pose = np.eye(4)
    if isinstance(shape, Box):
        pose[:3, :3], pose[:3, 3] = shape.rotation, shape.centre
        return trimesh.creation.box(2 * shape.half, pose)
    axis = shape.end - shape.start
    length = float(np.linalg.norm(axis))
    if length == 0:
        mesh = trimesh.creation.icosphere(subdivisions=3, radius=shape.radius)
    else:
        mesh = trimesh.creation.capsule(length, shape.radius, count=(sections, sections))
        mesh.apply_translation(-mesh.bounds.mean(0))  # trimesh 3 puts the start at the origin, trimesh 4 the middle
        pose[:3, :3] = np.asarray(trimesh.geometry.align_vectors([0, 0, 1], axis / length))[:3, :3]
    pose[:3, 3] = (shape.start + shape.end) / 2
    return mesh.apply_transform(pose)
