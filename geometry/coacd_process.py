"""CoACD, in a process of its own: `python coacd_process.py IN.npz OUT.npz`, see `solids.convex_pieces`."""

import sys

import numpy as np

if __name__ == "__main__":
    import coacd

    coacd.set_log_level("error")
    with np.load(sys.argv[1]) as inputs:
        mesh = coacd.Mesh(inputs["vertices"], inputs["faces"])
        # CoACD takes some closed solids for broken and remeshes them into ten times the faces.
        mode = "off" if inputs["closed"] else "auto"
        limits = {"threshold": float(inputs["threshold"]), "max_convex_hull": int(inputs["max_convex_hull"])}
    search = {"mcts_iterations": 60, "mcts_nodes": 10, "mcts_max_depth": 2}
    parts = coacd.run_coacd(mesh, preprocess_mode=mode, decimate=True, max_ch_vertex=64, seed=0, **search, **limits)
    np.savez(sys.argv[2], *[np.asarray(corners) for corners, _ in parts])
