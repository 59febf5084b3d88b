"""The wheel holds all files that the command needs, and no others."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names of all files in a wheel built from this checkout."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "-w",
            target,
            ROOT,
        ],
        check=True,
        timeout=60,
    )
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    "name",
    [
        "mailpact_cli/main.py",
        "mailpact/contracts/published/index.json",
        "mailpact/contracts/published/email/1/schema.json",
        "mailpact/contracts/published/email/2/history/2.0/schema.json",
        "mailpact/contracts/published/email/2/vectors/refused/identity-not-allowed.json",
        "mailpact/contracts/published/template/welcome/1/writer.schema.json",
        "mailpact/contracts/published/email-status/1/binding.json",
        "mailpact/contracts/published/log/1/README.md",
        "mailpact/contracts/published/cache-invalidation/1/CHANGELOG.md",
        "mailpact/contracts/published/topology.json",
        "mailpact_contract_tool/rules/changes/ID_CHANGED.md",
        "mailpact_contract_tool/how-to/take-the-contracts.md",
        "mailpact_contract_tool/site/static/site.css",
        "mailpact/web/static/style.css",
        "mailpact_producer/service.py",
        "mailpact_consumer/service.py",
        "mailpact_consumer/migrations/0001_inbox.py",
        "mailpact_capture/service.py",
        "mailpact_devbroker/service.py",
        "mailpact_kit/command.py",
        "mailpact_kit/published/C-MSG-01.json",
    ],
)
def test_wheel_carries_what_the_command_needs(wheel_names: list[str], name: str) -> None:
    assert name in wheel_names


def test_wheel_puts_nothing_beside_our_own_packages(wheel_names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_names}

    assert {top for top in tops if not top.startswith("mailpact")} == set()
