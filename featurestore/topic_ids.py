"""Ids of Kafka topics: a topic that was deleted and made anew under its name has another one.

Brokers before Kafka 2.8, and the embedded one, have no ids: theirs is "".
"""

from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient


def topic_ids(admin: AdminClient, wanted: Collection[str], timeout_s: float) -> dict[str, str]:
    """The ids of the topics that exist, by name, with one call. Raises KafkaException."""
    found: dict[str, str] = {}
    for name, future in admin.describe_topics(TopicCollection(list(wanted)), request_timeout=timeout_s).items():
        try:
            topic_id = future.result(timeout_s).topic_id
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
        else:
            bits = (topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits())
            found[name] = str(topic_id) if any(bits) else ""
    return found
