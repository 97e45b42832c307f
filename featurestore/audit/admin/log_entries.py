"""Admin page of the audit log's entries: searched, read, and proven."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display

from featurestore.auditlog.entries import read_content
from featurestore.auditlog.errors import AuditLogError, UnknownEntry
from featurestore.auditlog.log_verifier import leaf_hash
from featurestore.auditlog.models import EntryContent, TreeHead
from featurestore.auditlog.selectors import proof_of_entry
from featurestore.backoffice.filters import DayRangeFilter
from featurestore.backoffice.paging import CappedPaginator
from featurestore.customers.selectors import stored_subject
from featurestore.customers.subject_admin import SubjectRowAdmin

LARGEST_INDEX = 2**63 - 1
AREAS = {
    "consent": "Consent",
    "values": "Looks at values",
    "request": "Requests",
    "erasure": "Erasures",
    "legal_hold": "Legal holds",
    "client": "API clients",
    "api_key": "API keys",
    "client_secret": "Client secrets",
    "staff": "People",
    "role": "Roles",
    "login": "Logins",
    "purpose": "Purposes",
    "notice": "Notices",
    "retention_rule": "Retention rules",
    "document": "Signed documents",
    "compliance": "Compliance reports",
    "audit_log": "The log itself",
}
"""What the first word of a type is about."""
CODE = '<pre class="rp-code rp-wrapped">{}</pre>'


class AreaFilter(DropdownFilter):
    """Filter by what an entry is about: the first word of its type."""

    title, parameter_name = "about", "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(AREAS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(type__startswith=f"{self.value()}.") if self.value() in AREAS else queryset


@admin.register(EntryContent)
class EntryAdmin(SubjectRowAdmin):
    list_display = ["index", "at", "type", "actor", "customer", "signed"]
    list_filter = [AreaFilter, ("at", DayRangeFilter)]
    search_help_text = "Subject, customer id, type, who did it, or number of an entry, in full"
    sortable_by = ["index"]
    ordering = ["-index"]
    paginator = CappedPaginator
    list_before_template = "admin/audit/newest_entries.html"
    fieldsets = [
        (None, {"fields": [("index", "signed"), "at", "type", "actor", "customer", "subject"]}),
        ("What is recorded", {"fields": ["details", "canonical"]}),
        ("Proof", {"fields": ["commitment", "leaf", "inclusion", "head"]}),
    ]
    actions_detail = ["proof"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        last = TreeHead.objects.order_by("-size").values("size")[:1]
        rows = super().get_queryset(request).annotate(signed_size=Subquery(last))
        return rows if self.may_see_customers(request) else rows.filter(subject="")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The entry with its proof, and why it has none yet."""
        entry = super().get_object(request, object_id, from_field)
        if entry is not None:
            try:
                entry.proof, entry.no_proof = proof_of_entry(entry.index), ""
            except AuditLogError as error:
                entry.proof, entry.no_proof = {}, str(error)
        return entry

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        found = Q(subject=search_term) | Q(type=search_term) | Q(actor=search_term)
        if search_term.isdecimal() and search_term.isascii() and int(search_term[:20]) <= LARGEST_INDEX:
            found |= Q(index=int(search_term[:20]))
        if self.may_see_customers(request):
            found |= Q(subject=stored_subject(search_term))
        return queryset.filter(found), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"counted": self.paginator.MAX_COUNTED, **(extra_context or {})})

    @display(description="Customer", empty_value="unknown")
    def customer(self, entry: Any) -> Any:
        return super().customer(entry) if entry.subject else "–"

    @display(description="Signed", label={"Signed": "success", "Not yet": "info"})
    def signed(self, entry: Any) -> str:
        return "Signed" if entry.index < (entry.signed_size or 0) else "Not yet"

    @display(description="Details")
    def details(self, entry: EntryContent) -> Any:
        try:
            told = read_content(entry.content)["details"]
        except (ValueError, KeyError, TypeError):  # it was altered, as the verification says
            return None
        return format_html("<pre>{}</pre>", json.dumps(told, indent=2, ensure_ascii=False))

    @display(description="Canonical JSON")
    def canonical(self, entry: EntryContent) -> Any:
        return format_html(CODE, entry.content)

    @display(description="Commitment")
    def commitment(self, entry: Any) -> Any:
        return format_html(CODE, entry.proof["commitment"]) if entry.proof else None

    @display(description="Leaf")
    def leaf(self, entry: Any) -> Any:
        return format_html(CODE, leaf_hash(bytes.fromhex(entry.proof["commitment"])).hex()) if entry.proof else None

    @display(description="Inclusion proof")
    def inclusion(self, entry: Any) -> Any:
        return format_html(CODE, "\n".join(entry.proof["inclusion"])) if entry.proof else entry.no_proof

    @display(description="Tree head")
    def head(self, entry: Any) -> Any:
        return format_html(CODE, entry.proof["head"]) if entry.proof else None

    def has_proof_permission(self, request: HttpRequest, object_id: str) -> bool:
        return self.has_view_permission(request)

    @action(description="Download its proof", url_path="proof", permissions=["proof"])
    def proof(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The entry with the hashes that lead to the last tree head, as `auditlog prove` prints it."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        entry = self.get_or_404(request, object_id)
        try:
            found = proof_of_entry(entry.index)
        except UnknownEntry as error:
            self.message_user(request, str(error), "WARNING")
            return self.redirect_to(entry)
        response = HttpResponse(json.dumps(found, indent=2, ensure_ascii=False), content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="audit-log-entry-{entry.index}.json"'
        return response
