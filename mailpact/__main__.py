"""Makes `python -m mailpact` the same as the command `mailpact`."""

from mailpact.cli.main import main

main()
