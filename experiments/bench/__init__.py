"""Benchmarks: `NAME.py` has `rows(quick)`, and `harness` runs them. `definitions` compares values, not times."""

from pathlib import Path


def names() -> list[str]:
    """The benchmarks."""
    files = Path(__path__[0]).glob("*.py")
    return sorted(path.stem for path in files if "\ndef rows(" in path.read_text(encoding="utf-8"))
