"""The errors of the site, and their causes.

ProducerError
├── AddressKnown      the address has an account; the caller must not show any difference
├── SlugTaken         another page has this address
├── TooComplex        converting the Markdown of a page to HTML takes too long
├── ReaderBlocked     an administrator has blocked this reader's comments
├── TooManyComments   this reader has written many comments in the last hour
├── NetworkFull       this network has requested as many mails in the last hour as one network may
├── TooBusy           too many passwords wait to be hashed; trying again later helps
├── TooManyAttempts   this account or network has failed to log in too often; trying again later helps
└── ContractBroken    a message of ours breaks its own contract: a bug, nothing was stored
"""


class ProducerError(Exception):
    """Something is wrong on the site."""


class AddressKnown(ProducerError):
    """Somebody has registered this address already."""


class SlugTaken(ProducerError):
    """Another page has this address already."""


class TooComplex(ProducerError):
    """A text needs more steps to be parsed than any text that people write."""


class ReaderBlocked(ProducerError):
    """The reader may not write comments."""


class TooManyComments(ProducerError):
    """The reader has written as many comments in the last hour as one reader may."""


class NetworkFull(ProducerError):
    """The network has requested as many mails in the last hour as one network may."""


class TooBusy(ProducerError):
    """The requested work would have to wait too long; try again in a few seconds."""


class TooManyAttempts(ProducerError):
    """Logging in has failed too often; try again in `retry_seconds`."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"too many attempts to log in; the next one is checked in {retry_seconds} seconds")
        self.retry_seconds = retry_seconds


class ContractBroken(ProducerError):
    """A message that was about to be stored breaks its contract."""
