"""Rules, dashboard and runbooks: each alert fires in its fault only, and every expression reads metrics that exist."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.command import MAILPACT, environment
from tests.ops.metrics import metrics_in
from tests.servers.rabbitmq import Rabbitmq
from tests.servers.where import Program, Servers

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]
PROMETHEUS, RUNBOOKS = ROOT / "ops/prometheus", ROOT / "docs/runbooks"
RULES = PROMETHEUS / "rules.yaml"
OF_PROMETHEUS_ITSELF = {"up"}
PATIENCE_SECONDS = 90
SECTIONS = ["What it means", "What to look at", "What to do"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def run_promtool(
    promtool: Program, *words: str, cwd: Path = PROMETHEUS
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [promtool.path, *words],
        cwd=cwd,
        env=os.environ | promtool.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_rules_pass_their_tests(promtool: Program) -> None:
    for words in (("check", "rules", "rules.yaml"), ("test", "rules", "rules.test.yaml")):
        done = run_promtool(promtool, *words)

        assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_one_of_prometheus(promtool: Program, tmp_path: Path) -> None:
    text = (PROMETHEUS / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{PROMETHEUS}/"))
    done = run_promtool(promtool, "check", "config", "prometheus.yml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_in_its_fault_before_its_time_and_in_a_healthy_run() -> None:
    healthy, *faults = yaml.safe_load((PROMETHEUS / "rules.test.yaml").read_text())["tests"]
    looks = [look for fault in faults for look in fault["alert_rule_test"]]
    firing = {look["alertname"] for look in looks if look.get("exp_alerts")}
    silent_before = {look["alertname"] for look in looks if not look.get("exp_alerts")}
    silent = {look["alertname"] for look in healthy["alert_rule_test"] if not look.get("exp_alerts")}

    names = {alert["alert"] for alert in alerts()}
    assert names == firing == silent_before == silent
    assert not any(look.get("exp_alerts") for look in healthy["alert_rule_test"])


def test_the_healthy_run_has_every_metric_that_an_alert_reads() -> None:
    healthy = yaml.safe_load((PROMETHEUS / "rules.test.yaml").read_text())["tests"][0]
    given = {series["series"].partition("{")[0] for series in healthy["input_series"]}

    assert {name for alert in alerts() for name in metrics_in(alert["expr"])} <= given


def test_each_alert_has_a_severity_and_a_runbook_and_each_runbook_an_alert() -> None:
    for alert in alerts():
        name = alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
        page = (RUNBOOKS / f"{name}.md").read_text()
        assert page.startswith(f"# {name}\n")
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS, name
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {alert["alert"] for alert in alerts()}
    listed = re.findall(r"\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())
    assert sorted(listed) == sorted(pages)


@pytest.fixture(scope="module")
def site_and_consumer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Yield the names of all samples that a site and a consumer serve; each process runs alone, without a broker."""
    folder = tmp_path_factory.mktemp("services")
    away = ("--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    names: set[str] = set()
    with ExitStack() as ending:
        for last, words in (  # the sample that is served last, once the process has measured itself
            ("cms_outbox_pending", ("producer", "--listen", "127.0.0.1:0", "--canary", "canary@example.org")),
            ("amqp_connection_state", ("consumer",)),
        ):
            port = free_port()
            process = subprocess.Popen(
                [*MAILPACT, *words, "--health", f"127.0.0.1:{port}", *away],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            names |= samples_with(last, f"http://127.0.0.1:{port}/metrics")
        yield names


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def samples_with(name: str, url: str) -> set[str]:
    """Return the names of the samples that an address serves, as soon as the sample `name` is among them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError):
            names = samples(url)
            if name in names:
                return names
        time.sleep(0.1)
    raise AssertionError(f"{name} is not served at {url}")


def samples(url: str) -> set[str]:
    """Return the names of the samples that an address serves."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


@pytest.fixture(scope="module")
def of_rabbitmq(servers: Servers) -> Iterator[set[str]]:
    """Yield the names of the samples that RabbitMQ serves under the path that prometheus.yml reads."""
    node = Rabbitmq(servers.run, servers.root("rabbitmq"), plugin="prometheus")
    node.call(
        'rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"email.dead">>), true, false, [], none, <<"test">>)'
    )
    base = f"http://127.0.0.1:{node.management_port}"
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    yield {
        name
        for job in jobs
        if job["job_name"].startswith("rabbitmq")
        for name in samples(
            base
            + job.get("metrics_path", "/metrics")
            + "?"
            + "&".join(f"family={family}" for family in job.get("params", {}).get("family", ()))
        )
    }
    node.stop()


def expressions() -> dict[str, str]:
    """Return every expression of the rules and of the dashboard, by the name of its alert or panel."""
    panels = json.loads((ROOT / "ops/grafana/mailpact.json").read_text())["panels"]
    return {alert["alert"]: alert["expr"] for alert in alerts()} | {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", ())
    }


def names_read(*, of_rabbitmq: bool) -> dict[str, set[str]]:
    """Return the metrics that each expression reads: only RabbitMQ's, or all except RabbitMQ's."""
    return {
        title: {name for name in metrics_in(text) if name.startswith("rabbitmq_") == of_rabbitmq}
        for title, text in expressions().items()
    }


def test_every_metric_that_rules_and_dashboard_read_is_served(site_and_consumer: set[str]) -> None:
    served = site_and_consumer | OF_PROMETHEUS_ITSELF
    missing = {title: names - served for title, names in names_read(of_rabbitmq=False).items()}

    assert {title: names for title, names in missing.items() if names} == {}


@pytest.mark.long
def test_every_metric_of_rabbitmq_is_served(of_rabbitmq: set[str], rabbitmq_node: object) -> None:
    missing = {title: names - of_rabbitmq for title, names in names_read(of_rabbitmq=True).items()}

    assert {title: names for title, names in missing.items() if names} == {}


def test_every_expression_of_the_dashboard_is_promql(promtool: Program, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(expressions().values())
    ]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = run_promtool(promtool, "check", "rules", "rules.yaml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("max(a_b) > 0", {"a_b"}),
        ('sum by (le, x) (rate(a_bucket{b="c d"}[5m])) unless on (x) d_e', {"a_bucket", "d_e"}),
        ("time() - a offset 5m", {"a"}),
        ("histogram_quantile(0.99, a) and 0.01 * b", {"a", "b"}),
    ],
)
def test_the_metrics_of_an_expression_are_found(expression: str, names: set[str]) -> None:
    assert metrics_in(expression) == names
