"""Fault of an event topic that an administrator deletes and makes anew."""

import re
from collections.abc import Iterator

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from devservers.waiting import eventually
from featurestore import names
from tests.chaos.comparison import wait_until_up_to_date
from tests.chaos.disturbance import Disturbance, FaultContext
from tests.chaos.environment import PARTITIONS

SOURCE = "orders"
REMEDY = re.compile(
    r"set RAPPORT_GENERATION=(\d+) RAPPORT_GENERATION_START=(\S+) .* for every process and run: "
    r"python (-m streams topics apply)"
)
ANSWER_S = 20
REFUSED_WITHIN_S = 150


def topic_made_anew(context: FaultContext) -> Iterator[Disturbance]:
    """The workers refuse it with the command that mends it, which is run as by an operator: a new generation begins.

    What the topics held before is over, so that nothing is under way meanwhile.
    """
    env = context.env
    with context.event_traffic.paused():
        wait_until_up_to_date(context.client, context.customers)
        make_anew(env.servers.kafka_address, names.events(SOURCE, env.generation))
        disturbance = Disturbance()
        env.workers[0].process.kill()  # who gets its partitions compares the topics; everybody does within a minute

        def named_remedy() -> re.Match[str] | None:
            return next(filter(None, (REMEDY.search(worker.unready_reason()) for worker in env.workers)), None)

        remedy = eventually(named_remedy, "a worker refuses the topic", REFUSED_WITHIN_S)
        context.start_generation(int(remedy[1]), remedy[2], remedy[3].split())
    yield disturbance


def make_anew(bootstrap: str, topic: str) -> None:
    """Delete a topic and create it with as many partitions, as a person does who thinks that this empties it."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for deleted in admin.delete_topics([topic]).values():
        deleted.result(ANSWER_S)
    settings = {"message.timestamp.type": "LogAppendTime"}

    def created() -> bool:
        for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=settings)]).values():
            try:
                future.result(ANSWER_S)
            except KafkaException:  # its deletion is not complete yet
                return False
        return True

    eventually(created, f"{topic} is made anew", ANSWER_S)
