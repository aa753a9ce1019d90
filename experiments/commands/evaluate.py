"""`dexzoo evaluate`: measures the grasps of a file or folder."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...metrics.tool import Settings

FORMATS = (
    *("dexgraspnet", "unidexgrasp", "multidex", "dga", "dga_samples", "dexgraspbench", "dexonomy", "bodex", "grabnet"),
    *("dexycb", "dexzoo"),
)
AXES = ("x", "y", "z", "-x", "-y", "-z", "six")
"""What `hands` reads and knows; a test compares."""

_EXAMPLES = """examples:
  dexzoo evaluate data/dataset --mesh data/meshdata --format dexgraspnet --out results --workers 2

without a data set, on the demo grasps:
  dexzoo demo --out demo
  dexzoo evaluate demo/grasps.npz --mesh demo/meshes --out demo/results --limit 5

success under named tests (docs/success.md), with what each rate depends on:
  dexzoo evaluate demo/grasps.npz --mesh demo/meshes --out demo/success --protocol dexgraspbench,fixed --workers 2
"""
_EVALUATE = """Measures every grasp of a file or folder and writes to --out:

  grasps.parquet    one row per grasp: object, row in its file, scale, and a column per number, unit in its name
  summary.json      mean, sd, median, n, n_nan of every column, per object and over all grasps; settings; definitions
  histograms.png    the distribution of every column
  worst.png         the ten worst grasps by --worst, with their numbers
  shards/           finished chunks: a run that was stopped goes on where it was when started again

A grasp without a value (a pose that is not finite, for example) is NaN in grasps.parquet and counts in n_nan.
Joint values outside their limits are measured as they are. Grasps that cannot be meant (a hand that is nowhere within
5 cm of the object, joints far beyond their limits) are measured too, counted, and named in the column implausible.
With --protocol the grasps are simulated instead: success.parquet (a row per grasp, protocol and changed constant),
success.json, success.md and success.png, the sensitivity card.
What is computed once per object is kept in $DEXZOO_CACHE, by default ~/.cache/dexzoo.
"""
_STOPPED = 130  # what shells say after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; 0 is success. What cannot be used, and an object without values, end the program with status 1."""
    given = parser().parse_args(arguments)
    from ..commandline.explain import plain_errors

    return plain_errors(_evaluate)(given)


def _evaluate(given: argparse.Namespace) -> int:
    from ...files.errors import UnknownName
    from ...metrics.columns import METRICS, TABLE3
    from ...metrics.tool import EvaluationError, Settings, evaluate

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that workers are ended there as well
    metrics = tuple(METRICS if given.metrics == ["all"] else given.metrics or TABLE3)
    for name in set(metrics) - set(METRICS):
        raise UnknownName("--metrics", name, [*METRICS, "all"])
    settings = Settings(given.hand, metrics, given.legacy, given.limit, given.chunk, given.up, given.scale)
    if given.protocol:
        return _protocols(given, settings)
    workers = given.workers or (None if given.ray else 1)
    try:
        found = evaluate(
            *(given.grasps, given.mesh, given.out, settings),
            format=given.format, workers=workers, runner="ray" if given.ray else "local",
            worst=given.worst, pictures=not given.no_pictures,
        )  # fmt: skip
    except KeyboardInterrupt:
        print(f"stopped; finished chunks are kept in {given.out}/shards: the same command goes on", file=sys.stderr)
        return _STOPPED
    if found.failures:
        counts = f"{len(found.failures)} of {len(found.objects)} objects have no values (reasons above)"
        raise EvaluationError(f"{counts}; the others are in {given.out}")
    return 0


def _protocols(given: argparse.Namespace, settings: Settings) -> int:
    from dataclasses import asdict

    from ...metrics.tables import console
    from ...metrics.tool.success import measure_success
    from ...simulation.protocol import PROTOCOLS, load_protocol
    from ..reports.success import write_success

    names = PROTOCOLS if given.protocol == "all" else given.protocol.split(",")
    protocols, out, screen = [load_protocol(name) for name in names], given.out.absolute(), console()
    table = measure_success(
        *(given.grasps, given.mesh, protocols, settings, screen),
        format=given.format, sensitivity=not given.no_sensitivity, threads=given.workers or 1,
    )  # fmt: skip
    for printed in write_success(out, table, protocols, asdict(settings)):
        screen.print(printed)
    picture = "" if given.no_sensitivity else ", .png"
    screen.print(f"results: {out}/success.parquet, .json, .md{picture}", soft_wrap=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    command = argparse.ArgumentParser(
        prog="dexzoo evaluate",
        description=_EVALUATE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_inputs(command)
    _add_measures(command)
    _add_machines(command)
    return command


def _add_inputs(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("grasps", type=Path, metavar="GRASPS", help="a file of grasps, or a folder of such files")
    add(
        *("--mesh", "-m"), type=Path, required=True,
        help="the object's mesh, or a folder with NAME/coacd/decomposed.obj, NAME.obj|.stl|.glb|... or NAME/*.obj "
        "for every object",
    )  # fmt: skip
    add("--out", "-o", type=Path, required=True, help="folder for the results")
    add("--hand", default="shadow", help="shadow, shadow_e3m5, mano, or the path of a YAML; default: shadow")
    add(
        "--up", choices=AXES, metavar="AXIS",
        help="which way is up in the objects' frames, against which gravity pulls: x, y, z, -x, -y, -z (as --up=-y), "
        "or six for objects without an up, which fall along all six half axes. Default: the normal of a grasp's table, "
        "or what its file says, or z; six for DexGraspNet's files, which know no up",
    )  # fmt: skip
    add(
        "--scale", type=_length, metavar="METRES",
        help="per unit of the meshes, 0.001 for millimetres; the scale of each grasp comes on top. Default: 1, and an "
        "object larger than 1 m or smaller than 1 mm is an error",
    )  # fmt: skip
    add("--format", choices=FORMATS, help="of the grasps; default: the one that the files have")
    add("--limit", type=_positive, metavar="N", help="at most N grasps of each object, evenly spaced; default: all")


def _add_measures(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--metrics", nargs="+", metavar="NAME",
        help="names that `dexzoo metrics` lists, or all; default: the four of Table 3 of RealDex's paper",
    )  # fmt: skip
    add(
        "--protocol", metavar="A,B",
        help="test success as these do instead: dexgraspbench, dexgraspnet, dga_like, dga_like_reset, fixed, realdex, "
        "squeeze, wrench, the path of a YAML of your own, or all; docs/success.md says what each does",
    )  # fmt: skip
    add("--no-sensitivity", action="store_true", help="with --protocol: the rates alone, an eighth of the work")
    add("--legacy", action="store_true", help="add columns that repeat the flaws of the scripts in use; see the list")
    add("--worst", metavar="COLUMN", help="whose ten worst grasps are drawn; default: penetration_cm")
    add("--no-pictures", action="store_true", help="tables only")


def _add_machines(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--workers", type=_positive, metavar="N",
        help="processes, of one thread each; default: 1. With --ray: all CPUs. With --protocol: threads",
    )  # fmt: skip
    add(
        "--ray", action="store_true",
        help="hand the chunks to the running Ray cluster (ray start, or RAY_ADDRESS), or else to one on this machine "
        "with --workers CPUs; all nodes must see GRASPS, --mesh and --out under the same paths. Needs dexzoo[ray]",
    )  # fmt: skip
    add("--chunk", type=_positive, default=64, metavar="N", help="grasps measured at once; default: 64")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def _length(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected metres, a positive number, found {text!r}")
    return value
