"""The one way in: make, CI, the list of system packages, the images."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"
TARGETS = {
    *("help", "setup", "demo", "serve", "test", "check", "peers"),
    *("soak", "bench", "interop-vendor", "certs", "clean"),
}


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_help_shows_every_target() -> None:
    shown = run("make", "--no-print-directory", "help")
    assert shown.returncode == 0, shown.stderr
    assert set(re.findall(r"^  make (\S+)", shown.stdout, re.MULTILINE)) == TARGETS


@pytest.mark.parametrize("script", [".ci/run", "docker/install.sh"])
def test_a_script_is_executable_and_parses(script: str) -> None:
    path = REPOSITORY / script
    assert path.stat().st_mode & 0o111
    parsed = run("bash", "-n", path)
    assert parsed.returncode == 0, parsed.stderr


def test_ci_does_what_a_person_types() -> None:
    assert re.search(r"^exec make test$", (REPOSITORY / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_image_installs_from_the_same_list() -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert "COPY docker/install.sh" in dockerfile
    assert "apt-get" not in dockerfile
    sets = re.findall(r"install-packages (\w+)", dockerfile)
    assert sorted(sets) == ["peers", "runtime", "tools"]


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="no Debian")
@pytest.mark.parametrize("packages", ["peers", "runtime", "tools"])
def test_the_list_tells_what_is_missing(packages: str) -> None:
    told = run(DOCKER / "install.sh", "missing", packages)
    assert told.returncode == 0, told.stderr


def test_an_unknown_list_is_refused() -> None:
    refused = run(DOCKER / "install.sh", "everything")
    assert refused.returncode == 64
    assert "peers" in refused.stderr


def test_the_image_runs_as_nobody_special() -> None:
    runtime = (DOCKER / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER agent$", runtime, re.MULTILINE)


def test_compose_mounts_files_that_are_there() -> None:
    compose = (DOCKER / "compose.yaml").read_text()
    mounted = re.findall(r"- (\.{1,2}/[^:\s]+):", compose)
    assert {Path(path).name for path in mounted} >= {
        "kamailio.cfg",
        "rtpengine.conf",
        "turnserver.conf",
    }
    for path in mounted:
        assert (DOCKER / path).exists(), path
    assert not re.search(r"password:\s*[\"']?\w+[\"']?\s*$", compose, re.IGNORECASE | re.MULTILINE)


def test_what_compose_is_said_to_be_told_it_hands_on() -> None:
    comment, _, services = (DOCKER / "compose.yaml").read_text().partition("\nname: ")
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comment))
    assert named >= {"AGENT_ENDPOINT_HOST", "SIP_ADDRESS", "POSTGRES_PASSWORD"}
    assert [name for name in sorted(named) if f"${{{name}:" not in services] == []


def test_no_secret_of_a_tree_goes_into_an_image() -> None:
    """What git is told to leave out for what it holds, docker leaves out too."""
    ignored = (DOCKER.parent / ".dockerignore").read_text().splitlines()
    for name in ("agent-endpoint.toml", "*.secret", "certs/*.key"):
        assert {name, f"**/{name}"} & set(ignored), name


def test_certificates_are_made_for_the_names_given(tmp_path: Path) -> None:
    made = run("make", "certs", f"CERTS={tmp_path}", "NAMES=phone.example 192.0.2.10")
    assert made.returncode == 0, made.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"client.pem", "server.pem", "server.key"}
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
