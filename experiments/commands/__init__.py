"""The verbs of `dexzoo`, a file each: what it takes, and what does the work.

Each has `main(arguments)`. It reads the arguments before it imports what works, so that help and mistakes are answered
at once: no module of this folder imports torch, Lightning or Hydra when it is imported itself. A test holds this.
"""
