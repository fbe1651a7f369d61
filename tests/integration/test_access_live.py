"""What the agent says of logins, certificates and cron, held against the tools that decide or know."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from verdelta_agent.collectors.software import certificates, der
from verdelta_agent.collectors.system import authorized_keys, sshd, sudoers
from verdelta_agent.host import LocalHost
from verdelta_agent.recorded_host import RecordedHost

HOSTS = Path(__file__).parents[1] / "hosts"


def tool(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def printed(*command: str, data: bytes = b"") -> str:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()


SSHD_CONFIG = """\
Include {folder}/*.conf {folder}/nothing
Port 2222
Port 2200
PermitRootLogin no
PasswordAuthentication=no
ClientAliveInterval 1h30m
LoginGraceTime 2m
MaxAuthTries 3
AllowUsers alice bob
AllowUsers carol
X11Forwarding no
Banner none
PermitOpen a:1
PermitOpen b:2
SetEnv A=1 B=2
SetEnv C=3
AcceptEnv LANG
AcceptEnv LC_*
LogVerbose kex.c:*:1000
LogVerbose auth.c:*:1
AuthorizedKeysFile /a "/b c"
Subsystem sftp internal-sftp -f X
IPQoS lowdelay
RekeyLimit 1G 1h
ListenAddress 127.0.0.1:2222
Ciphers aes256-gcm@openssh.com # the only one
MaxStartups 5:30:5
PubkeyAcceptedKeyTypes ssh-ed25519
SyslogFacility auth
LogLevel verbose
TCPKeepAlive = no
"MaxSessions" 4
ForceCommand echo "a  b" # c
VersionAddendum hello world # x
Match User anoncvs
    X11Forwarding yes
"""
SSHD_INCLUDED = {
    "a.conf": "permitrootlogin yes\nMatch User x\nX11Forwarding yes\n",
    "b.conf": "MaxAuthTries 5\n",
    ".c.conf": "Port 9\n",
}
AS_SSHD_WRITES_IT = {  # times in seconds, sizes in bytes, the names of syslog, both directions of IPQoS
    "clientaliveinterval": "5400",
    "logingracetime": "120",
    "rekeylimit": "1073741824 3600",
    "syslogfacility": "AUTH",
    "loglevel": "VERBOSE",
    "ipqos": "lowdelay lowdelay",
}


def test_every_setting_of_sshd_is_as_sshd_says(tmp_path: Path) -> None:
    key, config, folder = tmp_path / "key", tmp_path / "sshd_config", tmp_path / "more"
    folder.mkdir()
    printed(tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    config.write_text(f"HostKey {key}\n{SSHD_CONFIG.format(folder=folder)}")
    for name, text in SSHD_INCLUDED.items():
        (folder / name).write_text(text)
    Path("/run/sshd").mkdir(exist_ok=True)
    effective: dict[str, list[str]] = {}
    for line in printed(tool("sshd"), "-T", "-f", str(config)).splitlines():
        name, _, value = line.partition(" ")
        effective.setdefault(name, []).append(value)
    files = {str(path): path.read_text() for path in (*folder.iterdir(), key.with_suffix(".pub"))}
    rows = sshd.collect(RecordedHost({"files": {"/etc/ssh/sshd_config": config.read_text(), **files}})).rows
    ours = {name: row["value"] for name, row in rows.items() if not name.startswith(("match ", "host key "))}
    assert (ours["permitrootlogin"], ours["maxauthtries"], ours["port"]) == ("yes", "5", "2222, 2200")
    assert len(ours) == 28
    for name, value in ours.items():
        theirs = effective[name]
        # sshd shows the names and values of several variables one a line, and a quoted path without its quotes
        words = AS_SSHD_WRITES_IT.get(name, value).replace(",", "").split()
        assert words == " ".join(theirs).split(), name
    theirs_of_key = printed(tool("ssh-keygen"), "-l", "-f", str(key)).split()[1]
    assert rows[f"host key {key}"]["fingerprint"] == theirs_of_key


def test_fingerprints_are_those_that_ssh_keygen_prints(tmp_path: Path) -> None:
    file = tmp_path / "authorized_keys"
    for kind in ("rsa", "ecdsa", "ed25519"):
        printed(tool("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", f"{kind} key", "-f", str(tmp_path / kind))
    lines = [(tmp_path / f"{kind}.pub").read_text() for kind in ("rsa", "ecdsa", "ed25519")]
    file.write_text("# keys\n" + 'from="10.*",command="echo \\"x\\"" '.join(["", *lines]))
    theirs = {line.split()[1] for line in printed(tool("ssh-keygen"), "-l", "-f", str(file)).splitlines()}
    ours = {key for _, key, row in authorized_keys.parse(file.read_text()) if row}
    assert ours == theirs
    assert len(ours) == 3


SUDOERS = """\
Defaults passprompt="#%p: ", env_keep += "A B", !lecture
Defaults:alice, bob !requiretty
Defaults@h1, h2 fqdn
Defaults!/usr/bin/ls, PAGERS noexec
Defaults>root, #0 umask=022
Cmnd_Alias OTHER = sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== /bin/ls : PAGERS = /usr/bin/more, \\
   /usr/bin/less
alice   ALL=(ALL , !root) NOPASSWD : /bin/vi, PASSWD:/bin/sh
#1000 ALL=ALL
#- comment \\
carl h1 = /bin/a : h2 = /bin/b
dora ALL=/bin/echo a\\=b\\, c\\:d
"domain users@x", %wheel, +net, !eve ALL = CWD=/tmp NOPASSWD: /bin/date
root ALL=ALL # comment \\
root ALL=NOPASSWD:/bin/x#y
erik\tALL = (root) \\
  /bin/y
fay ALL=sudoedit /etc/a, /bin/re ^a\\#b$
%#100 ALL=ALL
%:nonunix, %:#9 ALL=ALL
 #include /etc/nothing
ida ALL=(www:www) ALL
"""


def test_sudo_understands_the_rules_as_they_are_shown(tmp_path: Path) -> None:
    """What sudo makes of a text, written down again by sudo, has the same rows as the text."""
    cvtsudoers = tool("cvtsudoers")
    for text in (SUDOERS, *_recorded_sudoers()):
        written = printed(cvtsudoers, "-f", "sudoers", data=text.encode())
        assert _unquoted(_rows_of(text)) == _unquoted(_rows_of(written))


def test_users_and_settings_are_those_that_sudo_finds() -> None:
    text = SUDOERS.replace("CWD=/tmp", "")  # of which sudo 1.9.13 makes no JSON
    found = json.loads(printed(tool("cvtsudoers"), "-f", "json", data=text.encode()))
    theirs: dict[str, int] = {}
    for spec in found["User_Specs"]:
        who = ",".join(map(_who, spec["User_List"]))
        theirs[who] = theirs.get(who, 0) + 1
    rows = _rows_of(SUDOERS)
    ours = {key.replace('"', ""): len(row["rules"]) for key, row in rows.items() if "rules" in row}
    ours["carl"] += 1  # one line of two hosts, of which sudo makes two rules
    assert ours == theirs
    settings = {name for item in found["Defaults"] for option in item["Options"] for name in option}
    shown = {key.split()[-1] for key in rows if key.startswith("Defaults")}
    assert settings - {"operation"} == shown


def _unquoted(rows: dict[str, Any]) -> str:
    """Return rows as text.  Sudo writes a colon behind a backslash where the text has it within quotes."""
    return repr(sorted(rows.items())).replace("\\\\:", ":").replace('"', "").replace("'", "")


def _rows_of(text: str) -> dict[str, Any]:
    section = sudoers.collect(RecordedHost({"files": {"/etc/sudoers": text}}))
    assert section.error is None
    return {key.partition(": ")[2]: row for key, row in section.rows.items()}


def _recorded_sudoers() -> list[str]:
    files = [json.loads(path.read_text())["host"]["files"] for path in HOSTS.glob("*/system.sudoers*.json")]
    texts = [text for each in files for path, text in each.items() if "sudoers" in path and isinstance(text, str)]
    return [re.sub(r"(?m)^([#@]include.*|not a rule)$", "", text) for text in texts]


def _who(user: dict[str, Any]) -> str:
    kind = next(kind for kind in user if kind != "negated")
    shown = {"usergroup": "%{}", "usergid": "%#{}", "userid": "#{}", "netgroup": "+{}", "nonunixgroup": "%:{}"}
    shown["nonunixgid"] = "%:#{}"
    return "!" * bool(user.get("negated")) + shown.get(kind, "{}").format(user[kind])


def test_certificates_are_told_as_openssl_tells_them() -> None:
    openssl = tool("openssl")
    chosen = ["-noout", "-serial", "-startdate", "-enddate", "-fingerprint", "-sha256", "-dateopt", "iso_8601"]
    seen = 0
    for name in ("/etc/ssl/certs/ca-certificates.crt", "/usr/share/ca-certificates"):
        for block in _blocks(Path(name)):
            data = base64.b64decode(block)
            ours = der.parse(data)
            lines = printed(openssl, "x509", "-inform", "DER", *chosen, data=data).splitlines()
            theirs = dict(line.split("=", 1) for line in lines)
            assert ours.serial == (theirs["serial"].lower().lstrip("0") or "0")
            assert ours.not_before == theirs["notBefore"].replace(" ", "T")
            assert ours.not_after == theirs["notAfter"].replace(" ", "T")
            seen += 1
    assert seen or not Path("/etc/ssl/certs/ca-certificates.crt").exists()


def _blocks(path: Path, most: int = 40) -> list[bytes]:
    files = sorted(path.rglob("*.crt")) if path.is_dir() else [path] if path.exists() else []
    return [block for file in files for block in certificates.BLOCK.findall(file.read_bytes())][:most]


def test_this_machine_is_read_twice_alike() -> None:
    for module in (certificates, authorized_keys, sshd, sudoers):
        assert module.collect(LocalHost()).rows == module.collect(LocalHost()).rows
