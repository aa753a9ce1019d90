"""Downloads of data sets that are published by plain URL, and instructions for the others."""

from .fetch import ChecksumError, DownloadError, Fetcher
from .realdex import FileList, read_list

__all__ = [
    "ChecksumError",
    "DownloadError",
    "Fetcher",
    "FileList",
    "read_list",
]
