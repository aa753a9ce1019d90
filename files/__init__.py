"""Files: a restricted unpickler, a cache by content hash, atomic writes. Imports nothing of ours."""
