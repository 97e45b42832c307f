"""Missing replicas: the brokers that get them, and the instructions for a person."""

import json

from streams.topics import Plan, spread


def test_missing_replicas_are_spread_over_other_brokers() -> None:
    assert [spread([2], [1, 2, 3, 4], number, 3) for number in range(3)] == [[2, 1, 3], [2, 3, 4], [2, 4, 1]]


def test_partition_with_enough_replicas_is_unchanged() -> None:
    assert spread([3, 1, 2], [1, 2, 3, 4], 0, 2) == [3, 1, 2]


def test_missing_replicas_print_the_reassignment_file() -> None:
    steps = Plan(replicate={"events.orders.g1": [[1, 2], [2, 3]]})
    instructions, file = steps.lines()
    assert steps.due
    assert "events.orders.g1" in instructions
    assert "kafka-reassign-partitions.sh" in instructions
    assert json.loads(file) == {
        "version": 1,
        "partitions": [
            {"topic": "events.orders.g1", "partition": 0, "replicas": [1, 2]},
            {"topic": "events.orders.g1", "partition": 1, "replicas": [2, 3]},
        ],
    }
