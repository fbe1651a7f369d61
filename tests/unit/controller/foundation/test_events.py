"""Whoever watches a topic is woken from any thread, and nobody who publishes is disturbed by those who watch."""

import asyncio
import threading

import pytest

from verdelta_controller.foundation.events import EventBus


def test_whoever_watches_is_woken_from_another_thread_and_nobody_else_is():
    async def watch() -> tuple[bool, bool]:
        bus = EventBus()
        async with bus.watch("rollout-1") as mine, bus.watch("rollout-2") as other:
            threading.Thread(target=bus.publish, args=("rollout-1",)).start()
            await asyncio.wait_for(mine.wait(), 5)
            return mine.is_set(), other.is_set()

    assert asyncio.run(watch()) == (True, False)


def test_several_watchers_of_a_topic_are_all_woken_and_again_after_they_looked():
    async def watch() -> None:
        bus = EventBus()
        async with bus.watch("rollout-1") as one, bus.watch("rollout-1") as other:
            for _ in range(3):
                bus.publish("rollout-1")
                await asyncio.wait_for(asyncio.gather(one.wait(), other.wait()), 5)
                one.clear()
                other.clear()

    asyncio.run(watch())


def test_nothing_is_kept_of_those_who_left():
    async def watch(bus: EventBus) -> None:
        async with bus.watch("rollout-1"):
            assert bus._watchers
        with pytest.raises(ZeroDivisionError):
            async with bus.watch("rollout-1"):
                raise ZeroDivisionError

    bus = EventBus()
    asyncio.run(watch(bus))
    bus.publish("rollout-1")
    assert bus._watchers == {}


def test_a_watcher_whose_loop_was_closed_disturbs_nobody():
    bus = EventBus()
    loop = asyncio.new_event_loop()
    watching = bus.watch("rollout-1")
    loop.run_until_complete(watching.__aenter__())
    loop.close()
    bus.publish("rollout-1")


def test_who_comes_and_goes_while_others_publish_loses_nothing():
    bus = EventBus()
    ended = threading.Event()

    def publish() -> None:
        while not ended.is_set():
            bus.publish("rollout-1")

    async def watch() -> None:
        for _ in range(200):
            async with bus.watch("rollout-1") as changed:
                await asyncio.wait_for(changed.wait(), 5)

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
        thread.start()
    asyncio.run(watch())
    ended.set()
    for thread in threads:
        thread.join()
    assert bus._watchers == {}
