"""The error of a command that can't be carried out."""


class RunError(ValueError):
    """A run that can't be started, continued or loaded."""
