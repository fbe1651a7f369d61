"""Force a race: several actions at the same moment."""

import threading
from collections.abc import Callable, Sequence
from typing import Any


def at_once(actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run actions at the same moment, each in a thread; return what each returned, or the exception that it raised."""
    start = threading.Barrier(len(actions))
    results: list[Any] = [None] * len(actions)

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = actions[number]()
        except Exception as error:  # noqa: BLE001 - it is the result
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
