"""Choice: one decision to record, with its evidence."""

from datetime import datetime
from typing import NamedTuple

from featurestore.clock import milliseconds
from featurestore.consent import permission_derivation
from featurestore.consent.errors import WrongActor, WrongDate, WrongMethod, WrongText
from featurestore.consent.models import ConsentRecord
from featurestore.consent.permission_derivation import Decision, Import
from featurestore.consent.services.request_keys import RequestKey

MAX_ACTOR_LENGTH = 150
MAX_REASON_LENGTH = 500


class Choice(NamedTuple):
    """One decision to record.

    ``since``: for imports, the date of the decision. Events since then count if they are sent after the import is
    effective; those sent before were denied, so that the ``start`` of answers is the time of the import. With
    ``history_follows`` it is ``since``: the caller states that no event of the customer is sent before the import is
    effective. ``until``: end of the consent, where it is earlier than the purpose's ``validity_days``.

    ``decided_at``: when the customer decided, if that was not now. It orders decisions: one that is older than the
    newest recorded one of its purpose changes nothing. A grant begins with its recording all the same. ``request``: a
    repeat with the same key records nothing.
    """

    customer_id: str
    purpose: str
    decision: Decision
    method: str
    actor: str
    notice: str | None = None  # its reference, name/version/language
    reason: str = ""
    until: datetime | None = None
    since: datetime | None = None
    history_follows: bool = False
    decided_at: datetime | None = None
    request: RequestKey | None = None

    @property
    def imported(self) -> Import | None:
        return Import(milliseconds(self.since), self.history_follows) if self.since else None


def check_choice(choice: Choice) -> None:
    """Raise ConsentError for a choice that is wrong whatever is recorded."""
    if any("\0" in text for text in (choice.purpose, choice.notice or "", choice.actor, choice.reason)):
        raise WrongText("A text contains a null character. Leave it out.")
    if choice.method not in ConsentRecord.Method.values:
        raise WrongMethod(
            f"Unknown method: state how the decision was made, one of {', '.join(ConsentRecord.Method.values)}."
        )
    if not choice.actor or len(choice.actor) > MAX_ACTOR_LENGTH:
        raise WrongActor(
            f"State who records the decision: the name of a user or client, 1 to {MAX_ACTOR_LENGTH} characters."
        )
    if len(choice.reason) > MAX_REASON_LENGTH:
        raise WrongText(f"The reason has more than {MAX_REASON_LENGTH} characters.")
    if choice.decision in (Decision.PAUSED, Decision.LIFTED):
        if not choice.reason.strip():
            raise WrongText("State why processing is restricted, or why the restriction ends.")
        if choice.since or choice.until or choice.decided_at:
            raise WrongDate("A pause and its end hold from their recording: leave out the dates.")
    permission_derivation.check_date("since", choice.since)
    permission_derivation.check_date("until", choice.until)
    permission_derivation.check_date("decided_at", choice.decided_at)
