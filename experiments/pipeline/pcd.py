"""Points of a PCD file, the format of the Point Cloud Library: ASCII or binary."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_pcd(path: Path) -> NDArray[np.float64]:
    """Points (N, 3) of a file, those without a return (NaN) left out.

    Raises:
        ValueError: no header, no fields x, y and z, compressed data, or fewer data than the header says.
    """
    content, header = path.read_bytes(), {}
    start = 0
    while "DATA" not in header:
        end = content.find(b"\n", start)
        if end < 0:
            raise ValueError("a PCD file without a line DATA")
        key, *values = content[start:end].decode("ascii", "replace").split() or ["#"]
        header[key], start = values, end + 1
    names, count = header.get("FIELDS", []), int(header.get("POINTS", ["0"])[0])
    if not {"x", "y", "z"} <= set(names):
        raise ValueError(f"the fields {' '.join(names) or 'none'}, without x, y and z")
    repeats = [int(n) for n in header.get("COUNT", ["1"] * len(names))]
    if header["DATA"] == ["binary"]:
        kinds = [f"{kind.lower()}{size}" for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)]
        record = np.dtype([(f"{k}", kind, n) for k, (kind, n) in enumerate(zip(kinds, repeats, strict=True))])
        rows = np.frombuffer(content, record, count, start)
        points = np.stack([rows[str(names.index(axis))].reshape(-1) for axis in "xyz"], axis=1).astype(np.float64)
    elif header["DATA"] == ["ascii"]:
        first = np.cumsum([0, *repeats])
        columns = [int(first[names.index(axis)]) for axis in "xyz"]
        points = np.loadtxt(content[start:].decode().splitlines(), ndmin=2, usecols=columns, max_rows=count)
    else:
        raise ValueError(f"DATA {' '.join(header['DATA'])}; `pcl_convert_pcd_ascii_binary IN.pcd OUT.pcd 1` unpacks it")
    return points[~np.isnan(points).any(axis=1)]
