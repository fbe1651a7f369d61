"""python -m tests.lab: real hosts to work with by hand."""

import argparse
import signal
import sys
import time

from . import Lab, LabError, image, instance, why_not
from .lab import REPOSITORY_URL


def main() -> int:
    options = _parser().parse_args()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    try:
        return int(options.action(options))
    except LabError as e:
        print(e, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab",
        description="Real hosts on this machine: systemd, sshd, snmpd and a package manager each, "
        "on a network of their own that nothing leaves. Needs root.",
    )
    actions = parser.add_subparsers(required=True, metavar="up | clean | image")
    up = actions.add_parser(
        "up",
        help="bring hosts up, and take them down at Ctrl-C",
        description="Bring hosts up and say how to reach them. The first time this builds the image (about a minute).",
    )
    up.add_argument("--debian", type=int, default=3, metavar="N", help="hosts of the Debian family, h1…hN (default 3)")
    up.add_argument("--rpm", type=int, default=1, metavar="N", help="hosts of the rpm family, r1…rN (default 1)")
    up.set_defaults(action=_up)
    clean = actions.add_parser(
        "clean",
        help="clear what killed labs have left behind",
        description="Clear processes, mounts, namespaces and loop devices of labs whose owner is gone. "
        "Labs in use are left alone. Every `up` does this too.",
    )
    clean.add_argument("--images", action="store_true", help="empty the cache of images as well")
    clean.set_defaults(action=_clean)
    build = actions.add_parser(
        "image",
        help="build the image that hosts are cloned from",
        description="Build the image if the cache has none of the current recipe, and print where it is.",
    )
    build.set_defaults(action=_image)
    return parser


def _up(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # in order, like Ctrl-C
    try:
        with Lab.up(debian=options.debian, rpm=options.rpm) as lab:
            print(_guide(lab), flush=True)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        return 0


def _guide(lab: Lab) -> str:
    inside = f"nsenter --net=/run/netns/{lab.namespace}"
    first = next(iter(lab.hosts), "h1")
    return "\n".join((
        f"Lab {lab.id} is up. Ctrl-C takes it down.",
        "",
        *(f"  {host.name:<5} {host.family:<7} {host.address}" for host in lab.hosts.values()),
        "",
        f"  a shell on a host   {inside} ssh -F {lab.ssh_config} {first}",
        f"  in their network    {inside} bash        (its own address is {lab.gateway})",
        f"  packages            {lab.repository_url}, served from {lab.repository}",
    ))  # fmt: skip


def _clean(options: argparse.Namespace) -> int:
    cleared = instance.clean()
    print(f"Cleared {', '.join(cleared)}." if cleared else "Nothing was left behind.")
    if options.images:
        if instance.everyone():
            raise LabError("a lab is in use, so the images stay")
        image.empty_cache()
        print(f"Emptied {image.cache()}.")
    return 0


def _image(options: argparse.Namespace) -> int:
    print(image.ensure(REPOSITORY_URL).path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
