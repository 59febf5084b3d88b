"""`mailpact contracts publish`: its files, its output and its exit codes."""

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.command import run

ROOT = Path(__file__).parents[3]

SITE_SECONDS = 200  # publishing takes 4 s of processor time

# All tests share one site and one folder.
pytestmark = [pytest.mark.xdist_group("published"), pytest.mark.timeout(SITE_SECONDS + 60)]


def publish(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return run("contracts", "publish", *arguments, cwd=cwd, seconds=SITE_SECONDS, **variables)


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_runs_differ_in_no_byte_wherever_whenever_and_for_whomever_they_are(
    edition: Path, tmp_path: Path
) -> None:
    surroundings = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    before = os.umask(0o077)
    try:
        done = publish("--out", "elsewhere", cwd=tmp_path, **surroundings)
    finally:
        os.umask(before)

    assert done.returncode == 0, done.stderr
    assert held(tmp_path / "elsewhere") == held(edition)


def test_the_tarball_holds_the_folder_and_its_hash_is_beside_it(edition: Path) -> None:
    (archive,) = edition.glob("*.tar.gz")
    digest, name = (edition / f"{archive.name}.sha256").read_text().split()
    with tarfile.open(archive) as packed:
        inside = {member.name.partition("/")[2] for member in packed}

    assert (digest, name) == (hashlib.sha256(archive.read_bytes()).hexdigest(), archive.name)
    assert inside == set(held(edition)) - {archive.name, f"{archive.name}.sha256"}


def test_every_published_file_is_in_it_byte_for_byte(edition: Path) -> None:
    contracts = ROOT / "contracts"

    assert held(edition / "contracts") == held(contracts)


def test_scripts_get_one_json_object(edition: Path) -> None:
    done = publish("--out", str(edition), "--json")
    result = json.loads(done.stdout)

    assert Path(result["archive"]).parent == edition
    assert hashlib.sha256(Path(result["archive"]).read_bytes()).hexdigest() == result["sha256"]
    assert set(result["files"]) == set(held(edition))


def test_a_folder_of_somebodys_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("two years")

    done = publish("--out", str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert "thesis.txt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert held(tmp_path) == {"thesis.txt": b"two years"}
