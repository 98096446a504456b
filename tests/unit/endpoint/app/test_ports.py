"""Who holds a port is read from /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.app.ports import Owner, find_owner

pytestmark = pytest.mark.unit

HEADER = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode"
)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process 42 `baresip` that listens on TCP 8443 (IPv6) and holds UDP 5060."""
    net, fds = tmp_path / "net", tmp_path / "42" / "fd"
    net.mkdir()
    fds.mkdir(parents=True)
    (tmp_path / "42" / "comm").write_text("baresip\n")
    (tmp_path / "self").mkdir()
    (fds / "7").symlink_to("socket:[1001]")
    (fds / "8").symlink_to("socket:[1002]")
    tail = "00000000:00000000 00:00000000 00000000     0        0"
    (net / "tcp").write_text(
        # 8443 (0x20FB): a connection, which is no listener
        f"{HEADER}\n   0: 0100007F:20FB 0100007F:9999 01 {tail} 1003 1\n"
    )
    (net / "tcp6").write_text(f"{HEADER}\n   0: {'0' * 32}:20FB {'0' * 32}:0000 0A {tail} 1001 1\n")
    (net / "udp").write_text(f"{HEADER}\n   0: 0100007F:13C4 00000000:0000 07 {tail} 1002 1\n")
    return tmp_path


def test_the_owner_of_a_port_is_named(proc: Path) -> None:
    assert find_owner(8443, udp=False, proc=proc) == Owner(42, "baresip")
    assert str(find_owner(5060, udp=True, proc=proc)) == "baresip (pid 42)"


def test_a_port_of_another_kind_is_free(proc: Path) -> None:
    assert find_owner(5060, udp=False, proc=proc) is None
    assert find_owner(8080, udp=False, proc=proc) is None


def test_a_process_that_can_not_be_looked_into_stays_unknown(proc: Path) -> None:
    for link in (proc / "42" / "fd").iterdir():
        link.unlink()
    assert find_owner(8443, udp=False, proc=proc) is None


def test_without_proc_nobody_is_named(tmp_path: Path) -> None:
    assert find_owner(8443, udp=False, proc=tmp_path) is None
