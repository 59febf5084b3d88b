"""Makes `python -m mailpact_cli` the same as the command `mailpact`."""

from mailpact_cli.main import main

main()
