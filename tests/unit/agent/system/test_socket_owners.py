"""Whose a socket is: found among the open files of real processes."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from tests.support.unprivileged import as_nobody

from verdelta_agent.collectors.system import sockets
from verdelta_agent.host import LocalHost
from verdelta_agent.recorded_host import RecordedHost
from verdelta_agent.socket_owners import find


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def test_the_program_that_holds_a_socket_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert find([inode(server)])[0] == [(inode(server), os.readlink("/proc/self/exe"))]


def test_of_several_that_share_a_socket_the_first_process_counts_and_a_removed_program_keeps_its_path(
    tmp_path: Path,
) -> None:
    program = tmp_path / "server"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(server.fileno(), True)
        child = subprocess.Popen([program, "60"], close_fds=False)
        number = inode(server)
        try:
            first = min(os.getpid(), child.pid)  # numbers begin anew at their end
            assert [path for _, path in find([number])[0]] == [os.readlink(f"/proc/{first}/exe")]
            server.close()
            program.unlink()
            assert [path for _, path in find([number])[0]] == [str(program)]
        finally:
            child.kill()
            child.wait()
    assert find([number])[0] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_who_may_not_look_at_every_process_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(server.fileno(), True)
        child = subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
        number = inode(server)
    try:
        assert as_nobody(lambda: find([number])) == ([], False)
    finally:
        child.kill()
        child.wait()


def test_a_server_that_became_another_program_is_a_changed_row() -> None:
    header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    line = "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
    seen = [
        sockets.collect(RecordedHost({"files": {"/proc/net/tcp": header + line}, "owners": {"4711": program}}))
        for program in ("/usr/sbin/sshd", "/tmp/sshd")
    ]
    assert [section.rows["tcp 0.0.0.0:22"]["programs"] for section in seen] == [["/usr/sbin/sshd"], ["/tmp/sshd"]]
    assert [section.error for section in seen] == [None, None]


def test_a_host_without_servers_is_not_asked() -> None:
    assert LocalHost().socket_owners([]) == ([], True)
