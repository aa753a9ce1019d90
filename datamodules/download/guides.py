"""Instructions for data that only their publishers may distribute."""

from __future__ import annotations

from dataclasses import dataclass

from ..dexgraspnet.tree import DEXGRASPNET
from ..errors import indented
from ..grab.files import RELEASE as GRAB


@dataclass(frozen=True)
class Guide:
    """Steps to a data set."""

    title: str  # its name
    url: str  # where to start
    licence: str  # one line on what it allows
    steps: tuple[str, ...]  # in order
    tree: str  # expected files at the end
    setting: str  # what to set afterwards

    def text(self) -> str:
        """Text for the terminal."""
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(self.steps, 1))
        return (
            f"{self.title} cannot be downloaded by a program: its publisher requires you to register or confirm.\n"
            f"  begin at   {self.url}\n  licence    {self.licence}\n{steps}\n"
            f"  then set   {self.setting}\n  expected tree:\n{indented(self.tree)}"
        )


REALDEX_LIST = (
    "its authors keep the list as download/gdown_path.json in the repository https://github.com/4DVLab/RealDex: "
    "save that file, or take the URL of its raw form, and give it with --list"
)

GUIDES = {
    "grab": Guide(
        "GRAB",
        "https://grab.is.tue.mpg.de",
        GRAB.licence,
        (
            "register, accept the licence and sign in",
            "download the zips of the sequences and of the tools (object and subject meshes)",
            "unpack them with the authors' unzip_grab.py: parts of a zip's name separated by __ become folders",
        ),
        GRAB.tree,
        f"data.{GRAB.setting}, or the environment variable DEXZOO_GRAB",
    ),
    "mano": Guide(
        "MANO",
        "https://mano.is.tue.mpg.de",
        "non-commercial research, no redistribution",
        (
            "register, accept the licence and sign in",
            "download the models and code",
            "unpack MANO_RIGHT.pkl; hand=mano_skeleton, with approximate joints, needs no file",
        ),
        "<anywhere>/MANO_RIGHT.pkl",
        "the environment variable DEXZOO_MANO=/path/to/MANO_RIGHT.pkl",
    ),
    "dexgraspnet": Guide(
        "DexGraspNet",
        "https://github.com/PKU-EPIC/DexGraspNet",
        "CC BY-NC 4.0: with attribution, no commercial use",
        (
            "follow the link to the data set in its README, and download the grasps and the object meshes",
            "unpack both under one folder",
        ),
        DEXGRASPNET.tree,
        "data.root=/path/to/dexgraspnet, or the environment variable DEXZOO_DEXGRASPNET",
    ),
}
