"""The displacement that the scripts of ObMan and GraspTTA compute, in PyBullet: for a row beside published numbers.

Written from a description, flaws included: the hand is a shell of triangles, the object turns
about the mean of its mesh's vertices instead of its centre of mass, and 1/240 s has not converged. PyBullet is the
optional extra "legacy".
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import trimesh

from ..files.cache import cached, content_key
from ..grasps.asset import ObjectAsset
from ..grasps.posed import PosedGrasps
from .fall import Fall, angle_of

TIMESTEP = 1 / 240
FRICTION = 3.0
"""Of each body; Bullet multiplies the two."""
VHACD = {
    "resolution": 1000, "concavity": 0.001, "planeDownsampling": 4, "convexhullDownsampling": 4, "alpha": 0.05,
    "beta": 0.0, "pca": 0, "mode": 0, "maxNumVerticesPerCH": 64, "minVolumePerCH": 1e-4,
}  # fmt: skip
_HAND_RESTITUTION, _OBJECT_RESTITUTION, _ITERATIONS = 0.0, 0.5, 150


def bullet_fall(grasps: PosedGrasps, acceleration: np.ndarray, duration: float, mass: float) -> Fall:
    """Lets the object of each of B grasps fall along each of its accelerations (B, D, 3), m/s^2.

    Raises:
        ImportError: PyBullet is not installed.
    """
    bullet, steps = _bullet(), max(1, round(duration / TIMESTEP))
    shape, depths = acceleration.shape[:2], np.zeros(len(grasps))
    moved = np.zeros((*shape, 4))
    client = bullet.connect(bullet.DIRECT)
    try:
        for b in range(len(grasps)):
            for d, vector in enumerate(acceleration[b]):
                depths[b], moved[b, d] = _drop(bullet, client, grasps[b : b + 1], vector, mass, steps)
    finally:
        bullet.disconnect(client)
    failed = np.asarray(~np.isfinite(moved).all(-1), np.bool_)
    displacement, angle, speed, contact = np.where(failed[..., None], np.nan, moved).transpose(2, 0, 1)
    free = np.linalg.norm(acceleration, axis=-1) * TIMESTEP**2 * steps * (steps + 1) / 2
    return Fall(displacement, angle, (contact > 0) & ~failed, failed, depths, speed, free)


def _drop(
    bullet: Any, client: int, grasp: PosedGrasps, acceleration: np.ndarray, mass: float, steps: int
) -> tuple[float, list[float]]:
    """Initial depth; displacement, angle, peak speed and whether there is contact at the end."""
    bullet.resetSimulation(physicsClientId=client)
    bullet.setPhysicsEngineParameter(
        enableFileCaching=0, numSolverIterations=_ITERATIONS, fixedTimeStep=TIMESTEP, physicsClientId=client
    )
    bullet.setGravity(*acceleration.tolist(), physicsClientId=client)
    start = grasp.object.mesh.vertices.mean(0) * float(grasp.scales[0])  # the origin here: Bullet counts in float32
    hand = _add_hand(bullet, client, grasp, start)
    body = _add_object(bullet, client, grasp.object, float(grasp.scales[0]), mass)
    bullet.performCollisionDetection(physicsClientId=client)
    touching = bullet.getContactPoints(hand, body, physicsClientId=client)
    depth = max([-point[8] for point in touching], default=0.0)  # 8 is the distance of a contact point
    speed = 0.0
    for _ in range(steps):
        bullet.stepSimulation(physicsClientId=client)
        velocity, _ = bullet.getBaseVelocity(body, physicsClientId=client)
        speed = max(speed, float(np.linalg.norm(velocity)))
    position, quaternion = bullet.getBasePositionAndOrientation(body, physicsClientId=client)
    contact = float(any(point[8] <= 0 for point in bullet.getContactPoints(hand, body, physicsClientId=client)))
    angle = float(angle_of(np.roll(quaternion, 1)))  # Bullet's quaternions end with w
    return max(depth, 0.0), [float(np.linalg.norm(position)), angle, speed, contact]


def _add_hand(bullet: Any, client: int, grasp: PosedGrasps, start: np.ndarray) -> int:
    mesh = grasp.hand.mesh(grasp.pose[0], visual=False)
    shape = bullet.createCollisionShape(
        bullet.GEOM_MESH, vertices=(mesh.vertices - start).tolist(), indices=mesh.faces.ravel().tolist(),
        flags=bullet.GEOM_FORCE_CONCAVE_TRIMESH, physicsClientId=client,
    )  # fmt: skip
    return _add_body(bullet, client, shape, 0.0, _HAND_RESTITUTION)


def _add_object(bullet: Any, client: int, asset: ObjectAsset, scale: float, mass: float) -> int:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "object.obj"
        path.write_bytes(decomposition(asset, scale))
        shape = bullet.createCollisionShape(bullet.GEOM_MESH, fileName=str(path), physicsClientId=client)
    return _add_body(bullet, client, shape, mass, _OBJECT_RESTITUTION)


def _add_body(bullet: Any, client: int, shape: int, mass: float, restitution: float) -> int:
    seen = bullet.createVisualShape(bullet.GEOM_SPHERE, radius=0.001, physicsClientId=client)  # else it reads the file
    body = bullet.createMultiBody(mass, shape, seen, [0.0, 0.0, 0.0], physicsClientId=client)
    bullet.changeDynamics(body, -1, lateralFriction=FRICTION, restitution=restitution, physicsClientId=client)
    return body


def decomposition(asset: ObjectAsset, scale: float) -> bytes:
    """An OBJ of the object's convex pieces by V-HACD, about the mean of its vertices; kept in the cache.

    The scripts in use make it anew for every grasp, which is most of their time: see `vhacd`.
    """
    key = content_key(asset.key, scale, VHACD)
    mesh = trimesh.Trimesh(asset.mesh.vertices * scale, asset.mesh.faces, process=False)
    entry = cached("vhacd-1", key, lambda: {"obj": np.frombuffer(vhacd(mesh), np.uint8)})
    return entry["obj"].tobytes()


def vhacd(mesh: trimesh.Trimesh) -> bytes:
    """Bullet's V-HACD with the parameters of the scripts in use, of the mesh moved to the mean of its vertices.

    Returns:
        An OBJ with one group per convex piece, metres.

    Raises:
        ImportError: PyBullet is not installed.
        RuntimeError: V-HACD wrote nothing.
    """
    bullet = _bullet()
    with TemporaryDirectory() as folder:
        before, after, log = (str(Path(folder) / name) for name in ("mesh.obj", "pieces.obj", "log.txt"))
        trimesh.Trimesh(mesh.vertices - mesh.vertices.mean(0), mesh.faces, process=False).export(before)
        with _silence():
            bullet.vhacd(before, after, log, **VHACD)
        pieces = Path(after).read_bytes() if Path(after).exists() else b""
    if not pieces:
        raise RuntimeError(f"V-HACD: expected convex pieces of a mesh of {len(mesh.faces)} faces, found none")
    return pieces


@contextmanager
def _silence() -> Iterator[None]:
    """Sends the standard output of the process, of C code as well, to nowhere."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
        ctypes.CDLL(None).fflush(None)  # what C code has not written yet
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _bullet() -> Any:
    """PyBullet, which prints a line when it is first imported."""
    try:
        with _silence():
            import pybullet
    except ImportError as error:
        raise ImportError('mode "legacy_bullet" needs PyBullet: pip install "dexzoo[legacy]"') from error
    return pybullet
