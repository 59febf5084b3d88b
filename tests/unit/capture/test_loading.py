"""The modules that the command loads before it is ready: each module that is not needed makes the start slower."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from mailpact_cli.main import main
sys.argv = ["mailpact", "capture", "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
import mailpact_capture.service
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.heavy
def test_the_command_loads_no_library_of_another_component() -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=120
    ).stdout
    loaded = output.splitlines()[-1]

    assert "'mailpact_capture'" in loaded
    assert [name for name in NOT_NEEDED if f"'{name}'" in loaded] == []


NOT_NEEDED = (
    "aiormq", "alembic", "argon2", "cryptography", "jsonschema", "jsonschema_rs", "mailpact_consumer",
    "mailpact_contract_tool", "mailpact_devbroker", "mailpact_producer", "pymysql", "sqlalchemy",
)  # fmt: skip
