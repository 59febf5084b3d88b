"""Rules for our containers beyond what `docker compose` checks; each rule returns the faults in words."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mailpact_cli.commands import commands, root

Service = Mapping[str, Any]

PINNED = re.compile(r"[a-z/]+:v?[0-9]+\.[0-9]+(?:[.-][a-z0-9.-]+)?")
PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@")
PASSWORD_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY", re.IGNORECASE)
BUILDS_OR_FETCHES = re.compile(r"\b(?:apt-get|apt|apk|gcc|make|curl|wget|pip)\b")
FROM = re.compile(r"^FROM (\S+)(?: AS (\S+))?$", re.MULTILINE)


def project_faults(project: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a loaded compose file, in words."""
    services: Mapping[str, Service] = project["services"]
    closed = {name for name, network in project["networks"].items() if network.get("internal")}
    faults = [
        f"{name} {fault}"
        for name, service in services.items()
        for rule in (_open_ports, _passwords, _health, _confinement, _limits, _image, _variables)
        for fault in rule(service)
    ]
    faults += [
        f"{name} can reach the world without need"
        for name, service in services.items()
        if not service.get("ports") and not set(service["networks"]) <= closed
    ]
    used = {secret["source"] for service in services.values() for secret in service.get("secrets", ())}
    return faults + [f"nobody uses the secret {name}" for name in sorted(set(project["secrets"]) - used)]


def _open_ports(service: Service) -> Iterator[str]:
    for port in service.get("ports", ()):
        if port.get("host_ip") != "127.0.0.1":
            yield f"publishes {port['target']} to other machines"


def _passwords(service: Service) -> Iterator[str]:
    for name, text in service.get("environment", {}).items():
        if PASSWORD_IN_URL.search(text or "") or (
            PASSWORD_NAME.search(name) and not str(text).startswith("/run/secrets/")
        ):
            yield f"has a password in {name}"
    if PASSWORD_IN_URL.search(" ".join(service.get("command") or ())):
        yield "has a password in its command"


def _health(service: Service) -> Iterator[str]:
    if not service.get("healthcheck", {}).get("test"):
        yield "has no health check"
    for name, needed in service.get("depends_on", {}).items():
        if needed["condition"] != "service_healthy":
            yield f"does not wait until {name} is healthy"


def _confinement(service: Service) -> Iterator[str]:
    if not service.get("read_only"):
        yield "may write to its root file system"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
        yield "has capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", ()):
        yield "may get new privileges"
    if service.get("restart") != "unless-stopped":
        yield "is not started again"
    if service.get("user", "root" if not _is_ours(service) else "") in ("root", "0"):
        yield "runs as root"
    if any(volume["type"] != "volume" for volume in service.get("volumes", ())):
        yield "sees files of the machine"


def _limits(service: Service) -> Iterator[str]:
    if not int(service.get("mem_limit", 0)):
        yield "has no memory limit"
    if not service.get("cpus"):
        yield "has no limit of processors"
    if not service.get("pids_limit"):
        yield "has no limit of processes"
    if "max-size" not in (service.get("logging") or {}).get("options", {}):
        yield "has a log without an end"


def _image(service: Service) -> Iterator[str]:
    if not _is_ours(service) and not PINNED.fullmatch(service["image"]):
        yield f"has an image that is not pinned: {service['image']}"


def _variables(service: Service) -> Iterator[str]:
    if not _is_ours(service):
        return
    known = {str(parameter.envvar) for parameter in commands(root())[service["command"][0]].params}
    for name in service.get("environment", {}):
        if name not in known and name.removesuffix("_FILE") not in known:
            yield f"has a variable that its command does not read: {name}"


def _is_ours(service: Service) -> bool:
    return str(service["image"]).startswith("mailpact:")


def dockerfile_faults(text: str) -> list[str]:
    """Return what is wrong with a Dockerfile, in words."""
    stages = list(FROM.finditer(text))
    last = text[stages[-1].end() :]
    code = re.sub(r"(?m)^#.*\n", "", last)
    users = re.findall(r"(?m)^USER (\S+)$", last)
    faults = [f"the base {stage[1]} is not pinned" for stage in stages if not PINNED.fullmatch(stage[1])]
    if len({stage[1] for stage in stages}) > 1:
        faults.append(
            "the stages stand on different bases"
        )  # an environment belongs to the Python it was made with
    if not users or users[-1].partition(":")[0] in ("0", "root") or not users[-1][0].isdigit():
        faults.append("the last stage does not run as a numbered user")
    if found := BUILDS_OR_FETCHES.search(code):
        faults.append(f"the last stage uses {found[0]}")
    if "--require-hashes" not in text:
        faults.append("libraries are installed without hashes")
    if re.search(r"(?m)^ADD |^# *syntax=", text):
        faults.append("something is fetched from elsewhere")
    return faults


def ignored_by_default(dockerignore: Path) -> bool:
    """Return whether an image gets only what .dockerignore names, and whether everything that is named exists."""
    lines = [line for line in dockerignore.read_text().splitlines() if line and not line.startswith("#")]
    return lines[0] == "*" and all(
        (dockerignore.parent / line[1:]).exists() for line in lines if line.startswith("!")
    )
