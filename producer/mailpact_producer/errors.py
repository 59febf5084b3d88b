"""What can go wrong on the site, and whose fault it is.

ProducerError
├── AddressKnown      somebody has registered this address; the caller must not let anybody see a difference
├── SlugTaken         another page has this address
├── TooComplex        the Markdown of a page takes too long to be made HTML
├── ReaderBlocked     an administrator lets this reader write no comments
├── TooManyComments   this reader has written many comments in the last hour
├── NetworkFull       this network has asked for as many mails in the last hour as one network may
├── TooBusy           more passwords wait to be hashed than is good for the machine; trying again later helps
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
    """A text takes more steps to be parsed than any text that people write."""


class ReaderBlocked(ProducerError):
    """The reader may not write comments."""


class TooManyComments(ProducerError):
    """The reader has written as many comments in the last hour as one reader may."""


class NetworkFull(ProducerError):
    """The network has asked for as many mails in the last hour as one network may."""


class TooBusy(ProducerError):
    """The work that was asked for would have to wait too long; ask again in a few seconds."""


class TooManyAttempts(ProducerError):
    """Logging in has failed too often lately; ask again in `retry_seconds`."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(f"too many attempts to log in; the next one is checked in {retry_seconds} seconds")
        self.retry_seconds = retry_seconds


class ContractBroken(ProducerError):
    """A message that was about to be stored breaks the contract that it is written under."""
