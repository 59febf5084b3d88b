"""What can go wrong in the CMS, and whose fault it is.

ProducerError
├── AddressKnown      somebody has registered this address; the caller must not let anybody see a difference
├── TooBusy           more passwords wait to be hashed than is good for the machine; trying again later helps
└── ContractBroken    a message of ours breaks its own contract: a bug, nothing was stored
"""


class ProducerError(Exception):
    """Something is wrong in the CMS."""


class AddressKnown(ProducerError):
    """Somebody has registered this address already."""


class TooBusy(ProducerError):
    """The work that was asked for would have to wait too long; ask again in a few seconds."""


class ContractBroken(ProducerError):
    """A message that was about to be stored breaks the contract that it is written under."""
