"""One run: its data, folder, log, checkpoints and tracking, and the way back from a folder to a model."""
