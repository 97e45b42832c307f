"""Command of the operator's decision after the database lost commits: shows what was lost, takes it over."""

from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from featurestore.clock import moment
from featurestore.config import settings
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.journal.losses import JournalGap, find_losses
from featurestore.consent.journal.lost_denials import LostDenial
from featurestore.consent.journal.takeover import TakeOver, plan_take_over, take_over
from featurestore.consent.journal.topic import JournalUnreadable, configured_journal
from featurestore.consent.vouching.latch import is_latched
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

STORE_TIMEOUT_MS = 5000
"""An operator waits longer for the store than a conversation."""


class Command(BaseCommand):
    help = (
        "Show which denials the database lost that the consent journal or the store holds. With --apply record them, "
        "raise epoch and sequence past everything seen, and let reads be answered again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help="take over what is shown")
        parser.add_argument("--by", default="operator", help="who decides: the actor of denials without evidence")
        parser.add_argument("--list", action="store_true", help="list each denial, with subject and evidence")
        parser.add_argument(
            "--accept-gap", action="store_true", help="go on although the journal lacks a part: its denials stay lost"
        )
        parser.add_argument(
            "--without",
            action="append",
            default=[],
            choices=["journal", "store"],
            help="go on without one that can't be reached: what it alone knows stays lost",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        journal = None if "journal" in options["without"] else configured_journal()
        store = configured.store_at(settings().store_url, STORE_TIMEOUT_MS)
        try:
            losses = find_losses(
                journal, None if "store" in options["without"] else store, accept_gap=options["accept_gap"]
            )
        except JournalGap as error:
            raise CommandError(f"{error} To go on without them: --accept-gap") from None
        except JournalUnreadable as error:
            raise CommandError(f"{error}. If it is lost for good: --without journal") from None
        except StoreUnavailable as error:
            raise CommandError(f"{error}. If the store is lost for good: --without store") from None
        plan = plan_take_over(losses)
        change_sequence = load_change_sequence()
        is_open = not is_latched(change_sequence) and losses.latched_epoch < change_sequence.epoch
        if is_open and not losses.records and not losses.journal_is_incomplete:
            self.stdout.write("The database holds all that journal and store hold. There is nothing to take over.")
            return
        if options["apply"]:
            plan = take_over(losses, journal, options["by"])
        self.stdout.write("\n".join(_lines(plan, listed=options["list"])))
        if options["apply"]:
            change_sequence = load_change_sequence()
            self.stdout.write(
                f"Taken over. Epoch {change_sequence.epoch}, sequence {change_sequence.sequence}. The store verifier "
                "now publishes every permission again, and then vouches."
            )
        else:
            self.stdout.write("Nothing was changed. To take it over: manage.py take_over_denials --apply")


def _lines(plan: TakeOver, *, listed: bool) -> list[str]:
    losses = plan.losses
    changes = sum(len(records) for records in losses.records.values())
    lines = [
        f"{changes:,} changes of {len(losses.records):,} subjects are lost, from sequence {losses.first} on.",
        f"{len(plan.denials):,} denials of customers: {_counts(denial for _, _, denial in plan.denials)}",
        f"{len(plan.kept):,} denials kept until their subjects register: {_counts(denial for _, denial in plan.kept)}",
        f"{len(plan.erased):,} customers were erased: their purposes are refused. Erase them again.",
        f"{len(plan.narrowed):,} grants with a later start or an earlier end.",
        f"{len(plan.renewed):,} grants that get a new id, since it may have been issued twice: they count from now on.",
        f"{len(plan.unknown):,} subjects unknown to the database: denied in the store.",
        f"{plan.consents:,} consents that were lost are not taken over: the customers have to be asked again.",
    ]
    if listed:
        lines += [f"  {c.subject} {_line(denial)}" for c, _, denial in plan.denials]
        lines += [f"  {subject} {_line(denial)} (kept)" for subject, denial in plan.kept]
        lines += [f"  {customer.subject} erased" for customer in plan.erased]
    return lines


def _counts(denials: Any) -> str:
    counts = Counter((denial.purpose, "paused" if denial.paused else "refused") for denial in denials)
    return ", ".join(f"{purpose} {state} {count:,}" for (purpose, state), count in sorted(counts.items())) or "none"


def _line(denial: LostDenial) -> str:
    evidence = denial.evidence
    if evidence is None:
        return f"{denial.purpose} {'paused' if denial.paused else 'refused'}, without evidence"
    at = moment(denial.recorded_ms).isoformat(timespec="milliseconds")
    notice = f", notice {evidence.notice}" if evidence.notice else ""
    return f"{denial.purpose} {evidence.decision} at {at} by {evidence.actor}, method {evidence.method}{notice}"
