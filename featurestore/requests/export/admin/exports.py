"""Admin page of exports: progress, review with redaction, release, link and passphrase."""

from collections.abc import Callable
from typing import Any

import structlog
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from featurestore.backoffice.base import ReadOnlyAdmin
from featurestore.backoffice.times import time_text
from featurestore.config import settings
from featurestore.requests.actors import Actor, staff
from featurestore.requests.admin.addresses import facts_of_start, link_to_request, page_of_request, request_of_address
from featurestore.requests.errors import RequestError
from featurestore.requests.export import services
from featurestore.requests.export.admin.forms import NoteForm, ReasonForm, StartForm
from featurestore.requests.export.errors import SpoolDamaged
from featurestore.requests.export.handover import handed_over
from featurestore.requests.export.models import DataExport, ExportCategory, Redaction
from featurestore.requests.export.next_step import in_work, next_text
from featurestore.requests.export.redactions import redactions_of
from featurestore.requests.export.secrets import address_of
from featurestore.requests.export.selectors import ITEMS_PER_PAGE, items_of
from featurestore.requests.export.states import SENT, WITH_SPOOL, ExportAction, ExportState, possible
from featurestore.requests.states import State

LABELS = {
    "Collecting": "info", "In review": "warning", "To release": "warning", "Packing": "info", "Released": "success",
    "Downloaded": "success", "Failed": "danger", "Waiting": "danger",
}  # fmt: skip
BUTTONS = {
    "propose": "Propose the release",
    "release": "Release",
    "show_link": "Link and passphrase",
    "return_to_review": "Return to review",
}
CANCEL = {"cancel": "Cancel the export"}
"""Never what comes next."""
HAND_OVER = "Hand over yourself what is said below."
RELOAD_S = 5
"""After so long the page of an export that a Celery worker works on is loaded again. It has nothing to operate."""
log = structlog.get_logger(__name__)


@admin.register(DataExport)
class DataExportAdmin(ReadOnlyAdmin):
    service_errors = (RequestError,)
    list_display = ["__str__", "request", "status", "items", "prepared_by", "changed_at", "usable_until"]
    list_filter = [("state", ChoicesDropdownFilter)]
    list_select_related = ["request"]
    search_fields = ["request__reference"]
    search_help_text = "Reference of the request"
    exact_search_field = "request__reference"
    fieldsets = [
        (None, {"fields": ["of_request", "status", "progress", "waits", "problem"]}),
        ("Who", {"fields": [("prepared_by", "proposed_by", "released_by")]}),
        ("When", {"fields": [("created_at", "changed_at", "released_at")]}),
        ("Package", {"fields": [("package_bytes", "usable_until", "tries_left", "downloaded_at")]}),
    ]
    actions_list = ["start"]
    actions_detail = ["propose", "release", "return_to_review", "show_link", "cancel"]

    @display(description="State", label=LABELS)
    def status(self, export: DataExport) -> str:
        return "Waiting" if export.waiting_for else str(export.get_state_display())

    @display(description="Request", ordering="request__reference")
    def of_request(self, export: DataExport) -> str:
        return link_to_request(export.request)

    @display(description="Collected")
    def progress(self, export: DataExport) -> str:
        if export.state == ExportState.COLLECTING and not export.locations:
            return "Nothing yet"
        return f"{export.items:,} items of {len(export.done)} of {export.locations} data locations"

    @display(description="Waits for")
    def waits(self, export: DataExport) -> str | None:
        return f"{export.waiting_for}, since {time_text(export.waiting_since)}" if export.waiting_since else None

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:object_id>/items/", wrap(self.items), name="exports_dataexport_items"),
            path("<int:object_id>/withhold/", wrap(self.withhold), name="exports_dataexport_withhold"),
            path("<int:object_id>/keep/", wrap(self.keep), name="exports_dataexport_keep"),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Model | None = None, **kwargs: Any
    ) -> HttpResponse:
        if isinstance(obj, DataExport):
            buttons = self._buttons(request, obj)
            context["dangerous"] = self._pages(request, obj, CANCEL)
            context["actions_detail"] = []  # shown below what is next, and not at the top a second time
            context["progress"] = self.progress(obj)
            context["primary"], context["others"] = buttons[:1], buttons[1:]
            context["handed_over"] = handed_over(obj)
            by_hand = any(one.by_hand for one in context["handed_over"])
            context["next_text"] = f"{next_text(obj)} {HAND_OVER}" if by_hand else next_text(obj)
            context["categories"] = [(one, redactions_of(one)) for one in obj.categories.prefetch_related("redactions")]
            context["redactions"] = obj.redactions.select_related("category")
            context["may_review"] = request.user.has_perm("exports.review_dataexport") and obj.state in WITH_SPOOL
            context["may_redact"] = context["may_review"] and obj.state == ExportState.IN_REVIEW
        page = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        if isinstance(obj, DataExport) and in_work(obj):
            page.headers["Refresh"] = str(RELOAD_S)
        return page

    def _buttons(self, request: HttpRequest, export: DataExport) -> list[tuple[str, str]]:
        """Title and address of what the user may do: first what comes next."""
        pages = self._pages(request, export, BUTTONS)
        waits = export.request.state in (State.OPEN, State.IN_PROGRESS)
        if export.state in SENT and waits and request.user.has_perm("requests.change_subjectrequest"):
            answer = reverse("admin:requests_subjectrequest_answer", args=[export.request_id])
            pages.insert(1, ("Answer the request", answer))
        return pages

    def _pages(self, request: HttpRequest, export: DataExport, titles: dict[str, str]) -> list[tuple[str, str]]:
        return [
            (title, reverse(f"admin:exports_dataexport_{name}", args=[export.pk]))
            for name, title in titles.items()
            if getattr(self, f"has_{name}_permission")(request, str(export.pk))
        ]

    # ----------------------------------------------------------------------------------------------------- permissions
    def _may(self, request: HttpRequest, object_id: str, permission: str, taken: ExportAction) -> bool:
        export = self.get_object(request, object_id)
        allowed = bool(request.user.has_perm(f"exports.{permission}_dataexport"))
        return export is not None and allowed and possible(ExportState(export.state), taken)

    def has_start_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("exports.add_dataexport"))

    def has_propose_permission(self, request: HttpRequest, object_id: str) -> bool:
        two = settings().exports_need_approval
        return two and self._may(request, object_id, "review", ExportAction.PROPOSE)

    def has_release_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._may(request, object_id, "release", ExportAction.RELEASE)

    def has_return_to_review_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._may(request, object_id, "release", ExportAction.RETURN)

    def has_show_link_permission(self, request: HttpRequest, object_id: str) -> bool:
        found = self._may(request, object_id, "deliver", ExportAction.SHOW)
        return found and DataExport.objects.filter(pk=object_id).exclude(encrypted_passphrase="").exists()

    def has_cancel_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self._may(request, object_id, "add", ExportAction.CANCEL)

    # --------------------------------------------------------------------------------------------------------- actions
    @action(description="Export a customer's data", url_path="start", permissions=["start"], icon="archive")
    def start(self, request: HttpRequest) -> HttpResponse:
        """The start: from a request's page, which the address names, or with a reference that is entered."""
        asking = request_of_address(request)

        def then(answers: dict[str, Any]) -> HttpResponse:
            reference = asking.reference if asking else answers["reference"].strip().upper()
            return self.redirect_to(services.start(reference, _actor(request)))

        return self.confirm(
            request,
            None,
            forms.Form if asking else StartForm,
            then,
            title="Export a customer's data",
            button="Collect",
            lead="Everything that the data locations hold about the customer of the request is collected, encrypted. "
            "Nothing is sent before you have reviewed and released it.",
            **({"facts": facts_of_start(request, asking), "back": page_of_request(asking)} if asking else {}),
        )

    @action(description="Propose the release", url_path="propose", permissions=["propose"])
    def propose(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, NoteForm, services.propose, "Propose the release", "Propose",
            "You state that the review is complete. Another person, who has withheld nothing, releases it.",
        )  # fmt: skip

    @action(description="Release", url_path="release", permissions=["release"], variant=ActionVariant.PRIMARY)
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, NoteForm, services.release, "Release this export", "Release",
            "The package is written now, without what is withheld. Then the customer gets the link and the passphrase "
            "by two different ways; what you must hand over yourself is said. It can't be reviewed any more.",
        )  # fmt: skip

    @action(description="Return to review", url_path="return", permissions=["return_to_review"])
    def return_to_review(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, ReasonForm, services.return_to_review, "Return to review", "Return",
            "State what must be reviewed again.",
        )  # fmt: skip

    @action(description="Cancel the export", url_path="cancel", permissions=["cancel"], variant=ActionVariant.DANGER)
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(
            request, object_id, ReasonForm, services.cancel, "Cancel this export", "Cancel the export",
            "Its files and its link are deleted. The request stays as it is, and may be exported again.",
        )  # fmt: skip

    @action(description="Link and passphrase", url_path="link", permissions=["show_link"], icon="key")
    def show_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        export = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            delivery = services.show_link(export.pk, _actor(request))
            shown = {
                "address": address_of(delivery.link) if delivery.link else "",
                "passphrase": delivery.passphrase,
                "title": "Link and passphrase",
                "handed_over": handed_over(export),
            }
            page = self.render_page(request, export, "admin/exports/link.html", **shown)
            page.headers["Cache-Control"] = "no-store"
            return page

        return self.confirm(
            request,
            export,
            forms.Form,
            then,
            title="Link and passphrase",
            button="Show",
            lead="Whoever has both can read everything in the package. The timeline of the request says that you saw "
            "them.",
        )

    def _act(
        self,
        request: HttpRequest,
        object_id: str,
        form: type[forms.Form],
        service: Callable[..., Any],
        title: str,
        button: str,
        lead: str,
    ) -> HttpResponse:
        """A page that takes an action, with a reason or a note."""
        export = self.get_or_404(request, object_id)

        def then(answers: dict[str, Any]) -> HttpResponse:
            service(export.pk, _actor(request), answers["reason"])
            messages.success(request, "Done.")
            return self.redirect_to(export)

        facts = [("Request", export.request.reference), ("Items", f"{export.items:,}")]
        facts.append(("Withheld", f"{export.redactions.count()} redactions"))
        return self.confirm(request, export, form, then, title=title, button=button, lead=lead, facts=facts)

    # ---------------------------------------------------------------------------------------------------------- review
    def items(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Items of a category, by page, as they were collected."""
        export, category = self._reviewed(request, object_id)
        first = _number(request, "first") or 0
        try:
            found = items_of(category, first)
        except SpoolDamaged as error:
            messages.error(request, str(error))
            found = []
        log.info("export items shown", export=export.pk, first=first, items=len(found))
        page = self.render_page(
            request, export, "admin/exports/items.html", title=f"{category.name}", category=category, items=found,
            before=max(first - ITEMS_PER_PAGE, 0) if first else None,
            next=first + ITEMS_PER_PAGE if first + ITEMS_PER_PAGE < category.items else None,
            may_redact=export.state == ExportState.IN_REVIEW,
        )  # fmt: skip
        page.headers["Cache-Control"] = "no-store"
        return page

    def withhold(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A page that withholds an item, a field or a category."""
        export, category = self._reviewed(request, object_id)
        field, item = request.GET.get("field", ""), _number(request, "item")

        def then(answers: dict[str, Any]) -> HttpResponse:
            chosen = (export.pk, category.name)
            if item is None:
                services.redact_field(*chosen, field, _actor(request), answers["reason"])
            else:
                services.redact_item(*chosen, item, _actor(request), answers["reason"], field)
            messages.success(request, "Withheld: it is left out of the package.")
            return self.redirect_to(export)

        facts = [("Category", category.name), ("Field", field or "All"), ("Item", "All" if item is None else item + 1)]
        return self.confirm(
            request, export, ReasonForm, then, title="Withhold from the package", button="Withhold", facts=facts,
            danger=True, lead="The customer is told that something of this category is withheld, and not why.",
        )  # fmt: skip

    def keep(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A page that ends a redaction."""
        export, category = self._reviewed(request, object_id)
        redaction = Redaction.objects.filter(export=export, pk=_number(request, "redaction") or 0).first()
        if redaction is None:
            raise Http404("No such redaction.")
        chosen = redaction.pk

        def then(answers: dict[str, Any]) -> HttpResponse:
            services.keep(chosen, _actor(request), answers["reason"])
            messages.success(request, "It is in the package again.")
            return self.redirect_to(export)

        return self.confirm(
            request, export, ReasonForm, then, title="Don't withhold it", button="Put it back",
            facts=[("Category", category.name), ("Withheld because", redaction.reason)],
        )  # fmt: skip

    def _reviewed(self, request: HttpRequest, object_id: int) -> tuple[DataExport, ExportCategory]:
        """The export and the category that a page of the review is about; without one named, the first."""
        if not request.user.has_perm("exports.review_dataexport"):
            raise PermissionDenied
        export: DataExport = self.get_or_404(request, str(object_id))
        categories = export.categories.all()
        if (chosen := _number(request, "category")) is not None:
            categories = categories.filter(pk=chosen)
        found = categories.first()
        if found is None or export.state not in WITH_SPOOL:
            raise Http404("Nothing of this export can be reviewed.")
        return export, found


def _actor(request: HttpRequest) -> Actor:
    return staff(request.user.get_username())


def _number(request: HttpRequest, name: str) -> int | None:
    """A number of the address, if it has one that can be one."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
