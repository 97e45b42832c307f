"""Replicas that are missing: who gets them, and what a person is told."""

import json

from streams.topics import Plan, spread


def test_other_brokers_join_those_that_a_partition_has() -> None:
    assert [spread([2], [1, 2, 3, 4], number, 3) for number in range(3)] == [[2, 1, 3], [2, 3, 4], [2, 4, 1]]


def test_a_partition_with_enough_replicas_keeps_them() -> None:
    assert spread([3, 1, 2], [1, 2, 3, 4], 0, 2) == [3, 1, 2]


def test_missing_replicas_are_for_a_person_with_the_file_that_the_tool_takes() -> None:
    steps = Plan(replicate={"events.orders.g1": [[1, 2], [2, 3]]})
    told, file = steps.lines()
    assert steps.due
    assert "events.orders.g1" in told
    assert "kafka-reassign-partitions.sh" in told
    assert json.loads(file) == {
        "version": 1,
        "partitions": [
            {"topic": "events.orders.g1", "partition": 0, "replicas": [1, 2]},
            {"topic": "events.orders.g1", "partition": 1, "replicas": [2, 3]},
        ],
    }
