"""What can go wrong in the capture server.

CaptureError
|-- AccountsFileError  the file with names and passwords cannot be used
|-- StoreFileError     the file cannot be a store: not ours, newer, or not to be opened; nothing was written
`-- StoreUnavailable   a store that was opened cannot read or write now (disk full, I/O error); may be tried again
"""


class CaptureError(Exception):
    """Anything that the capture server says about its own trouble."""


class AccountsFileError(CaptureError):
    """The file with names and passwords cannot be used."""


class StoreFileError(CaptureError):
    """The file is not a store that this release can use; it is left as it was."""


class StoreUnavailable(CaptureError):
    """The store cannot read or write at the moment."""
