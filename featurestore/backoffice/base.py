"""Base classes of the administration's pages: for staff, and read-only."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Model, QuerySet, TextField
from django.db.models.constants import LOOKUP_SEP
from django.forms import CharField, Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextareaWidget

from featurestore.backoffice.permitted import permitted
from featurestore.backoffice.reauthentication import ask_again
from featurestore.identity import IdentifierError, check_identifier


class SingleCountChangeList(ChangeList):
    """Change list that counts its rows once: without a filter, the result is the whole table."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class StaffAdmin(ModelAdmin):
    """Page of a model for staff, without deletion or bulk actions.

    ``service_errors``: exceptions of services whose message the page shows. ``exact_search_field``: the field that a
    search must equal, so that an index finds it and white space in the term counts; empty: Django's search.
    ``linked_filters``: fields, shown nowhere, by which links of other pages filter the list.
    """

    service_errors: ClassVar[tuple[type[Exception], ...]] = ()
    exact_search_field: ClassVar[str] = ""
    linked_filters: ClassVar[tuple[str, ...]] = ()
    actions: Sequence[str] | None = None
    list_per_page = 50
    list_filter_submit = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    formfield_overrides = {TextField: {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 4})}}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SingleCountChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not self.exact_search_field or not search_term:
            return super().get_search_results(request, queryset, search_term)
        return found_exactly(request, queryset.filter(**{self.exact_search_field: search_term}), search_term), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Whether an address may filter by a field: only by those that the page shows to the user.

        Django allows every field of the model, such as a key's digest, and every annotation, such as the customer of a
        subject: whoever filters by the beginning of a value reads it, character by character.
        """
        assert request is not None
        name = lookup.partition(LOOKUP_SEP)[0]
        if name in self.get_queryset(request).query.annotations:
            return False
        fields = {field.name for field in self.opts.get_fields()} | {"pk"}
        return name not in fields or (
            name in {*self.shown_fields(request), *self.linked_filters}
            and super().lookup_allowed(lookup, value, request)
        )

    def shown_fields(self, request: HttpRequest) -> set[str]:
        """Fields that the list, its filters or a row's page show to the user."""
        filters = {parameter_of(one) for one in self.get_list_filter(request)}
        shown = {*self.get_list_display(request), *flatten_fieldsets(self.get_fieldsets(request, self.model()))}
        return {name for name in shown if isinstance(name, str)} | filters | {self.opts.pk.name, "pk"}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A name that identifies a row is refused with white space at its ends, not stripped."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.unique and isinstance(field, CharField):
            field.strip = False
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        rows = permitted(request, db_field.remote_field.model)
        return super().formfield_for_foreignkey(db_field, request, **{"queryset": rows} | kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        rows = permitted(request, db_field.remote_field.model)
        return super().formfield_for_manytomany(db_field, request, **{"queryset": rows} | kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """A page that adds asks for recent authentication before it opens, any other before it saves."""
        again = ask_again(request) if object_id is None or request.method == "POST" else None
        return again or super().changeform_view(request, object_id, *args, **kwargs)

    def get_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The object, if the user may view it. Raises Http404."""
        obj = self.get_object(request, object_id)
        if obj is None or not self.has_view_permission(request, obj):
            raise Http404("No such object, or you may not view it.")
        return obj

    def confirm(
        self,
        request: HttpRequest,
        obj: Model | None,
        make_form: Callable[[Any], Form],
        then: Callable[[dict[str, Any]], HttpResponse],
        **context: Any,
    ) -> HttpResponse:
        """A page with a form and a button: ``then`` acts on the valid form's data. Service errors are shown above it.
        Asks for password or second factor first, unless they were shown recently.

        ``make_form`` takes the posted data, or None. ``context``: title, button (its text), lead, facts, danger.
        """
        if again := ask_again(request):
            return again
        form = make_form(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                return then(form.cleaned_data)
            except self.service_errors as error:
                form.add_error(None, str(error))
        return self.render_page(request, obj, "admin/confirmation.html", form=form, **context)

    def render_page(self, request: HttpRequest, obj: Model | None, template: str, **context: Any) -> TemplateResponse:
        """A page from our own template, about an object or, without one, about the list."""
        request.current_app = self.admin_site.name
        common = {"opts": self.opts, "original": obj, "back": self.url_of(obj), "media": self.media}
        return TemplateResponse(request, template, self.admin_site.each_context(request) | common | context)

    def url_of(self, obj: Model | None) -> str:
        page, key = ("changelist", []) if obj is None else ("change", [obj.pk])
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=key)

    def redirect_to(self, obj: Model | None) -> HttpResponseRedirect:
        return HttpResponseRedirect(self.url_of(obj))


def parameter_of(list_filter: Any) -> str:
    """The field, or the parameter of its own, by which an entry of ``list_filter`` filters."""
    named = list_filter[0] if isinstance(list_filter, tuple) else getattr(list_filter, "parameter_name", list_filter)
    return str(named)


def found_exactly(request: HttpRequest, found: QuerySet[Any], search_term: str) -> QuerySet[Any]:
    """The rows found for a search term as it was entered, white space included; if there is none, and no id can be
    like the term, the page says why.
    """
    try:
        check_identifier(search_term, "an id")
    except IdentifierError as error:
        if not found.exists():
            messages.warning(request, f"Nothing is stored under exactly what was entered: {error}.")
    return found


class ReadOnlyAdmin(StaffAdmin):
    """Page of a model that only services write. It has no link to Django's history: the admin log has none of it."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), "show_history": False})
