"""dexzoo: a PyTorch Lightning model zoo for dexterous grasping."""

__version__ = "0.1.0"
