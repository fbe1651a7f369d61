"""Where this host takes packages from: repositories of apt, dnf, zypper, apk and pacman, and the keys that they trust.

Sources of the format: sources.list(5), dnf.conf(5) "Repo Options", zypper(8), apk-repositories(5), pacman.conf(5).

Logins and tokens in addresses are left out.  Of a key, the file's digest is compared.
"""

import hashlib
import re
from typing import Dict, Iterator, List, Optional, Tuple

from ...host import Host, printable
from ...model import OK, Collector, Row, Rows, Section, absent
from ..configuration import Reader
from ..incomplete import missing, together

APT = "/etc/apt"
APK = "/etc/apk"
PACMAN = "/etc/pacman.conf"
INI = (("dnf", "/etc/yum.repos.d"), ("dnf", "/etc/distro.repos.d"), ("zypp", "/etc/zypp/repos.d"))
KEYRINGS = ("/etc/apt/trusted.gpg.d", "/etc/apt/keyrings", "/etc/apk/keys", "/etc/pki/rpm-gpg")
SHOWN = (
    "baseurl",
    "mirrorlist",
    "metalink",
    "gpgcheck",
    "repo_gpgcheck",
    "gpgkey",
    "sslverify",
    "priority",
    "type",
) + ("excludepkgs", "includepkgs", "proxy")
LINE = re.compile(r"(deb|deb-src)\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)\Z")
FALSE = ("no", "false", "0", "off", "without", "disable")


def collect(host: Host) -> Section:
    """Absent where no package manager has repositories; partial where a file of them cannot be read."""
    reader = Reader(host)
    rows: Rows = {}
    bad: List[str] = []
    for path, text in _apt_files(reader):
        found, lines = parse_sources(text) if path.endswith(".sources") else parse_list(text)
        for key, row in found.items():
            _add(rows, "apt " + key, dict(row, path=printable(path)))
        bad += ["%s line %d" % (printable(path), number) for number in lines]
    for manager, folder in INI:
        for name in reader.names(folder):
            if name.endswith(".repo"):
                path = "%s/%s" % (folder, name)
                for identity, options in parse_ini(reader.text(path) or "").items():
                    rows["%s %s" % (manager, identity)] = dict(_repository(options), path=printable(path))
    rows.update(parse_apk(reader.text(APK + "/repositories") or ""))
    rows.update(_pacman(reader))
    rows.update(_keys(reader, rows))
    if not rows and not reader.problems and not bad:
        return absent("no package manager has repositories here")
    return Section(OK, rows, {}, together(reader.error(), missing("not understood", bad)))


# -- apt


def _apt_files(reader: Reader) -> Iterator[Tuple[str, str]]:
    names = ["sources.list"]
    names += ["sources.list.d/" + name for name in reader.names(APT + "/sources.list.d")]
    for name in names:
        text = reader.text("%s/%s" % (APT, name)) if name.endswith((".list", ".sources")) else None
        if text is not None:
            yield "%s/%s" % (APT, name), text


def parse_list(text: str) -> Tuple[Rows, List[int]]:
    """Return "type address suite" -> row of the one-line format, and the lines that are none."""
    rows: Rows = {}
    bad = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.partition("#")[0].strip()
        match = LINE.match(line)
        if match:
            kind, options, address, suite, components = match.groups()
            named = dict(option.partition("=")[::2] for option in (options or "").split())
            row = _apt_row(components.split(), named.get("signed-by"), (named.get("arch") or "").split(","))
            row["trusted"] = named.get("trusted") == "yes"
            _add(rows, "%s %s %s" % (kind, without_login(address), suite), row)
        elif line:
            bad.append(number)
    return rows, bad


def parse_sources(text: str) -> Tuple[Rows, List[int]]:
    """Return the same of the deb822 format: a row for each combination of type, address and suite."""
    rows: Rows = {}
    for paragraph in re.split(r"\n\s*\n", text):
        fields = _fields(paragraph)
        if fields.get("enabled", "yes").lower() in FALSE:
            continue
        architectures = fields.get("architectures", "").split()
        row = _apt_row(fields.get("components", "").split(), _signed_by(fields.get("signed-by")), architectures)
        row["trusted"] = fields.get("trusted") == "yes"
        for kind in fields.get("types", "").split():
            for address in fields.get("uris", "").split():
                for suite in fields.get("suites", "").split():
                    _add(rows, "%s %s %s" % (kind, without_login(address), suite), row)
    return rows, []


def _add(rows: Rows, key: str, row: Row) -> None:
    """Add a row; the components of another line for the same suite are its components, too."""
    before = rows.get(key, {}).get("components", [])
    rows[key] = dict(row, components=sorted(set(before) | set(row["components"])))


def _fields(paragraph: str) -> Dict[str, str]:
    fields: Dict[str, str] = {}
    name = ""
    for line in paragraph.split("\n"):
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = fields.get(name, "") + "\n" + line
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _signed_by(value: Optional[str]) -> Optional[str]:
    """Return the path or fingerprint of the key; of a key that stands there itself, its digest."""
    if value is None or "BEGIN PGP" not in value:
        return value.strip() if value else None
    return "sha256:" + hashlib.sha256("".join(value.split()).encode("utf-8")).hexdigest()


def _apt_row(components: List[str], signed_by: Optional[str], architectures: List[str]) -> Row:
    return {
        "components": sorted(components),
        "signed_by": signed_by,
        "architectures": sorted(filter(None, architectures)),
        "enabled": True,
    }


# -- dnf, zypper, pacman, apk


def parse_ini(text: str) -> Dict[str, Dict[str, str]]:
    """Return section -> its options; a line that begins with white space goes on with the value before it."""
    sections: Dict[str, Dict[str, str]] = {}
    options: Dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped.startswith("[") and stripped.endswith("]"):
            options = sections.setdefault(printable(stripped[1:-1].strip()), {})
        elif line[:1] in (" ", "\t") and name in options:
            options[name] += " " + stripped
        else:
            name, _, value = stripped.partition("=")
            name = name.strip().lower()
            options[name] = value.strip()
    return sections


def _repository(options: Dict[str, str]) -> Row:
    row: Row = {name: without_login(options[name]) for name in SHOWN if name in options}
    row["enabled"] = options.get("enabled", "1").lower() not in FALSE
    return row


def parse_apk(text: str) -> Rows:
    """Return "apk address" -> tag and whether it is switched on, of /etc/apk/repositories."""
    rows: Rows = {}
    for line in map(str.strip, text.split("\n")):
        enabled = not line.startswith("#")
        words = line.lstrip("# ").split()
        tag = words.pop(0) if words and words[0].startswith("@") else None
        if len(words) == 1 and ("://" in words[0] or words[0].startswith("/")):
            rows["apk " + without_login(words[0])] = {"tag": tag, "enabled": enabled}
    return rows


def _pacman(reader: Reader) -> Rows:
    rows: Rows = {}
    for name, options in parse_ini(reader.text(PACMAN) or "").items():
        if name != "options":
            servers = [options[key] for key in ("server", "include") if key in options]
            row: Row = {"baseurl": without_login(" ".join(servers)), "gpgcheck": options.get("siglevel")}
            rows["pacman " + name] = dict(row, enabled=True, path=PACMAN)
    return rows


# -- keys


def _keys(reader: Reader, repositories: Rows) -> Rows:
    """Return "key PATH" -> digest of every file of keys that is trusted, or that a repository names."""
    paths = {APT + "/trusted.gpg"}
    for folder in KEYRINGS:
        paths.update("%s/%s" % (folder, name) for name in reader.names(folder))
    for row in repositories.values():
        words = "%s %s" % (row.get("signed_by") or "", row.get("gpgkey") or "")
        paths.update(word.replace("file://", "") for word in words.split() if word.startswith(("/", "file:///")))
    rows = {}
    for path in sorted(paths):
        text = reader.bytes(path)
        if text is not None:
            rows["key %s" % printable(path)] = {"digest": hashlib.sha256(text).hexdigest()}
    return rows


def without_login(address: str) -> str:
    """Return addresses without what stands before an @ in them, and without what follows a question mark."""
    return printable(re.sub(r"(?<=://)[^/@\s]*@", "", re.sub(r"\?\S*", "", address)))


COLLECTOR = Collector(
    "software.repositories",
    key="apt type address suite; dnf, zypp or pacman and the repository's id; apk address; key and its path",
    collect=collect,
    deadline=10,
    fields={
        "path": "the file that says so; the last one counts",
        "enabled": "whether packages are taken from there",
        "components": "of apt, sorted",
        "architectures": "of apt, where they are limited",
        "signed_by": "of apt: path or fingerprint of the key; the digest of one that stands there itself",
        "trusted": "of apt: whether signatures are not asked for",
        "tag": "of apk: the name by which packages are pinned to it",
        "baseurl": "addresses, without logins and queries; of pacman, Server and Include",
        "mirrorlist": "address of a list of mirrors",
        "metalink": "address of a list of mirrors with checksums",
        "gpgcheck": "whether packages have to be signed; of pacman, SigLevel",
        "repo_gpgcheck": "whether the index has to be signed",
        "gpgkey": "addresses of the keys",
        "sslverify": "whether the server's certificate is checked",
        "priority": "lower goes first",
        "excludepkgs": "packages that are never taken from there",
        "includepkgs": "packages that alone are taken from there",
        "type": "of zypper: kind of repository",
        "proxy": "by which it is reached",
        "digest": "of a file of keys: SHA-256",
    },
)
