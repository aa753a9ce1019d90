"""`dexzoo identify`: says which published network a file of weights is."""

from argparse import ArgumentParser
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Says it of each file; 0 where every one is a published network and loads, else 1."""
    about = "Says which published network a file of weights is and loads it strictly; without files, lists those known."
    command = ArgumentParser(prog="dexzoo identify", description=about)
    command.add_argument("files", nargs="*", type=Path, metavar="FILE", help="written by torch.save; runs no code")
    given = command.parse_args(arguments)
    from ...models.published.identify import NETWORKS, show
    from ..commandline.explain import plain_errors

    if not given.files:
        print("\n".join(NETWORKS))
    return 0 if all([plain_errors(show)(path) for path in given.files]) else 1
