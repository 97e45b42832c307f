"""Checkpoint of the comparison with the journal: a row of the database, so a restored database has an earlier one."""

from featurestore.consent.models import JournalCheckpoint


def load_checkpoint(topic: str) -> JournalCheckpoint:
    """The checkpoint. Of a database that never had one, or had one of another topic, it is that topic's beginning."""
    checkpoint, _ = JournalCheckpoint.objects.get_or_create(pk=1, defaults={"topic": topic})
    if checkpoint.topic != topic:
        checkpoint.topic, checkpoint.topic_id, checkpoint.offset, checkpoint.last_token = topic, "", 0, 0
        checkpoint.save(update_fields=["topic", "topic_id", "offset", "last_token"])
    return checkpoint
