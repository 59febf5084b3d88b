"""The errors of the capture server.

CaptureError
|-- AccountsFileError  the file with names and passwords cannot be used
|-- StoreFileError     the file is not our store, is newer, or cannot be opened; nothing was written
`-- StoreUnavailable   an open store cannot read or write now (disk full, I/O error); a later try may succeed
"""


class CaptureError(Exception):
    """The base class of the capture server's errors."""


class AccountsFileError(CaptureError):
    """The file with names and passwords cannot be used."""


class StoreFileError(CaptureError):
    """The file cannot be used as a store by this release. The file is not changed."""


class StoreUnavailable(CaptureError):
    """The store cannot read or write at the moment."""
