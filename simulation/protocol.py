"""What a success test fixes, read from `protocols/NAME.yaml`: drive, closing, load, and when it is passed."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from ..files.errors import DataError
from ..files.names import did_you_mean

FOLDER = Path(__file__).with_name("protocols")
PROTOCOLS = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""Names of those that ship."""


@dataclass(frozen=True)
class Surface:
    """Contacts of one side; where two sides differ MuJoCo takes the larger friction and averages the rest.

    Attributes:
        friction: sliding, torsional (metres), rolling (metres).
        condim: 3 for sliding friction, 4 with torsion.
        solref: time constant (seconds) and damping ratio.
        solimp: least and largest impedance, and the depth (metres) over which it rises.
    """

    friction: tuple[float, float, float]
    condim: int = 3
    solref: tuple[float, float] = (0.02, 1.0)
    solimp: tuple[float, float, float] = (0.9, 0.95, 0.001)


@dataclass(frozen=True)
class Drive:
    """The servo of each joint: torque = kp (target - q) - kv q', at most `force`.

    Attributes:
        kp: N m / rad (N / m for a slide).
        force: N m (N); None for no limit.
        kv: N m s / rad; None takes the joint's own damping, or a damping ratio of 1 where it has none.
        of_file: which of kp, kv and force come from the hand's own actuators; these numbers are for joints without one.
        factor: on all three, whatever they come from.
    """

    kp: float
    force: float | None
    kv: float | None = None
    of_file: tuple[str, ...] = ()
    factor: float = 1.0


@dataclass(frozen=True)
class Closing:
    """The way from pregrasp to squeeze; a file's own two postures come first.

    Attributes:
        rule: where the file has none. "direction": `open` and `squeeze` radians back and on along
            `trial.closing_direction`, of the joint that moves furthest; "sign": the same, every joint that is concerned
            moves as far; "scale": joint values times `open` and `squeeze`; "pull": on until the nearest points are
            `squeeze` metres deeper, to first order.
        open, squeeze: see `rule`.
        steps: from pregrasp to grasp, on to the squeeze, and of waiting there.
        level: steps for which a target is held.
        near: metres; links this close to the object take part.
        pinned: the object stands still until the wait begins.
    """

    rule: Literal["direction", "sign", "scale", "pull"]
    open: float
    squeeze: float
    steps: tuple[int, int, int]
    level: int = 1
    near: float = 0.01
    pinned: bool = False


@dataclass(frozen=True)
class Load:
    """What pulls at the object, at its centre of mass, each direction on its own.

    Attributes:
        directions: "six" half axes of the object's frame; "fourteen", with the eight diagonals; "down", against the
            data's up, all six where that is unknown.
        acceleration: m/s^2, times the mass.
        seconds: of each pull.
        lever: metres; the same directions again as torques of force times lever; 0 for none.
        sizes: factors of the load, tried in this order.
        restart: each pull starts from the state after closing, not where the last one ended.
    """

    directions: Literal["six", "fourteen", "down"]
    acceleration: float
    seconds: float
    lever: float = 0.0
    sizes: tuple[float, ...] = (1.0,)
    restart: bool = True


@dataclass(frozen=True)
class Passed:
    """When a pull is withstood.

    Attributes:
        displacement: metres, largest movement; None for any.
        rotation: degrees, largest angle; None for any.
        every: steps between two looks; None looks at the end only.
        contact: the hand must touch the object at the end.
        of: the point that must stay: the centre of mass, or the origin of the object's frame.
        since: from where it counts: the given grasp, or the start of each pull.
        depth: metres, deepest overlap allowed in the given grasp.
        open_depth: metres, the same in the pregrasp, hand against hand as well.
    """

    displacement: float | None
    rotation: float | None = None
    every: int | None = None
    contact: bool = False
    of: Literal["centre", "origin"] = "centre"
    since: Literal["grasp", "pull"] = "grasp"
    depth: float | None = None
    open_depth: float | None = None


@dataclass(frozen=True)
class Protocol:
    """One named test. Every number is in its file, with where it comes from.

    Attributes:
        name: the file's.
        about: one sentence.
        timestep: seconds.
        hand, object: their surfaces.
        load, passed: see there.
        mass: kilograms of the object; None takes `density`.
        density: kg/m^3 of the object's solid.
        noslip: iterations of MuJoCo's noslip solver.
        damping: per second, of the object's velocity and spin.
        drive, closing: None for a hand that stands still.
        welded: the root hangs on MuJoCo's soft weld instead of standing still.
    """

    name: str
    about: str
    timestep: float
    hand: Surface
    object: Surface
    load: Load
    passed: Passed
    mass: float | None = None
    density: float | None = None
    noslip: int = 0
    damping: tuple[float, float] = (0.0, 0.0)
    drive: Drive | None = None
    closing: Closing | None = None
    welded: bool = False

    def varied(self, what: str, factor: float) -> Protocol:
        """With "friction", "timestep", "drive" (kp, kv and force) or "closing" (how far it squeezes) times a factor.

        Numbers of steps follow the time step, so that all takes as long.

        Raises:
            ValueError: the hand of this protocol stands still, or there is no such knob.
        """
        if what == "friction":
            sides = (replace(s, friction=(s.friction[0] * factor, *s.friction[1:])) for s in (self.hand, self.object))
            return replace(self, **dict(zip(("hand", "object"), sides, strict=True)))
        if what == "timestep":
            return self._stepped(factor)
        drive, closing = self.drive, self.closing
        if what not in ("drive", "closing") or drive is None or closing is None:
            raise ValueError(f"{self.name}: expected one of {', '.join(self.knobs)} to vary, found {what!r}")
        if what == "drive":
            return replace(self, drive=replace(drive, factor=drive.factor * factor))
        further = 1 + (closing.squeeze - 1) * factor if closing.rule == "scale" else closing.squeeze * factor
        return replace(self, closing=replace(closing, squeeze=further))

    @property
    def knobs(self) -> tuple[str, ...]:
        """What `varied` can change."""
        return ("friction", "timestep") if self.drive is None else ("friction", "timestep", "drive", "closing")

    def _stepped(self, factor: float) -> Protocol:
        every = self.passed.every
        passed = replace(self.passed, every=None if every is None else max(1, round(every / factor)))
        closing = self.closing and replace(
            self.closing,
            steps=tuple(round(n / factor) for n in self.closing.steps),
            level=max(1, round(self.closing.level / factor)),
        )
        return replace(self, timestep=self.timestep * factor, passed=passed, closing=closing)


def load_protocol(name: str | Path | Protocol) -> Protocol:
    """A protocol by its name, or from a YAML of your own.

    Raises:
        DataError: no such protocol or file, a missing or unknown key, a number that makes no sense.
    """
    if isinstance(name, Protocol):
        return name
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(PROTOCOLS)
        raise DataError(
            f"protocol: expected {known} or a YAML of one, found {str(name)!r}{did_you_mean(str(name), PROTOCOLS)}"
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected YAML, found {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected the keys of a protocol, found {type(content).__name__}")
    protocol: Protocol = _read(Protocol, {"name": path.stem, **content}, str(path))
    if (protocol.mass is None) == (protocol.density is None):
        raise DataError(f"{path}: expected either mass or density")
    if (protocol.drive is None) != (protocol.closing is None):
        raise DataError(f"{path}: expected both drive and closing, or neither for a hand that stands still")
    return protocol


def _read(kind: type, content: Any, where: str) -> Any:
    """The dataclass `kind` from a mapping, part by part."""
    hints, names = get_type_hints(kind), [field.name for field in fields(kind)]
    if not isinstance(content, dict):
        raise DataError(f"{where}: expected {', '.join(names)}, found {content!r}")
    for key in content:
        if key not in names:
            raise DataError(f"{where}: no key {key!r}{did_you_mean(str(key), names)}")
    values = {}
    for key, value in content.items():
        inner = next((t for t in (hints[key], *get_args(hints[key])) if is_dataclass(t)), None)
        if inner is not None and not (value is None and type(None) in get_args(hints[key])):
            values[key] = _read(inner, value, f"{where}, {key}")  # type: ignore[arg-type]
        elif _fits(value, hints[key]):
            values[key] = tuple(value) if isinstance(value, list) else value
        else:
            wanted = getattr(hints[key], "__name__", "") if hints[key] in (float, str, int, bool) else str(hints[key])
            raise DataError(f"{where}, {key}: expected {wanted.removeprefix('typing.')}, found {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise DataError(f"{where}: {error}") from error


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a YAML is one of that type; numbers are finite and not negative."""
    inner, origin = get_args(hint), get_origin(hint)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is tuple:
        kinds = (inner[0],) * len(value) if isinstance(value, list) and inner[-1] is Ellipsis else inner
        return isinstance(value, list) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is float:
        return type(value) in (int, float) and 0 <= value < float("inf")
    return type(value) is hint
