"""What every page of the administration keeps to."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.contrib.admin import ShowFacets
from django.db.models import Model, QuerySet, TextField
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextareaWidget


class Results(ChangeList):
    """Counts once. A list that nothing narrows is all there is."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class StaffAdmin(ModelAdmin):
    """Nothing is deleted from a page or changed in bulk unasked, and what a service refuses is said in its words."""

    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    searched: ClassVar[str] = ""  # the field whose whole value is searched for: an index finds it, a space is no break
    actions: Sequence[str] | None = None
    list_per_page = 50
    list_filter_submit = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    formfield_overrides = {TextField: {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 4})}}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Results

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not self.searched or not search_term.strip():
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(**{self.searched: search_term.strip()}), False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """An object that this person may see, for a page of our own. Raises Http404."""
        obj = self.get_object(request, object_id)
        if obj is None or not self.has_view_permission(request, obj):
            raise Http404("There is nothing here, or nothing that you may see.")
        return obj

    def ask(
        self,
        request: HttpRequest,
        obj: Model | None,
        form_of: Callable[[Any], Form],
        then: Callable[[dict[str, Any]], HttpResponse],
        **context: Any,
    ) -> HttpResponse:
        """A page that asks before it acts: ``then`` gets the form's answers. What a service refuses stands above them.

        ``form_of`` makes the form from what was posted, or None. ``context``: title, act (the button's words), and
        what the page should say: lead, facts, danger.
        """
        form = form_of(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                return then(form.cleaned_data)
            except self.refusals as refusal:
                form.add_error(None, str(refusal))
        return self.page(request, obj, "admin/question.html", form=form, **context)

    def page(self, request: HttpRequest, obj: Model | None, template: str, **context: Any) -> TemplateResponse:
        """A page of our own about an object, or about the whole list."""
        request.current_app = self.admin_site.name
        common = {"opts": self.opts, "original": obj, "back": self.address(obj), "media": self.media}
        return TemplateResponse(request, template, self.admin_site.each_context(request) | common | context)

    def address(self, obj: Model | None) -> str:
        page, key = ("changelist", []) if obj is None else ("change", [obj.pk])
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}", args=key)

    def back(self, obj: Model | None) -> HttpResponseRedirect:
        return HttpResponseRedirect(self.address(obj))


class ReadOnlyAdmin(StaffAdmin):
    """Rows that services write. Their history is in themselves, not in the administration's log."""

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
