"""Admin pages of dead letters: the list by reason, a record with its personal fields masked, replay and discard."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from featurestore.backoffice.filters import DayRangeFilter
from featurestore.backoffice.times import time_text
from featurestore.customers.subject_admin import SubjectRowAdmin
from featurestore.ingest import selectors, services
from featurestore.ingest.dead_letter_records import replay_obstacle
from featurestore.ingest.errors import DeadLetterError
from featurestore.ingest.models import DeadLetter
from featurestore.ingest.services import Outcome

MAX_SELECTED = 500
"""Dead letters decided in one request, whose form names each of them; the command line has no such limit."""
MAX_MESSAGES = 5
State = DeadLetter.State
COLOURS = {"Open": "danger", "Being replayed": "warning", "Replayed": "success", "Expired": "warning"}


class DiscardForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Why this event need not be counted. Stored with the dead letter and your name; name no customer.",
    )


class Selection(forms.Form):
    """Form of the dead letters selected in the list, by primary key: later ones are not included."""

    _selected_action = forms.CharField(widget=forms.MultipleHiddenInput)
    action = forms.CharField(widget=forms.HiddenInput)
    confirmed = forms.CharField(widget=forms.HiddenInput)


class DiscardSelection(Selection, DiscardForm):
    """Selection with a reason."""


class Decision(NamedTuple):
    """A kind of decision: texts of its page, its forms for one dead letter and for several, its service."""

    title: str
    button: str
    lead: str
    done: str
    form: type[forms.Form]
    selection_form: type[Selection]
    decide: Callable[..., Outcome]


REPLAY = Decision(
    "Replay",
    "Replay now",
    "Replay it once the cause is fixed: the record is sent to its topic again, byte for byte. An event that counted "
    "already is recognised by its id. If it fails again, it becomes a new dead letter.",
    "Replayed: {} sent to the streams.",
    forms.Form,
    Selection,
    services.replay,
)
DISCARD = Decision(
    "Discard",
    "Discard",
    "The event is never counted. Kafka keeps the record until 30 days are over, but it can't be replayed from here.",
    "Discarded: {}.",
    DiscardForm,
    DiscardSelection,
    services.discard,
)


def counted(dead_letters: int) -> str:
    return f"{dead_letters} dead letter{'s' * (dead_letters != 1)}"


class ValuesFilter(DropdownFilter):
    """Filter by one of a column's values."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        values = DeadLetter.objects.order_by(self.parameter_name).values_list(self.parameter_name, flat=True)
        return [(value, value) for value in values.distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class TopicFilter(ValuesFilter):
    title = parameter_name = "topic"


class ReasonFilter(ValuesFilter):
    title = parameter_name = "reason"


@admin.register(DeadLetter)
class DeadLetterAdmin(SubjectRowAdmin):
    service_errors = (DeadLetterError,)
    list_display = ["quarantined_at", "status", "why", "record", "customer", "tries", "decision"]
    list_filter = [("state", ChoicesDropdownFilter), ReasonFilter, TopicFilter, ("quarantined_at", DayRangeFilter)]
    ordering = [Case(When(selectors.WAITING, then=Value(0)), default=Value(1)), "-quarantined_at", "-pk"]
    list_before_template = "admin/ingest/deadletter/groups.html"
    fieldsets = [
        (None, {"fields": ["status", "reason", "detail", "advice", "record", "tries"]}),
        (
            "The record",
            {"fields": ["customer", "subject", "recorded_at", "quarantined_at", "size", "sha256", "content"]},
        ),
        ("Decision", {"fields": ["decision", "sent"]}),
    ]
    actions = ["replay_selected", "discard_selected"]
    actions_list = ["read_now"]
    actions_detail = ["replay", "discard"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj and obj.decided_at else shown[:-1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        return selectors.with_tries(super().get_queryset(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        read_at = selectors.read_at()
        groups = selectors.groups(DeadLetter.objects.filter(selectors.WAITING))
        context = {"groups": groups, "read_at": read_at, "unread": selectors.unread(read_at)}
        return super().changelist_view(request, context | (extra_context or {}))

    @display(description="State", ordering="state", label=COLOURS)
    def status(self, dead_letter: DeadLetter) -> str:
        return dead_letter.get_state_display()

    @display(description="Reason", ordering="reason")
    def why(self, dead_letter: DeadLetter) -> str:
        return format_html("{}<small>{}</small>", dead_letter.reason, dead_letter.detail)

    @display(description="Record")
    def record(self, dead_letter: DeadLetter) -> str:
        return format_html('<span class="rp-code">{}</span>', dead_letter)

    @display(description="Replayed before", ordering="tries")
    def tries(self, dead_letter: Any) -> str | None:
        return f"{dead_letter.tries} ×" if dead_letter.tries else None

    @display(description="Decided")
    def decision(self, dead_letter: DeadLetter) -> str | None:
        if not dead_letter.decided_at:
            return None
        who = f"{dead_letter.decided_by}, " if dead_letter.decided_by else ""
        return format_html(
            "{}<small>{}</small>", f"{who}{time_text(dead_letter.decided_at)}", dead_letter.decided_reason
        )

    @display(description="Sent as")
    def sent(self, dead_letter: DeadLetter) -> str | None:
        if dead_letter.state != State.REPLAYED:
            return None
        return format_html(
            '<span class="rp-code">{}/{}/{}</span>',
            dead_letter.sent_topic,
            dead_letter.sent_partition,
            dead_letter.sent_offset,
        )

    @display(description="Would a replay help?")
    def advice(self, dead_letter: DeadLetter) -> str:
        if dead_letter.state == State.SENDING:
            return services.UNCONFIRMED
        if dead_letter.state != State.OPEN:
            return "No: it is decided."
        return replay_obstacle(dead_letter) or "Yes, once the cause that the detail names is fixed."

    @display(description="Fields")
    def content(self, dead_letter: DeadLetter) -> str:
        try:
            shown = selectors.content(dead_letter)
        except DeadLetterError as error:
            return str(error)
        if not shown:
            return "Its bytes are no event, so no field can be shown: see its size and SHA-256."
        rows = ((field.name, "rp-hidden" if field.hidden else "rp-code", field.text) for field in shown)
        lines = format_html_join("", '<div><dt>{}</dt><dd class="{}">{}</dd></div>', rows)
        return format_html('<dl class="rp-facts">{}</dl>', lines)

    def has_decide_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        if not request.user.has_perm("ingest.change_deadletter"):
            return False
        dead_letter = self.get_object(request, object_id) if object_id else None
        return dead_letter is None or dead_letter.state in (State.OPEN, State.SENDING)

    def has_replay_permission(self, request: HttpRequest, object_id: str) -> bool:
        dead_letter = self.get_object(request, object_id)
        return (
            dead_letter is not None
            and replay_obstacle(dead_letter) is None
            and self.has_decide_permission(request, object_id)
        )

    @action(description="Read Kafka now", url_path="read", permissions=["view"])
    def read_now(self, request: HttpRequest) -> HttpResponse:
        try:
            left = services.import_dead_letters()
        except DeadLetterError as error:
            messages.error(request, str(error))
        else:
            messages.success(
                request, f"{left:,} records are left: read again." if left else "Every dead letter is read."
            )
        return self.redirect_to(None)

    @action(description="Replay", url_path="replay", permissions=["replay"], variant=ActionVariant.PRIMARY)
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.decide(request, self.get_or_404(request, object_id), REPLAY)

    @action(description="Discard", url_path="discard", permissions=["decide"])
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.decide(request, self.get_or_404(request, object_id), DISCARD)

    @action(description="Replay the selected", permissions=["decide"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self.decide_selected(request, queryset, REPLAY)

    @action(description="Discard the selected", permissions=["decide"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse | None:
        return self.decide_selected(request, queryset, DISCARD)

    def decide(self, request: HttpRequest, dead_letter: DeadLetter, decision: Decision) -> HttpResponse:
        facts = [("Record", str(dead_letter)), ("Reason", dead_letter.reason), ("Detail", dead_letter.detail)]
        return self._ask(request, dead_letter, [dead_letter.pk], decision, decision.form, facts)

    def decide_selected(
        self, request: HttpRequest, dead_letters: QuerySet[DeadLetter], decision: Decision
    ) -> HttpResponse | None:
        keys = list(dead_letters.values_list("pk", flat=True)[: MAX_SELECTED + 1])
        if len(keys) > MAX_SELECTED:
            messages.error(request, f"At most {MAX_SELECTED} at once; `manage.py deadletters` has no limit.")
            return None
        chosen = selectors.groups(DeadLetter.objects.filter(pk__in=keys))
        facts = [(counted(group.size), f"{group.topic}, {group.reason}") for group in chosen]
        carried = {"action": request.POST.get("action"), "confirmed": "yes", ACTION_CHECKBOX_NAME: keys}

        def form_of(posted: Any) -> forms.Form:
            return decision.selection_form(posted if posted and "confirmed" in posted else None, initial=carried)

        return self._ask(request, None, keys, decision, form_of, facts)

    def _ask(
        self,
        request: HttpRequest,
        dead_letter: DeadLetter | None,
        keys: Sequence[int],
        decision: Decision,
        form_of: Callable[[Any], forms.Form],
        facts: Sequence[tuple[str, str]],
    ) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            reason = {"reason": answers["reason"]} if "reason" in answers else {}
            done, refused = decision.decide(keys, actor=request.user.get_username(), **reason)
            if done:
                messages.success(request, decision.done.format(counted(len(done))))
            for why, number in Counter(refused.values()).most_common(MAX_MESSAGES):
                messages.warning(request, f"{counted(number)} not changed. {why}" if dead_letter is None else why)
            return self.redirect_to(dead_letter)

        title = f"{decision.title} {counted(len(keys)) if dead_letter is None else 'this dead letter'}"
        return self.confirm(
            request, dead_letter, form_of, then, title=title, button=decision.button, lead=decision.lead, facts=facts
        )
