"""`compose.yaml`, loaded as `docker compose` loads it, and the files it uses: they obey the rules in `rules.py`."""

import json
import re
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailpact.settings import AmqpUrl, DatabaseUrl
from tests.compose.rules import dockerfile_faults, ignored_by_default, project_faults
from tests.toolchains import BUILD_SECONDS, go_build

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
FILE, DOCKERFILE = ROOT / "compose.yaml", ROOT / "Dockerfile"
pytestmark = [pytest.mark.xdist_group("compose"), pytest.mark.timeout(BUILD_SECONDS + 30)]

Loading = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def load(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Loading:
    """Load a compose file with compose-go, the loader that `docker compose` is made of."""
    program = go_build(pytestconfig, HERE / "go", tmp_path_factory.mktemp("go") / "load")
    nothing = {"PATH": "/nowhere"}
    return lambda *files, **variables: subprocess.run(
        [program, *files], capture_output=True, text=True, timeout=30, check=False, env=nothing | variables
    )


@pytest.fixture(scope="session")
def project(load: Loading) -> dict[str, Any]:
    """Return the loaded compose.yaml."""
    return loaded(load(FILE))


def loaded(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def broken(folder: Path, right: str, wrong: str) -> Path:
    """Copy compose.yaml and replace a right text by a wrong text wherever it occurs."""
    text = FILE.read_text()
    assert right in text
    copy = folder / "compose.yaml"
    copy.write_text(text.replace(right, wrong))
    return copy


def test_all_rules_hold(project: dict[str, Any]) -> None:
    assert project_faults(project) == []


def test_each_service_starts_when_what_it_needs_is_healthy(project: dict[str, Any]) -> None:
    needs = {name: set(service.get("depends_on", {})) for name, service in project["services"].items()}

    assert needs == {
        "rabbitmq": set(),
        "mysql": set(),
        "capture": set(),
        "cms-1": {"rabbitmq", "mysql"},
        "cms-2": {"rabbitmq", "mysql"},
        "consumer": {"rabbitmq", "mysql", "capture"},
        "prometheus": set(),
        "grafana": {"prometheus"},
    }
    assert project["services"]["consumer"]["deploy"]["replicas"] == 2


def test_prometheus_and_grafana_run_only_if_the_profile_is_chosen(project: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles") for name, service in project["services"].items()}

    assert {name for name, chosen in profiles.items() if chosen} == {"prometheus", "grafana"}
    assert profiles["prometheus"] == profiles["grafana"] == ["ops"]


def test_prometheus_reads_every_service_where_it_serves_its_metrics(project: dict[str, Any]) -> None:
    jobs = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {
        target
        for job in jobs
        for target in [
            *(target for group in job.get("static_configs", ()) for target in group["targets"]),
            *(
                f"{name}:{group['port']}"
                for group in job.get("dns_sd_configs", ())
                for name in group["names"]
            ),
        ]
    }
    served = {
        f"{name}:{service['environment']['MAILPACT_HEALTH'].rpartition(':')[2]}"
        for name, service in project["services"].items()
        if "MAILPACT_HEALTH" in service.get("environment", {})
    }

    assert targets == served | {"rabbitmq:15692"}
    assert all("backend" in project["services"][target.partition(":")[0]]["networks"] for target in targets)


def test_mail_goes_to_a_real_relay_with_the_second_file(load: Loading) -> None:
    addresses = {"MAIL_FROM": "cms@mail.example", "CANARY": "canary@mail.example"}
    relayed = loaded(load(FILE, ROOT / "compose.relay.yaml", **addresses))
    consumer = relayed["services"]["consumer"]

    assert project_faults(relayed) == ["consumer can reach the world without need"]
    assert "MAILPACT_SMTP_URL" not in consumer["environment"]
    assert consumer["environment"]["MAILPACT_SMTP_URL_FILE"] == "/run/secrets/smtp_url"
    assert consumer["environment"]["MAILPACT_SMTP_TLS"] == "required"
    for site in ("cms-1", "cms-2"):
        variables = relayed["services"][site]["environment"]
        assert variables["MAILPACT_CANARY"] == "canary@mail.example"
        assert "MAILPACT_CANARY_VIEWER_URL" not in variables
    assert {secret["source"] for secret in consumer["secrets"]} >= {"smtp_url", "amqp_url", "database_url"}


@pytest.mark.parametrize(
    ("given", "words"),
    [("CANARY", "the address that mail comes from"), ("MAIL_FROM", "a mailbox of yours")],
)
def test_mail_to_a_real_relay_needs_two_addresses(load: Loading, given: str, words: str) -> None:
    done = load(FILE, ROOT / "compose.relay.yaml", **{given: "a@mail.example"})

    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_each_sites_base_url_is_where_it_is_published(project: dict[str, Any]) -> None:
    for name in ("cms-1", "cms-2"):
        service = project["services"][name]
        (port,) = service["ports"]

        assert service["environment"]["MAILPACT_BASE_URL"] == f"http://127.0.0.1:{port['published']}"


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("mem_limit: 1g", "memory: 1g", r"services\.mysql\.memory"),
        ("condition: service_healthy", "condition: service_ready", "condition"),
        ("secrets: [amqp_url, database_url]", "secrets: [amqp_url, absent]", 'undefined secret "?absent'),
        ("networks: [backend, mail]", "networks: [backend, absent]", 'undefined network "?absent'),
        ('["capture-data:/data"]', '["absent:/data"]', 'undefined volume "?absent'),
        ("interval: 10s", "interval: often", "duration"),
        ('"127.0.0.1:8025:8025"', '"127.0.0.1:viewer:8025"', "(?i)invalid.*port"),
        ("rabbitmq: { condition", "broker: { condition", 'undefined service "?broker'),
    ],
)
def test_docker_compose_would_refuse_it(
    load: Loading, tmp_path: Path, right: str, wrong: str, complaint: str
) -> None:
    done = load(broken(tmp_path, right, wrong))

    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(complaint, done.stderr)


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ('"127.0.0.1:8080:8080"', '"8080:8080"', "cms-1 publishes 8080 to other machines"),
        ("MYSQL_PASSWORD_FILE: /run/secrets/mysql_password", "MYSQL_PASSWORD: x", "mysql has a password in"),
        (
            "_URL_FILE: /run/secrets/amqp_url",
            "_URL: amqp://u:p@h/",
            "consumer has a password in MAILPACT_AMQP",
        ),
        ("    healthcheck:\n      # Ready", "    x-check:\n      # Ready", "consumer has no health check"),
        (
            "{ condition: service_healthy }",
            "{ condition: service_started }",
            "cms-1 does not wait until mysql",
        ),
        ("  read_only: true\n", "", "capture may write to its root file system"),
        ("  cap_drop: [ALL]\n", "", "mysql has capabilities"),
        ('"no-new-privileges:true"', "", "rabbitmq may get new privileges"),
        ("    mem_limit: 1g\n", "", "mysql has no memory limit"),
        ("    user: mysql\n", "", "mysql runs as root"),
        ("    user: mysql\n    cpus: 1\n", "    user: mysql\n", "mysql has no limit of processors"),
        ("  pids_limit: 200\n", "", "capture has no limit of processes"),
        ("max-size: 10m, ", "", "capture has a log without an end"),
        ('"mysql-data:/var/lib/mysql"', '"./data:/var/lib/mysql"', "mysql sees files of the machine"),
        ("mysql:9.7", "mysql", "mysql has an image that is not pinned"),
        ("rabbitmq:4.3", "rabbitmq:latest", "rabbitmq has an image that is not pinned"),
        ("MAILPACT_SMTP_URL:", "MAILPACT_SMTP:", "consumer has a variable that its command does not read"),
        ("backend: { internal: true }", "backend: {}", "consumer can reach the world without need"),
        ("secrets: [mysql_password, ", "secrets: [", "nobody uses the secret mysql_password"),
    ],
)
def test_a_broken_rule_is_named(load: Loading, tmp_path: Path, right: str, wrong: str, fault: str) -> None:
    faults = project_faults(loaded(load(broken(tmp_path, right, wrong))))

    assert any(found.startswith(fault) for found in faults), faults


def test_the_dockerfile_keeps_its_rules() -> None:
    assert dockerfile_faults(DOCKERFILE.read_text()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("\nUSER 10001:10001", "", "the last stage does not run as a numbered user"),
        ("USER 10001:10001", "USER 0", "the last stage does not run as a numbered user"),
        ("python:3.13-slim-trixie", "python", "the base python is not pinned"),
        ("python:3.13-slim-trixie AS", "python:3.12-slim-trixie AS", "the stages stand on different bases"),
        ("RUN useradd", "RUN apt-get install gcc && useradd", "the last stage uses apt-get"),
        ("--require-hashes", "", "libraries are installed without hashes"),
        ("# One image", "# syntax=docker/dockerfile:1\n# One image", "something is fetched from elsewhere"),
    ],
)
def test_a_broken_rule_of_the_dockerfile_is_named(right: str, wrong: str, fault: str) -> None:
    text = DOCKERFILE.read_text()
    assert right in text

    assert set(dockerfile_faults(text.replace(right, wrong))) == {fault}


def test_no_secret_and_no_history_gets_into_the_image() -> None:
    assert ignored_by_default(ROOT / ".dockerignore")


def test_image_is_built_from_all_that_the_wheel_holds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }

    # hatchling leaves out a folder that does not exist, and reports nothing.
    assert set(wheel) <= let_through


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return the folder of secrets that `make compose-secrets` makes in an empty folder."""
    for name in ("Makefile", "compose-secrets.sh"):
        shutil.copy(ROOT / name, tmp_path)
    make_secrets(tmp_path)
    return tmp_path / "secrets"


def make_secrets(folder: Path) -> None:
    subprocess.run(["make", "-s", "compose-secrets"], cwd=folder, check=True, timeout=30)


def test_make_makes_every_secret_that_compose_reads(project: dict[str, Any], secrets: Path) -> None:
    wanted = {Path(secret["file"]).relative_to(ROOT) for secret in project["secrets"].values()}

    assert {path.relative_to(secrets.parent) for path in secrets.iterdir()} == wanted
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}


def test_servers_and_programs_are_given_the_same_passwords(secrets: Path) -> None:
    text = {path.name: path.read_text().strip() for path in secrets.iterdir()}
    broker = re.search("default_pass = (.*)", text["rabbitmq.conf"])

    assert broker is not None
    assert AmqpUrl.parse(text["amqp_url"]).url == f"amqp://mailpact:{broker[1]}@rabbitmq:5672"
    assert DatabaseUrl(text["database_url"]).url == (
        f"mysql+pymysql://mailpact:{text['mysql_password']}@mysql:3306/mailpact"
    )
    passwords = {broker[1], text["mysql_password"], text["mysql_root_password"]}
    passwords.add(text["grafana_password"])
    assert [len(password) for password in passwords] == [48] * 4


def test_a_secret_that_an_older_folder_lacks_is_added(secrets: Path) -> None:
    (secrets / "grafana_password").unlink()

    make_secrets(secrets.parent)

    assert len((secrets / "grafana_password").read_text().strip()) == 48
    assert stat.S_IMODE((secrets / "grafana_password").stat().st_mode) == 0o444


def test_secrets_that_are_there_are_not_made_again(secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}

    make_secrets(secrets.parent)

    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
