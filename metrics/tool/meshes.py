"""Finding the meshes of objects by name."""

from pathlib import Path

from ...grasps import meshes as grasp_meshes
from ...grasps.grasp_set import GraspFileError
from .plan import EvaluationError


def find_meshes(root: str | Path, names: list[str]) -> dict[str, Path]:
    """Mesh files of objects by name: the mesh file `root`, for one object, or in a folder, those of `find_mesh`.

    Raises EvaluationError for no such path, one file for several objects, or no mesh for an object.
    """
    root = Path(root).absolute()
    if not root.exists():
        raise EvaluationError(f"--mesh {root}: expected a mesh file or a folder of meshes, found nothing there")
    if root.is_dir():
        return {name: find_mesh(root, name) for name in names}
    if len(names) > 1:
        objects = f"{len(names)} objects ({names[0]}, {names[1]}, ...)"
        raise EvaluationError(f"--mesh {root}: expected a folder, because the grasps are of {objects}, found one file")
    return dict.fromkeys(names, root)


def find_mesh(root: Path, name: str) -> Path:
    """The mesh of one object in a folder, see `grasps.meshes.find_mesh`; EvaluationError for none, or several."""
    try:
        return grasp_meshes.find_mesh(root, name)
    except GraspFileError as error:
        raise EvaluationError(f"--mesh {error}") from error
