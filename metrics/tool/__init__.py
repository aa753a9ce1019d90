"""The command `dexzoo evaluate`: measures grasp files and writes tables and pictures.

`evaluate.py` is the whole run; `meshes.py` finds the mesh of an object, `plan.py` cuts the work into chunks, `work.py`
measures them here, in processes or on a Ray cluster, `shards.py` stores finished chunks, `summary.py` and `pictures.py`
present the results.
"""

from .evaluate import Evaluation, evaluate
from .plan import EvaluationError, Settings

__all__ = [
    "Evaluation",
    "EvaluationError",
    "Settings",
    "evaluate",
]
