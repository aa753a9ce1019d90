"""Simulation of an object in a hand that holds still, with rigid bodies in MuJoCo.

The hand is a rigid obstacle at the given pose: it does not squeeze, and friction only arises from the object's weight
and the push of a residual penetration. The displacement of an object that is not held is that of a free fall, so a mean
over grasps is close to a success rate in disguise: report the fraction below 1, 2 and 3 cm as well, and name the
engine, because no two engines agree within 0.1 cm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...grasps.posed import PosedGrasps
from ...simulation.arena import HALF_AXES, Array, Physics
from ...simulation.fall import Fall, Scene, fall
from ...simulation.protocol import Protocol, load_protocol
from ...simulation.trial import Stop, Trial, try_grasps

Gravity = Sequence[float] | Tensor | np.ndarray | Literal["six"]

G = 9.8
"""m/s^2, of the six directions and of the default gravity."""
DURATION = 35 / 240
"""Seconds simulated in related work."""
_LEGACY_GRAVITY = (0.0, G, 0.0)  # of scripts whose objects are in a camera frame, y down
EJECTED = 1.05
"""An object that moved farther than this many free falls was pushed out by an overlap."""


@dataclass(frozen=True)
class Simulation:
    """Motion of an object in each hand; (B,) CPU tensors, NaN or False where the pose is not finite.

    With `gravity="six"` displacement and rotation are means over the directions, the speed is the largest, and a flag
    is set if it is in any direction (`contact_at_end`: in all).

    Attributes:
        displacement: metres, of the centre of mass between start and end; the free fall if the simulation failed.
        rotation: radians, between start and end; NaN if the simulation failed.
        peak_speed: m/s, the largest of the centre of mass at any step; NaN if the simulation failed.
        initial_depth: metres, deepest contact before the first step, 0 without contact.
        contact_at_end: the hand touches the object in its last pose.
        ejected: moved farther than 1.05 free falls, pushed out by an overlap.
        failed: the simulation diverged.
    """

    displacement: Tensor
    rotation: Tensor
    peak_speed: Tensor
    initial_depth: Tensor
    contact_at_end: Tensor
    ejected: Tensor
    failed: Tensor


def sim_displacement(
    grasps: PosedGrasps,
    gravity: Gravity | None = None,
    duration: float = DURATION,
    timestep: float = 0.002,
    friction: float = 3.0,
    mass: float = 1.0,
    threads: int | None = None,
    mode: Literal["exact", "legacy_bullet"] = "exact",
) -> Simulation:
    """Displacement of the object under gravity within `duration` while the hand holds still.

    Args:
        grasps: B grasps.
        gravity: (3,), m/s^2, object frame; or "six": mean over 9.8 m/s^2 along the six half axes of that frame. None is
            9.8 m/s^2 against `PosedGrasps.up`, or "six" for grasps whose up direction is unknown; in the legacy mode
            along +y, whatever is up, as in related work.
        duration: seconds.
        timestep: seconds; 1/240 has not converged.
        friction: sliding friction of hand and object (MuJoCo takes the larger of the two; both have this one).
        mass: kilograms; the result does not depend on it.
        threads: of MuJoCo, None for as many as torch uses; the result does not depend on it.
        mode: "legacy_bullet" is the protocol of GraspTTA and ObMan, in PyBullet: triangle-mesh hand, V-HACD, vertex
            mean as centre of mass, 1/240 s. It ignores `timestep`, `friction` and `threads`.

    Returns:
        See `Simulation`; a pose that is not finite gives NaN, a diverged simulation the free fall and `failed`.

    Raises:
        ValueError: a setting that is not a positive, finite number; an unknown mode.
        MeshError: the object's pieces have no volume.
        ImportError: PyBullet is needed but not installed.
    """
    _check_positive(duration=duration, timestep=timestep, friction=friction, mass=mass)
    if mode == "legacy_bullet":
        from ...simulation.bullet import bullet_fall

        pulls = _directions(_LEGACY_GRAVITY if gravity is None else gravity)
        known = _known(grasps)
        return _summary(bullet_fall(known, _for_each(known, pulls), duration, mass), grasps.valid)
    if mode != "exact":
        raise ValueError(f"mode: expected 'exact' or 'legacy_bullet', found {mode!r}")
    physics, steps = Physics(timestep, friction, mass), _steps(duration, timestep)

    def simulate(some: PosedGrasps, pulls: Array) -> Simulation:
        return _summary(fall(_known(some), pulls[some.valid.numpy()], steps, physics, threads), some.valid)

    if gravity is not None:
        return simulate(grasps, _for_each(grasps, _directions(gravity)))
    down, known = -G * grasps.ups.numpy()[:, None], grasps.ups.isfinite().all(1)
    if known.all():
        return simulate(grasps, down)
    six = _for_each(grasps, _directions("six"))
    parts = [(w, simulate(grasps[w], pulls[w.numpy()])) for w, pulls in ((known, down), (~known, six)) if w.any()]
    return _merged(parts, len(grasps))


@dataclass(frozen=True)
class Success:
    """What a protocol found of B grasps, each pulled at in D ways, usually along +x, -x, +y, -y, +z, -z; CPU tensors.

    A pose that is not finite has NaN (False for flags) everywhere, and so no success.

    Attributes:
        protocol: the test.
        displacement: (B, D), metres, of the point that must stay; NaN if the simulation failed.
        rotation: (B, D), radians; NaN likewise.
        held: (B, D), bool, the pull was withstood.
        contact_left: (B, D), bool, the hand touches the object at the end, DexGraspNet's success criterion.
        failed: (B,), bool, a simulation diverged.
        initial_depth: (B,), metres, deepest contact in the given pose.
        open_depth: (B,), metres, in the pregrasp, of the hand with itself as well.
        size: (B,), largest size of the load at which all pulls were withstood; 0 for none.
    """

    protocol: Protocol
    displacement: Tensor
    rotation: Tensor
    held: Tensor
    contact_left: Tensor
    failed: Tensor
    initial_depth: Tensor
    open_depth: Tensor
    size: Tensor

    def each(self) -> Tensor:
        """(B, D), bool: the pulls that count as withstood; none of a grasp that began too deep."""
        return self.held & self.shallow()[:, None]

    def shallow(self) -> Tensor:
        """(B,), bool: both depths are within the protocol's limits."""
        given, opened = self.protocol.passed.depth, self.protocol.passed.open_depth
        most = [np.inf if limit is None else limit for limit in (given, opened)]
        return (self.initial_depth <= most[0]) & (self.open_depth <= most[1])

    def success(self, distance: float | None = None, angle: float | None = None) -> Tensor:
        """Whether the object stayed under all pulls.

        Args:
            distance: metres, largest displacement at the end of a pull; None for the protocol's own rule.
            angle: radians, largest rotation; None likewise, or any angle if there is a distance.

        Returns:
            (B,), bool; False if a simulation failed, or a depth exceeds the protocol's limit.
        """
        if distance is None and angle is None:
            return self.each().all(1) & ~self.failed
        stayed = (self.displacement < (distance or np.inf)) & (self.rotation < (np.inf if angle is None else angle))
        return stayed.all(1) & ~self.failed & self.shallow()

    def success_contact(self) -> Tensor:
        """(B,), bool: the hand still touches the object at the end of all pulls, DexGraspNet's criterion; False if a
        simulation failed.
        """
        return self.contact_left.all(1) & ~self.failed


def success(
    grasps: PosedGrasps,
    protocol: str | Protocol = "fixed",
    duration: float | None = None,
    friction: float | None = None,
    threads: int | None = None,
    pregrasp: Tensor | None = None,
    squeeze: Tensor | None = None,
    stop: Stop = "end",
) -> Success:
    """Tests grasps as a named protocol does: `simulation/protocols` says each of its numbers and where it comes from.

    With a hand that stands still ("fixed", "realdex") a grasp that needs a squeeze cannot pass. The others close the
    hand from `pregrasp` to the grasp and squeeze towards `squeeze`; most data sets contain only the grasp, then the
    protocol's rule derives both.

    Args:
        grasps: B grasps.
        protocol: a name, the path of a YAML of your own, or a `Protocol`.
        duration: seconds of pull, None for the protocol's.
        friction: sliding friction of all surfaces, None for the protocol's.
        threads: of the simulation, None for as many as torch uses; the result does not depend on it.
        pregrasp, squeeze: (B, J), radians, postures; None takes those of `grasps`, where they have some.
        stop: "pull" ends one as soon as its verdict is certain, displacements are those of then; "grasp" leaves out all
            after the first that is not withstood as well.

    Raises:
        DataError: unknown protocol.
        ValueError: postures of the wrong shape, or a setting that is not positive.
        HandError: the hand has ball joints, and the protocol drives them.
    """
    test = load_protocol(protocol)
    _check_positive(duration=1.0 if duration is None else duration, friction=1.0 if friction is None else friction)
    if duration is not None:
        test = replace(test, load=replace(test.load, seconds=duration))
    if friction is not None:
        test = test.varied("friction", friction / test.object.friction[0])
    given = {name: x for name, x in (("pregrasp", pregrasp), ("squeeze", squeeze)) if x is not None}
    known = _known(replace(grasps, **given) if given else grasps)
    found: Trial = try_grasps(known, test, known.pregrasp, known.squeeze, threads=threads, stop=stop)
    return Success(
        protocol=test,
        displacement=_spread(found.displacement, grasps.valid),
        rotation=_spread(found.rotation, grasps.valid),
        held=_spread(found.held, grasps.valid),
        contact_left=_spread(found.contact, grasps.valid),
        failed=_spread(np.asarray(found.failed.any(1)), grasps.valid),
        initial_depth=_spread(found.depth, grasps.valid),
        open_depth=_spread(found.open_depth, grasps.valid),
        size=_spread(found.size, grasps.valid),
    )


def contact_depth(grasps: PosedGrasps) -> Tensor:
    """Depth of the deepest contact that MuJoCo finds between the hand's shapes and the object's convex pieces.

    It is the least translation that separates the two convex shapes: the penetration depth for a shallow overlap, at
    most half the thickness in a thin wall.

    Returns:
        (B,), metres, 0 without contact, NaN for a pose that is not finite.
    """
    return _spread(Scene(_known(grasps), Physics()).depth(), grasps.valid)


def _summary(fallen: Fall, valid: Tensor) -> Simulation:
    displacement = np.where(fallen.failed, fallen.free, fallen.displacement)
    values = {
        "displacement": displacement.mean(1),
        "rotation": fallen.rotation.mean(1),
        "peak_speed": fallen.peak_speed.max(1),
        "initial_depth": fallen.initial_depth,
        "contact_at_end": fallen.contact.all(1),
        "ejected": (displacement > EJECTED * fallen.free).any(1),
        "failed": fallen.failed.any(1),
    }
    return Simulation(**{name: _spread(value, valid) for name, value in values.items()})


def _merged(parts: Sequence[tuple[Tensor, Simulation]], count: int) -> Simulation:
    """One result of `count` grasps from parts, each with the mask (count,) of its grasps."""
    merged = {}
    for name in (field.name for field in fields(Simulation)):
        merged[name] = torch.empty(count, dtype=getattr(parts[0][1], name).dtype)
        for mask, part in parts:
            merged[name][mask] = getattr(part, name)
    return Simulation(**merged)


def _known(grasps: PosedGrasps) -> PosedGrasps:
    """The grasps with a finite pose; the same instance, with its cached forward kinematics, if all are."""
    return grasps if grasps.valid.all() else grasps[grasps.valid]


def _spread(values: np.ndarray, valid: Tensor) -> Tensor:
    """Scatters the values of the valid grasps to all grasps; NaN or False at the others."""
    known = torch.from_numpy(np.ascontiguousarray(values))
    empty = False if known.dtype == torch.bool else float("nan")
    out = torch.full((len(valid), *known.shape[1:]), empty, dtype=known.dtype)
    out[valid] = known
    return out


def _directions(gravity: Gravity) -> Array:
    """Gravity directions (D, 3), m/s^2."""
    if isinstance(gravity, str):
        if gravity != "six":
            raise ValueError(f"gravity: expected three numbers or 'six', found {gravity!r}")
        return G * HALF_AXES
    vector = np.asarray(gravity, np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise ValueError(f"gravity: expected three finite numbers or 'six', found {vector.tolist()}")
    return vector[None]


def _for_each(grasps: PosedGrasps, directions: Array) -> Array:
    """(B, D, 3): the same directions (D, 3) for each grasp."""
    return np.broadcast_to(directions, (len(grasps), *directions.shape))


def _steps(duration: float, timestep: float) -> int:
    return max(1, round(duration / timestep))


def _check_positive(**settings: float) -> None:
    for name, value in settings.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, found {value}")
