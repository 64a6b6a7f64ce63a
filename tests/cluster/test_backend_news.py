"""News of services: handed on once however often they come, and a status made once for each."""

from __future__ import annotations

import asyncio

from kale_serve_lab.backends.kserve.news import News, Statuses
from kale_serve_lab.serving.types import ServiceKey, Status

A, B = ServiceKey("default", "a"), ServiceKey("other", "a")


def test_what_comes_in_one_turn_is_told_once():
    async def run():
        told = []
        news = News(lambda keys: told.append(keys if keys is None else list(keys)))
        for _ in range(3):
            news.add(A)
            news.add(B)
        assert told == []
        await asyncio.sleep(0)
        assert told == [[A, B]]
        news.add(A)
        news.add(None)
        while len(told) < 2:  # noqa: ASYNC110 (its own turns are what is tested)
            await asyncio.sleep(0)
        assert told[1] is None
        news.add(A)
        news.close()
        await asyncio.sleep(0.01)
        assert len(told) == 2

    asyncio.run(run())


def test_a_status_is_made_anew_after_news_and_while_not_all_is_well():
    made = []

    def make(state="Ready"):
        made.append(state)
        return Status(state, "", None, None, (), (), None)

    statuses = Statuses()
    for _ in range(3):
        statuses.get(A, make, 0.0)
    statuses.get(A, make, 1e9)
    assert made == ["Ready"]
    statuses.drop(B)
    statuses.get(A, make, 0.0)
    assert made == ["Ready"]
    statuses.drop(A)
    for now in (0.0, 0.5, 2.0):
        statuses.get(A, lambda: make("Loading"), now)
    assert made == ["Ready", "Loading", "Loading"]
