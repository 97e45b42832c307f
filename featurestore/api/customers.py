"""POST /v1/customers: a customer whose consents may be recorded from now on."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.api.auth import authenticate
from featurestore.api.body import BodyDecoder, Identifier, full_match, subject_at
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import Forbidden, Malformed, TooLarge, Unauthorised, Unavailable
from featurestore.api.examples import CUSTOMERS
from featurestore.api.reply import Call, Reply, encode
from featurestore.config import settings
from featurestore.profiles.services import register

Region = Annotated[str, full_match(r"[^\x00-\x1f\x7f]{1,32}")]
Brand = Annotated[str, full_match(r"[^\x00-\x1f\x7f]{1,64}")]


class CustomerRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who, and under which region's law and which brand."""

    customer_id: Identifier
    region: Region
    brand: Brand


class CustomerAnswer(msgspec.Struct):
    """``created``: was not known before. ``effective``: the store has the customer's permission."""

    created: bool
    effective: bool


BODY = BodyDecoder(CustomerRequest)
router = Router(tags=["customers"])


@router.post(
    "",
    auth=None,
    operation_id="registerCustomer",
    response={200: None, 201: None, 202: None},
    summary="Register a customer",
    openapi_extra=operation(
        CUSTOMERS,
        {200: CustomerAnswer, 201: CustomerAnswer, 202: CustomerAnswer},
        [Malformed, Unauthorised, Forbidden, TooLarge, Unavailable],
        CustomerRequest,
    ),
)
def register_customer(request: HttpRequest) -> HttpResponse:
    """Register a customer, so that decisions can be recorded; lawful bases that need no consent allow from now on.

    201: registered. 200: was registered already, and stays as it is. 202: recorded while the store is away; events and
    reads are denied until it is back. Needs the scope `consent:write`.
    """
    return respond_to(request, admit, "customers")


def admit(call: Call) -> Reply:
    """Register one customer."""
    authenticate(call, Scope.CONSENT_WRITE)
    asked = BODY.decode(call.body)
    subject_at(asked.customer_id, settings().subject_secret.encode(), "$.customer_id")
    registered = register(asked.customer_id, asked.region, asked.brand)
    status = HTTPStatus.CREATED if registered.created else HTTPStatus.OK
    answer = CustomerAnswer(created=registered.created, effective=registered.effective)
    return Reply(status if registered.effective else HTTPStatus.ACCEPTED, encode(answer))
