"""Admin page of retention rules: which is in force, and what goes by itself. A rule is added and never changed."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.clock import database_now
from featurestore.retention import runs
from featurestore.retention.errors import RetentionError
from featurestore.retention.models import RetentionRule, RetentionRun
from featurestore.retention.rules import (
    APPLIED,
    LONGEST_BASIS,
    STAYS,
    add_rule,
    automatic,
    in_force,
    regions,
    without_data,
)

READS_AT_ONCE = (
    "Access records that are older are deleted at once, instead of in the next daily run. It can't be undone."
)
CUSTOMERS_AT_ONCE = (
    "An erasure of each customer without activity is started at once, instead of in the next daily run: of "
    f"{runs.MOST_ERASURES} at most. It can't be undone."
)


class RuleForm(forms.Form):
    what = forms.ChoiceField(
        label="Data",
        widget=UnfoldAdminSelectWidget,
        help_text="With the days after which they go by themselves, if they do.",
    )
    days = forms.IntegerField(
        required=False,
        min_value=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Days for which they are kept. Empty: the rule in force ends.",
    )
    effective_from = forms.DateField(
        label="From",
        initial=lambda: database_now().date(),
        widget=UnfoldAdminDateWidget,
        help_text="Today at the earliest, in UTC.",
    )
    basis = forms.CharField(
        max_length=LONGEST_BASIS,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="The law, contract or policy that says so.",
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        groups: dict[str, list[tuple[str, str]]] = {str(label): [] for label in RetentionRule.Kind.labels}
        for one in [*regions(), *automatic()]:
            kind = str(RetentionRule.Kind(one.kind).label)
            label = f"{kind}: {one.name}" + (f" ({_days(one.days)})" if one.by else "")
            groups[kind].append((f"{one.kind}/{one.name}", label))
        for rule in without_data(database_now().date()):
            label = f"{rule.get_kind_display()}: {rule.name} (nothing has this name any more: end the rule)"
            groups[rule.get_kind_display()].append((f"{rule.kind}/{rule.name}", label))
        what = self.fields["what"]
        assert isinstance(what, forms.ChoiceField)
        what.choices = [("", "Choose"), *((label, options) for label, options in groups.items() if options)]


@admin.register(RetentionRule)
class RetentionRuleAdmin(ReadOnlyAdmin):
    service_errors = (RetentionError,)
    list_display = ["kind", "name", "kept_for", "effective_from", "status", "applied", "basis", "created_by"]
    list_filter = [("kind", ChoicesDropdownFilter)]
    fieldsets = [
        (None, {"fields": ["kind", "name", "kept_for", "effective_from", "status", "applied", "stays", "basis"]}),
        ("Added", {"fields": ["created_by", "created_at"]}),
    ]
    actions_list = ["add_one"]
    actions_detail = ["count", "apply_now"]

    @display(description="Kept for", ordering="days")
    def kept_for(self, rule: RetentionRule) -> str:
        return "Ended" if rule.days is None else f"{rule.days:,} days"

    @display(description="State", label={"In force": "success"})
    def status(self, rule: RetentionRule) -> str:
        day = database_now().date()
        if rule.effective_from > day:
            return "Later"
        return "In force" if in_force(day).filter(pk=rule.pk).exists() else "Replaced or ended"

    @display(description="Applied by")
    def applied(self, rule: RetentionRule) -> str:
        if rule.kind in APPLIED:
            return "Runs, each day"
        return "Kafka" if rule.kind == RetentionRule.Kind.EVENTS else "The view's definition"

    @display(description="What stays")
    def stays(self, rule: RetentionRule) -> str:
        return STAYS[rule.kind]

    def has_add_rule_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("retention.add_retentionrule"))

    def has_run_permission(self, request: HttpRequest, object_id: str) -> bool:
        rule = self.get_object(request, object_id)
        is_applied = rule is not None and rule.kind in APPLIED and rule.days is not None
        return is_applied and bool(request.user.has_perm("retention.add_retentionrun"))

    @action(description="Add a rule", url_path="add-rule", permissions=["add_rule"], variant=ActionVariant.PRIMARY)
    def add_one(self, request: HttpRequest) -> HttpResponse:
        def then(answers: dict[str, Any]) -> HttpResponse:
            kind, _, name = answers.pop("what").partition("/")
            rule = add_rule(kind, name, **answers, actor=request.user.get_username())
            applied = "Start a dry run to see what it will do."
            messages.success(request, f"Added. {applied if rule.kind in APPLIED else 'It deletes nothing itself.'}")
            return self.redirect_to(rule)

        by = {RetentionRule.Kind(one.kind).label: one.by for one in automatic()}
        return self.confirm(
            request,
            None,
            RuleForm,
            then,
            title="Add a retention rule",
            button="Add",
            lead="A rule applies from its day on and is never changed: add another one, or one without days, which "
            "ends it. A rule that could not be kept is refused, because of what goes by itself, which is below. "
            "Customers without a decision, a read or an event for the days of a rule are erased, which can't be "
            "undone; what a legal hold keeps stays.",
            facts=list(by.items()),
        )

    @action(description="Dry run", url_path="count", permissions=["run"])
    def count(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._start(
            request,
            object_id,
            dry_run=True,
            title="Count what this rule deletes",
            button="Start the dry run",
            lead="Nothing goes. The numbers are on the page of the run within minutes.",
        )

    @action(description="Apply now", url_path="apply", permissions=["run"])
    def apply_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._start(
            request,
            object_id,
            dry_run=False,
            title="Apply this rule now",
            button="Apply",
            danger=True,
        )

    def _start(self, request: HttpRequest, object_id: str, *, dry_run: bool, **texts: Any) -> HttpResponse:
        rule = self.get_or_404(request, object_id)
        if not dry_run:
            texts["lead"] = READS_AT_ONCE if rule.kind == RetentionRule.Kind.READS else CUSTOMERS_AT_ONCE

        def then(answers: dict[str, Any]) -> HttpResponse:
            runs.start(rule, dry_run=dry_run, actor=request.user.get_username())
            messages.success(request, "It starts within a minute, and is shown under Retention runs.")
            return self.redirect_to(rule)

        counted = rule.runs.filter(dry_run=True, finished_at__isnull=False).first()
        facts = [
            ("Rule", rule.get_kind_display()),
            ("Name", rule.name),
            ("Kept for", self.kept_for(rule)),
            ("Last dry run", told(counted) if counted else "None"),
        ]
        return self.confirm(request, rule, forms.Form, then, facts=facts, **texts)


def told(run: RetentionRun) -> str:
    """When a dry run was, and what it counted."""
    counts = f"{run.gone:,} would go, a hold keeps {run.held:,}, {run.undecided:,} are undecided"
    return f"{run.started_at:%Y-%m-%d %H:%M} UTC: {counts}"


def _days(days: float | None) -> str:
    return "until the consent or the customer goes" if days is None else f"{days:g} day{'s' * (days != 1)}"
