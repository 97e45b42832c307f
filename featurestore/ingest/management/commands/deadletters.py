"""Command that lists, shows, replays and discards dead letters."""

import getpass
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from featurestore import names
from featurestore.config import settings
from featurestore.ingest import selectors, services
from featurestore.ingest.dead_letter_records import replay_obstacle
from featurestore.ingest.errors import DeadLetterError, KafkaUnavailable
from featurestore.ingest.models import DeadLetter
from featurestore.ingest.services import Outcome

State = DeadLetter.State
PAGE = 50


class Command(BaseCommand):
    help = "List, show, replay and discard the records that the streams quarantined."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        listed = commands.add_parser("list", help="counts by topic and reason, then each dead letter")
        listed.add_argument(
            "--state", choices=State.values, help="those of a state instead of those that wait for a decision"
        )
        listed.add_argument("--page", type=int, default=1, help=f"{PAGE} dead letters each, the newest first")
        add_filters(listed)
        show = commands.add_parser("show", help="one dead letter, with the fields of its record, personal ones masked")
        show.add_argument("record", help="TOPIC/PARTITION/OFFSET, as `list` names it")
        replay = commands.add_parser("replay", help="send records to their topics again, byte for byte")
        discard = commands.add_parser("discard", help="close dead letters without a replay")
        discard.add_argument(
            "--because", required=True, metavar="TEXT", help="stored with the dead letter; name no customer"
        )
        for decision in (replay, discard):
            decision.add_argument("records", nargs="*", metavar="RECORD", help="TOPIC/PARTITION/OFFSET")
            decision.add_argument("--all", action="store_true", help="all that wait, narrowed by the options")
            decision.add_argument(
                "--by", default=getpass.getuser(), help="the name of who decides; default: the shell's user"
            )
            add_filters(decision)

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        try:
            for line in {"list": list_, "show": show, "replay": replay, "discard": discard}[command](options):
                self.stdout.write(line)
        except DeadLetterError as error:
            raise CommandError(str(error)) from None


def add_filters(parser: ArgumentParser) -> None:
    parser.add_argument("--topic", help="only this topic, or this source's topic of the present generation")
    parser.add_argument("--reason", help="only this reason")


def list_(options: dict[str, Any]) -> Iterator[str]:
    """The dead letters that the database has, then an error if Kafka did not answer."""
    unavailable = None
    try:
        while services.import_dead_letters():
            pass
    except KafkaUnavailable as error:
        unavailable = error
    state = options["state"]
    dead_letters = narrowed(DeadLetter.objects.filter(state=state) if state else waiting(), options)
    for group in selectors.groups(dead_letters):
        oldest, newest = f"{group.oldest:%Y-%m-%d %H:%M}", f"{group.newest:%Y-%m-%d %H:%M}"
        yield f"{group.size:>6} {group.topic} {group.reason}, {oldest} to {newest} UTC, example: {group.example}"
    number, page = dead_letters.count(), max(options["page"], 1)
    first = (page - 1) * PAGE
    rows = list(selectors.with_tries(dead_letters)[first : first + PAGE])
    if rows:
        yield ""
    for dead_letter in rows:
        tried = f", replayed {dead_letter.tries} times before" if dead_letter.tries else ""
        line = f"{dead_letter}  {dead_letter.quarantined_at:%Y-%m-%d %H:%M:%S}  {dead_letter.state}"
        yield f"{line}  {dead_letter.reason}: {dead_letter.detail}{tried}"
    if first + len(rows) < number:
        yield f"{first + 1} to {first + len(rows)} of {number}; the next: --page {page + 1}"
    elif not rows:
        yield "No dead letter." if state else "No dead letter waits for a decision."
    if unavailable:
        raise CommandError(f"{unavailable} Newer dead letters may be missing.")


def show(options: dict[str, Any]) -> Iterator[str]:
    dead_letter = selectors.find_dead_letter(options["record"])
    yield f"{dead_letter}: {dead_letter.reason}"
    yield f"  {dead_letter.detail}"
    yield f"  recorded {dead_letter.recorded_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  quarantined {dead_letter.quarantined_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  key: {dead_letter.subject or 'no subject, not shown'}"
    yield f"  value: {dead_letter.size:,} bytes, SHA-256 {dead_letter.sha256}"
    yield f"  {dead_letter.get_state_display().lower()}{decision(dead_letter)}"
    yield f"  replayed before: {dead_letter.tries}"
    yield f"  a replay: {replay_obstacle(dead_letter) or 'possible'}"
    yield ""
    for name, text, _ in selectors.content(dead_letter):
        yield f"  {name}: {text}"


def decision(dead_letter: DeadLetter) -> str:
    """By whom, when, to which record and why, as text that follows the state."""
    text = f" by {dead_letter.decided_by}" if dead_letter.decided_by else ""
    if dead_letter.decided_at:
        text += f" on {dead_letter.decided_at:%Y-%m-%d %H:%M:%S} UTC"
    if dead_letter.state == State.REPLAYED:
        text += f" as {dead_letter.sent_topic}/{dead_letter.sent_partition}/{dead_letter.sent_offset}"
    return text + (f": {dead_letter.decided_reason}" if dead_letter.decided_reason else "")


def replay(options: dict[str, Any]) -> Iterator[str]:
    yield from report("replayed", services.replay(chosen(options), actor=options["by"]))


def discard(options: dict[str, Any]) -> Iterator[str]:
    yield from report("discarded", services.discard(chosen(options), actor=options["by"], reason=options["because"]))


def chosen(options: dict[str, Any]) -> list[int]:
    """Primary keys, the oldest dead letter first."""
    if bool(options["records"]) == options["all"]:
        raise CommandError("Name records as `list` does, or pass --all, which --topic and --reason narrow.")
    if options["records"]:
        return [selectors.find_dead_letter(record).pk for record in options["records"]]
    return list(narrowed(waiting(), options).order_by("quarantined_at", "pk").values_list("pk", flat=True))


def waiting() -> QuerySet[DeadLetter]:
    return DeadLetter.objects.filter(selectors.WAITING)


def narrowed(dead_letters: QuerySet[DeadLetter], options: dict[str, Any]) -> QuerySet[DeadLetter]:
    if topic := options["topic"]:
        dead_letters = dead_letters.filter(topic__in=[topic, names.events(topic, settings().generation)])
    return dead_letters.filter(reason=options["reason"]) if options["reason"] else dead_letters


def report(done: str, outcome: Outcome) -> Iterator[str]:
    """Counts of done and refused; raises CommandError if any was refused."""
    yield f"{len(outcome.done):,} {done}"
    for why, number in Counter(outcome.refused.values()).items():
        records = [record for record, its in outcome.refused.items() if its == why]
        yield f"{number:,} not changed, {records[0]}{' and more' * (number > 1)}: {why}"
    if outcome.refused:
        raise CommandError(f"{len(outcome.refused):,} were not changed.")
