"""Page that shows what a chat engine is told of a customer, and the list of emergency accesses."""

from django.urls import reverse

from featurestore.auditlog.models import WaitingEntry
from featurestore.staffreads.models import EmergencyAccess
from tests.admin.environment import AdminEnvironment, text_of

VALUES = "admin:staffreads_values"
ASKED = {"customer_id": "C42", "asked": "support_chat/service"}


def test_officer_gets_from_a_customer_to_what_a_chat_engine_is_told(env: AdminEnvironment) -> None:
    olivia = env.log_in("olivia")
    customer = reverse("admin:customers_customer_change", args=[env.customers["C42"].pk])
    assert "What a chat engine is told" in text_of(olivia.get(customer))
    form = olivia.get(reverse("admin:customers_customer_values", args=[env.customers["C42"].pk]), follow=True)
    assert 'value="C42"' in text_of(form)
    assert "Each look is recorded" in text_of(form)
    assert "emergency" not in text_of(form).partition("<form")[2].partition("</form>")[0]
    logged = WaitingEntry.objects.count()
    shown = text_of(olivia.post(reverse(VALUES), ASKED))
    assert "Answer to support_chat for service" in shown
    assert "spend_amount_sum_1h" in shown
    assert "the store has no report of a stream worker" in shown
    assert WaitingEntry.objects.count() == logged + 1


def test_page_is_shown_without_a_look_and_wrong_input_makes_none(env: AdminEnvironment) -> None:
    olivia, logged = env.log_in("olivia"), WaitingEntry.objects.count()
    assert "Answer to" not in text_of(olivia.get(reverse(VALUES), ASKED))
    for wrong in ({}, ASKED | {"asked": "support_chat/nothing"}, ASKED | {"customer_id": "x" * 257}):
        assert "Answer to" not in text_of(olivia.post(reverse(VALUES), wrong))
    assert WaitingEntry.objects.count() == logged


def test_engineer_states_a_reason_and_officers_see_it(env: AdminEnvironment) -> None:
    petra, olivia = env.log_in("petra"), env.log_in("olivia")
    assert "You may not view the values of customers." in text_of(petra.get(reverse(VALUES)))
    assert "In an emergency, state why you must." in text_of(petra.post(reverse(VALUES), ASKED))
    reason = "<b>incident 7</b> of today"
    assert "Answer to support_chat" in text_of(petra.post(reverse(VALUES), ASKED | {"reason": reason}))
    assert "Answer to support_chat" in text_of(petra.post(reverse(VALUES), ASKED)), "it is in force"
    listed = text_of(olivia.get(reverse("admin:staffreads_emergencyaccess_changelist")))
    assert "&lt;b&gt;incident 7&lt;/b&gt; of today" in listed
    assert "In force" in listed
    figures = {one.name: one for one in olivia.get(reverse("admin:index")).context["figures"]}
    figure = figures["Emergency accesses"]
    assert (figure.value, figure.description, figure.good) == ("1", "Began in the last 24 hours; 1 in force", False)
    assert EmergencyAccess.objects.count() == 1


def test_who_has_neither_right_sees_nothing(env: AdminEnvironment) -> None:
    for name in ("chris", "iris", "anton"):
        browser = env.log_in(name)
        assert browser.get(reverse(VALUES)).status_code == 403
        assert browser.post(reverse(VALUES), ASKED | {"reason": "incident 7 of today"}).status_code == 403
        assert browser.get(reverse("admin:staffreads_emergencyaccess_changelist")).status_code == 403
    assert env.log_in("petra").get(reverse("admin:staffreads_emergencyaccess_changelist")).status_code == 403
    assert not EmergencyAccess.objects.exists()
