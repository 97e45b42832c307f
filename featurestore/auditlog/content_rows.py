"""Row of an entry's content: its columns repeat the content, so that the log can be searched."""

from datetime import datetime
from typing import NamedTuple

from featurestore.auditlog.entries import read_content
from featurestore.auditlog.models import ACTOR_LENGTH, EntryContent, WaitingEntry
from featurestore.clock import moment


class Columns(NamedTuple):
    """What a row repeats of its content."""

    at: datetime
    type: str
    actor: str
    subject: str


def columns_of(content: str) -> Columns:
    """The columns of a content. Raises ValueError, KeyError or TypeError for what is no content."""
    told = read_content(content)
    return Columns(moment(told["at_ms"]), told["type"], told["actor"][:ACTOR_LENGTH], told["subject"])


def content_row(index: int, waiting: WaitingEntry) -> EntryContent:
    """The row of an entry that gets its index."""
    repeated = columns_of(waiting.content)._asdict()
    return EntryContent(index=index, salt=waiting.salt, content=waiting.content, **repeated)
