"""Actions on the requests that are selected in the queue, each with a preview of its effect on every one."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from featurestore.backoffice.base import StaffAdmin
from featurestore.clock import database_now
from featurestore.consent.errors import ConsentError
from featurestore.requests import selectors, services
from featurestore.requests.actors import Actor, staff
from featurestore.requests.admin.forms import AnswerSelection, AssignSelection, CloseSelection, ExtendSelection
from featurestore.requests.admin.pages import effect_text
from featurestore.requests.due_dates import last_day
from featurestore.requests.errors import RequestError
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services.preview import extended, obstacle
from featurestore.requests.states import Action

MAX_SELECTED = 100
MAX_MESSAGES = 5
Answers = Mapping[str, Any]


class BulkAction(NamedTuple):
    """An action on several requests. ``effect``: what it does to one, in words."""

    title: str
    button: str
    lead: str
    done: str
    action: Action
    form: type[forms.Form]
    effect: Callable[[SubjectRequest], str]
    act: Callable[[SubjectRequest, Actor, Answers], object]


def _extension(request: SubjectRequest) -> str:
    due_at = extended(request)
    return f"due {last_day(request, due_at):%-d %B %Y} instead of {last_day(request):%-d %B %Y}" if due_at else ""


BULK = {
    "assign": BulkAction(
        "Assign", "Assign", "Each request below is assigned to the same person.", "assigned", Action.ASSIGN,
        AssignSelection, lambda one: f"from {one.assignee.get_username() if one.assignee else 'nobody'}",
        lambda one, actor, answers: services.assign(one.reference, answers["assignee"], actor, answers["reason"]),
    ),
    "answer": BulkAction(
        "Answer", "Answer all", "Each customer below gets the same answer. What an answer itself changes is stated.",
        "answered", Action.ANSWER, AnswerSelection, lambda one: effect_text(one) or "answered, nothing else changes",
        lambda one, actor, answers: services.answer(one.reference, actor, answers["text"], answers["done"]),
    ),
    "extend": BulkAction(
        "Extend", "Extend all", "Once, and before the due date. Each customer is told the reason.", "extended",
        Action.EXTEND, ExtendSelection, _extension,
        lambda one, actor, answers: services.extend(one.reference, actor, answers["reason"]),
    ),
    "close": BulkAction(
        "Close", "Close all", "Nothing is left to do for these requests.", "closed", Action.CLOSE, CloseSelection,
        lambda one: "closed", lambda one, actor, answers: services.close(one.reference, actor, answers["reason"]),
    ),
}  # fmt: skip


def act_on_selection(
    page: StaffAdmin, request: HttpRequest, selected: QuerySet[SubjectRequest], name: str
) -> HttpResponse | None:
    """The page of a bulk action: what it would do to each request, and once it is confirmed, what it did."""
    bulk = BULK[name]
    keys = list(selected.values_list("pk", flat=True)[: MAX_SELECTED + 1])
    if len(keys) > MAX_SELECTED:
        messages.error(request, f"At most {MAX_SELECTED} at once.")
        return None
    rows = list(SubjectRequest.objects.filter(pk__in=keys).select_related("regime", "rule", "assignee"))
    now = database_now()
    obstacles = {row.pk: obstacle(row, bulk.action, now) for row in rows}
    facts = [
        (row.reference, f"not changed: it {obstacles[row.pk]}" if obstacles[row.pk] else bulk.effect(row))
        for row in rows
    ]
    carried = {"action": request.POST.get("action"), "confirmed": "yes", ACTION_CHECKBOX_NAME: keys}
    form: Any = bulk.form
    if name == "assign":
        form = partial(form, people=selectors.assignable())

    def form_of(posted: Any) -> forms.Form:
        return form(posted if posted and "confirmed" in posted else None, initial=carried)

    def then(answers: dict[str, Any]) -> HttpResponse:
        done, refused = 0, Counter[str]()
        for row in rows:
            try:
                bulk.act(row, staff(request.user.get_username()), answers)
                done += 1
            except (RequestError, ConsentError) as error:
                refused[str(error)] += 1
        if done:
            messages.success(request, f"{counted(done)} {bulk.done}.")
        for why, number in refused.most_common(MAX_MESSAGES):
            messages.warning(request, f"{counted(number)} not changed. {why}")
        return page.redirect_to(None)

    title = f"{bulk.title} {counted(len(rows))}"
    return page.confirm(request, None, form_of, then, title=title, button=bulk.button, lead=bulk.lead, facts=facts)


def counted(number: int) -> str:
    return f"{number} request{'s' * (number != 1)}"
