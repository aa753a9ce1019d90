"""Downloads of data sets that their publishers offer by plain URL, and the steps for those that they do not."""

from .fetch import ChecksumError, DownloadError, Fetcher
from .filelist import FileList, read_list

__all__ = ["ChecksumError", "DownloadError", "Fetcher", "FileList", "read_list"]
