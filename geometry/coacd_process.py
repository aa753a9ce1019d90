"""CoACD, in a process of its own: `python coacd_process.py IN.npz OUT.npz`, see `solids.convex_pieces`."""

import sys

import numpy as np

if __name__ == "__main__":
    import coacd

    coacd.set_log_level("error")
    with np.load(sys.argv[1]) as inputs:
        mesh = coacd.Mesh(inputs["vertices"], inputs["faces"])
        limits = {"threshold": float(inputs["threshold"]), "max_convex_hull": int(inputs["max_convex_hull"])}
    parts = coacd.run_coacd(mesh, decimate=True, max_ch_vertex=64, seed=0, **limits)
    np.savez(sys.argv[2], *[np.asarray(corners) for corners, _ in parts])
