"""What queues while the taker is busy is taken at once, and the queue is bounded."""

from __future__ import annotations

import threading

from undertone.handoff import Handoff


def test_what_has_queued_is_taken_oldest_first() -> None:
    queue: Handoff[int] = Handoff(10)
    for item in range(5):
        queue.put(item)
    assert queue.take(3) == [0, 1, 2]
    assert queue.take(3, linger_seconds=60) == [3, 4]


def test_a_full_queue_holds_its_giver_back() -> None:
    queue: Handoff[int] = Handoff(2)
    given: list[int] = []

    def give() -> None:
        for item in range(5):
            queue.put(item)
            given.append(item)

    giver = threading.Thread(target=give, daemon=True)
    giver.start()
    taken: list[int] = []
    while len(taken) < 5:
        assert len(queue) <= 2
        taken += queue.take(1)
    giver.join(10)
    assert taken == given == [0, 1, 2, 3, 4]


def test_a_closed_queue_gives_what_it_has_and_then_nothing() -> None:
    queue: Handoff[int] = Handoff(2)
    queue.put(1)
    queue.close()
    assert not queue.put(2)
    assert queue.take(5) == [1]
    assert queue.take(5) == []


def test_closing_wakes_those_who_wait() -> None:
    queue: Handoff[int] = Handoff(1)
    taken: list[list[int]] = []
    taker = threading.Thread(target=lambda: taken.append(queue.take(1)), daemon=True)
    taker.start()
    queue.close()
    taker.join(10)
    assert taken == [[]]


def test_an_offer_is_taken_whole_or_not_at_all() -> None:
    queue: Handoff[int] = Handoff(3)
    assert queue.offer([1, 2])
    assert not queue.offer([3, 4])
    assert queue.offer([3])
    assert queue.take(9) == [1, 2, 3]
    queue.close()
    assert not queue.offer([4])


def test_several_are_put_in_order_as_room_comes() -> None:
    queue: Handoff[int] = Handoff(2)
    putter = threading.Thread(target=lambda: queue.put_all([1, 2, 3, 4, 5]), daemon=True)
    putter.start()
    taken: list[int] = []
    while len(taken) < 5:
        some = queue.take(9)
        assert len(some) <= 2
        taken += some
    putter.join(10)
    assert taken == [1, 2, 3, 4, 5]


def test_closing_ends_the_putting_of_several() -> None:
    queue: Handoff[int] = Handoff(1)
    answers: list[bool] = []
    putter = threading.Thread(target=lambda: answers.append(queue.put_all([1, 2])), daemon=True)
    putter.start()
    queue.close()
    putter.join(10)
    assert answers == [False]
    assert queue.put_all([])


def test_each_of_several_takers_leaves_the_others_their_share() -> None:
    queue: Handoff[int] = Handoff(10)
    queue.put_all([1, 2, 3, 4, 5])
    assert [queue.take(9, takers=2) for _ in range(3)] == [[1, 2, 3], [4], [5]]
    queue.put_all([6, 7, 8, 9])
    assert queue.take(1, takers=2) == [6]


def test_a_taker_that_waited_for_company_and_comes_too_late_goes_on_waiting() -> None:
    queue: Handoff[int] = Handoff(10)
    taken: list[list[int]] = []

    def take_all() -> None:
        while some := queue.take(9, 0.001, takers=2):
            taken.append(some)

    takers = [threading.Thread(target=take_all, daemon=True) for _ in range(2)]
    for taker in takers:
        taker.start()
    for number in range(200):
        queue.put(number)
        while len(queue):
            pass  # until one of the two, who both wait for company, has taken it
    assert all(taker.is_alive() for taker in takers)
    queue.close()
    for taker in takers:
        taker.join(10)
    assert sorted(number for some in taken for number in some) == list(range(200))
