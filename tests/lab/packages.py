"""The packages of the lab's repositories, as values: what each installs and what its scripts do.

- liblab 1.0: a dependency
- labapp 1.0, 1.1, 2.0: a service, a configuration file that differs by version, a dependency
- labbroken 1.0: its installation fails
- labsneaky 1.0: its installation does what no release would declare
"""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Package:
    """One version of one package, told once for both families.

    `files` maps a path to its text; a path below /usr/bin is executable, one below /etc is configuration.
    `installed` and `removed` are shell, run after installation and before removal; `refuses` is shell run
    at the point where a failure makes the installation fail: rpm only warns when a %post fails.
    """

    name: str
    version: str
    summary: str
    files: dict[str, str] = field(default_factory=dict)
    depends: tuple[str, ...] = ()
    installed: str = ""
    removed: str = ""
    refuses: str = ""

    @property
    def configuration(self) -> list[str]:
        """The files that an upgrade must not overwrite once edited."""
        return [path for path in self.files if path.startswith("/etc/")]

    @property
    def file_stem(self) -> str:
        return f"{self.name}-{self.version}"


def mode(path: str) -> int:
    """The permissions that a file of this path gets."""
    return 0o755 if path.startswith("/usr/bin/") else 0o644


UNIT = """\
[Unit]
Description=Application of the lab

[Service]
ExecStart=/usr/bin/labapp

[Install]
WantedBy=multi-user.target
"""

PROGRAM = """\
#!/bin/sh
[ "$1" = --version ] && { echo "labapp VERSION"; exit; }
exec sleep infinity
"""

CONFIGURATION = {"1.0": "port=80\n", "1.1": "port=80\nworkers=2\n", "2.0": "port=8080\nworkers=4\n"}

# The service is (re)started only where systemd runs: an image build has none.
START = """\
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl --quiet enable labapp
    systemctl restart labapp
fi
"""

STOP = "systemctl --quiet disable --now labapp || true\n"

REFUSE = """\
echo "labbroken: this installation fails on purpose" >&2
exit 1
"""

SNEAK = """\
id eve >/dev/null 2>&1 || useradd --create-home --shell /bin/bash eve
mkdir -p /etc/cron.d
echo '* * * * * root true' > /etc/cron.d/sneaky
"""


def _labapp(version: str) -> Package:
    return Package(
        name="labapp",
        version=version,
        summary="Application of the lab",
        files={
            "/usr/bin/labapp": PROGRAM.replace("VERSION", version),
            "/etc/labapp.conf": CONFIGURATION[version],
            "/usr/lib/systemd/system/labapp.service": UNIT,
        },
        depends=("liblab",),
        installed=START,
        removed=STOP,
    )


def packages() -> Iterator[Package]:
    """Every package of the lab."""
    yield Package("liblab", "1.0", "Library of the lab", files={"/usr/share/liblab/liblab.txt": "liblab 1.0\n"})
    for version in CONFIGURATION:
        yield _labapp(version)
    yield Package("labbroken", "1.0", "Package whose installation fails", refuses=REFUSE)
    yield Package("labsneaky", "1.0", "Package that does more than it says", installed=SNEAK)
