"""What is in a file of grasps: `dexzoo doctor grasps=PATH [hand=NAME]`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ...grasps.files import guess_format, load_grasps
from ...grasps.grasp_set import GraspSet
from ...hands.load import load_hand
from ...hands.plausible import Doubts, doubt_grasps


def look_at_grasps(path: str, hand_name: str, console: Console) -> bool:
    """Prints the format of a file or folder, its objects, and what cannot be meant.

    Returns:
        Whether all numbers are finite and all joints plausible.

    Raises:
        GraspFileError, PickleFileError, BadFile: as for `load_grasps`.
    """
    hand = load_hand(hand_name)
    sets = load_grasps(path, hand)
    counts = f"{sum(map(len, sets))} grasps of {len(sets)} objects by {hand.title}"
    messages = Doubts.join([doubt_grasps(hand, part.pose, None) for part in sets]).messages()
    if unknown := sum(int((~part.finite).sum()) for part in sets):
        messages.append(f"{unknown} grasps hold numbers that are not finite")
    lines = [f"{Path(path)}: format {guess_format(path)}, {counts}", *map(_line, sets), *messages]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return not messages


def _line(part: GraspSet) -> str:
    low, high = float(part.scale.min()), float(part.scale.max())
    scale = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    extra = [name for name in ("plane", "pregrasp", "squeeze") if getattr(part, name) is not None]
    return f"  {part.object}: {len(part)}, scale {scale}" + (f", with {', '.join(extra)}" if extra else "")
