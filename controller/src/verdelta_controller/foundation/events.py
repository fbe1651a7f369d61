"""Tell whoever watches that something changed.  A topic is a name such as "rollout-12"; what changed is read anew.

Watchers are in this process.  Missing an event does no harm: each one says only "look again".
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class EventBus:
    """Publish from any thread, watch from the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(set)

    def publish(self, topic: str) -> None:
        """Wake everybody who watches a topic."""
        with self._lock:
            watchers = list(self._watchers.get(topic, ()))
        for loop, event in watchers:
            with suppress(RuntimeError):  # its loop was closed: nobody watches any more
                loop.call_soon_threadsafe(event.set)

    @asynccontextmanager
    async def watch(self, topic: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever the topic changed; the watcher clears it."""
        watcher = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._watchers[topic].add(watcher)
        try:
            yield watcher[1]
        finally:
            with self._lock:
                self._watchers[topic].discard(watcher)
                if not self._watchers[topic]:
                    del self._watchers[topic]
