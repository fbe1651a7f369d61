#!/usr/bin/env python3
"""Ansible dynamic inventory: the hosts, groups and environments that a Verdelta controller looks after.

Asked by Ansible with --list or --host NAME.  Settings: VERDELTA_PROFILE, a file {url, token, ca} as `verdelta init`
writes it (~/.config/verdelta/client.json by default).  Standard library only.
"""

import argparse
import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

LIMIT = 64 << 20
TIMEOUT = 30


def main() -> int:
    """Print what Ansible asked for; one line and 1 when it cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--list", action="store_true", help="every group and host")
    asked.add_argument("--host", metavar="NAME", help="the variables of one host (--list has them already)")
    options = parser.parse_args()
    if options.host:
        print("{}")
        return 0
    try:
        print(json.dumps(inventory(_hosts(_profile())), indent=1, sort_keys=True))
    except (OSError, ValueError, KeyError) as error:
        print(f"verdelta inventory: {error}", file=sys.stderr)
        return 1
    return 0


def inventory(hosts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the inventory as Ansible reads it.  What came from the controller is marked unsafe: never a template."""
    found: dict[str, Any] = {"_meta": {"hostvars": {}}, "all": {"hosts": []}}
    for host in hosts:
        if host["reach"] != "ssh":
            continue
        name = host["name"]
        found["all"]["hosts"].append(name)
        found["_meta"]["hostvars"][name] = {
            "ansible_host": _unsafe(host["address"]),
            "ansible_port": int(host["port"]),
            "ansible_user": _unsafe(host["user"]),
            "ansible_become": bool(host["become"]),
            "ansible_python_interpreter": _unsafe(host["python"]),
        }
        for group in [*host["groups"], *([host["environment"]] if host["environment"] else [])]:
            found.setdefault(_group(group), {"hosts": []})["hosts"].append(name)
    return found


def _group(name: str) -> str:
    """Return a name that Ansible takes for a group."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _unsafe(value: str) -> dict[str, str]:
    return {"__ansible_unsafe": value}


def _profile() -> dict[str, str]:
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = Path(os.environ.get("VERDELTA_PROFILE") or base / "verdelta" / "client.json")
    profile: dict[str, str] = json.loads(path.read_text())
    return profile


def _hosts(profile: dict[str, str]) -> list[dict[str, Any]]:
    url = profile["url"].rstrip("/") + "/api/v1/hosts"
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
        raise ValueError(f"{profile['url']}: plain HTTP is spoken to this machine alone")
    context = ssl.create_default_context(cafile=profile.get("ca") or None) if url.startswith("https") else None
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {profile['token']}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as answer:  # noqa: S310
        hosts: list[dict[str, Any]] = json.loads(answer.read(LIMIT))
    return hosts


if __name__ == "__main__":
    sys.exit(main())
