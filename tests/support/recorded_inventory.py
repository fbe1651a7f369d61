"""Prints the inventory of recorded hosts as the agent in a .pyz makes it: python recorded_inventory.py PYZ < recordings

Standard input is {host: recording}; what is printed, too, has a line for each host: its document as JSON.  The time of
a snapshot and the version of Python are the only things that may differ, so the time is fixed.

Runs on Python 3.6, as the agent does.
"""

import json
import sys


def main() -> None:
    """Inventory every host on standard input."""
    sys.path.insert(0, sys.argv[1])

    from verdelta_agent import show
    from verdelta_agent.collectors import SECTIONS
    from verdelta_agent.gather import gather
    from verdelta_agent.model import document
    from verdelta_agent.recorded_host import RecordedHost

    recordings = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    for name in sorted(recordings):
        snapshot = gather(RecordedHost(recordings[name]), [entry.load() for entry in SECTIONS], name)
        text = show.as_json(document(snapshot._replace(taken_at="2026-01-02T03:04:05Z")))
        sys.stdout.write(json.dumps(text) + "\n")


if __name__ == "__main__":
    main()
