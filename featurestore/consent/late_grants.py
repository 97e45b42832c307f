"""Late grants: those of which events may have been passed by before the store had them. They get a later start.

The streams skip the events of a subject that the store has no permission of, and deny those that no grant allows yet.
So a grant is late if it had begun when the store got it: its change was published late, or the subject's hash had
vanished from the store. While a store is not vouched for, the streams wait and pass nothing by.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter, state_of_row
from featurestore.consent.models import CurrentPermission
from featurestore.consent.permission_derivation import START_DELAY_MS, after_restart

log = structlog.get_logger(__name__)

Unpublished = Mapping[int, datetime]
"""Changes that were not published before: the time of their recording by sequence."""


def late_grants(
    subjects: Collection[str], unpublished: Unpublished, recreated: Collection[str], now: datetime | None = None
) -> list[CurrentPermission]:
    """The late grants of subjects. Call it once the store has their permissions.

    ``recreated``: the subjects whose permission had vanished from it; their paused grants are late, too. A new grant
    that begins before its own recording is an import whose history follows: nothing was sent before, so it is not late.
    """
    suspects = CurrentPermission.objects.filter(
        Q(start_sequence__in=unpublished, paused=False) | Q(customer__subject__in=recreated),
        customer__subject__in=subjects,
        allowed=True,
    )
    found = list(suspects.values_list("pk", "customer__subject", "start_sequence", "since", "complete_from"))
    if not found:
        return []
    at, late = now or database_now(), []
    for key, subject, start_sequence, since, complete_from in found:
        assert since is not None  # a constraint: allowed_has_grant
        start = max(since, complete_from or since)
        if start <= at and (subject in recreated or start > unpublished[start_sequence]):
            late.append(key)
    return list(CurrentPermission.objects.filter(pk__in=late).select_related("customer", "purpose")) if late else []


def restart_counting(
    grants: Sequence[CurrentPermission],
    unpublished: Unpublished,
    delay_ms: int = START_DELAY_MS,
    now: datetime | None = None,
) -> set[str]:
    """Give grants a later start, so long from now, unless they changed meanwhile; the subjects with a new version.

    The caller publishes it. The streams are sent a purge, by which they push every value of the subject again.
    """
    by_customer = defaultdict(list)
    for row in grants:
        by_customer[row.customer].append(row)
    restarted = set()
    with transaction.atomic(durable=True):
        writer = ChangeWriter(lock_change_sequence(now))
        writer.load_states(by_customer)
        start_ms = milliseconds(writer.change_sequence.at) + delay_ms
        for customer, rows in by_customer.items():
            states = {
                row.purpose: after_restart(state, start_ms, counted=row.start_sequence not in unpublished)
                for row in rows
                if (state := writer.state_of(customer, row.purpose)) and state == state_of_row(row)
            }
            if states:
                writer.add_change(customer, states)
                restarted.add(customer.subject)
        writer.write()
    log.warning("the store had grants too late: they start later", subjects=len(restarted))
    return restarted
