"""POST /v1/customers: registers a customer, so that decisions can be recorded."""

from http import HTTPStatus
from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.access.scopes import Scope
from featurestore.api.auth import authenticate, require_scope
from featurestore.api.body import BodyDecoder, Identifier, full_match, malformed_identifier
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import ErasedIdentifier, Forbidden, Malformed, TooLarge, Unauthorised, Unavailable
from featurestore.api.examples import CUSTOMERS
from featurestore.api.reply import Call, Reply, encode
from featurestore.identity import IdentifierError
from featurestore.profiles.errors import RegistrationError
from featurestore.profiles.services import register

Region = Annotated[str, full_match(r"[^\x00-\x1f\x7f]{1,32}", "1 to 32 characters, no line breaks")]
Brand = Annotated[str, full_match(r"[^\x00-\x1f\x7f]{1,64}", "1 to 64 characters, no line breaks")]


class CustomerRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A customer, the region whose law applies, and the brand."""

    customer_id: Identifier
    region: Region
    brand: Brand
    after_erasure: Annotated[
        bool,
        msgspec.Meta(
            description="The customer was erased, and came back by their own choice: they begin anew, and nothing from "
            "before counts. Needs the scope `customers:register-erased`, too."
        ),
    ] = False


class CustomerAnswer(msgspec.Struct):
    """``created``: was not registered before. ``effective``: the store has the customer's permission."""

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
        [Malformed, Unauthorised, Forbidden, ErasedIdentifier, TooLarge, Unavailable],
        CustomerRequest,
    ),
)
def register_customer(request: HttpRequest) -> HttpResponse:
    """Register a customer, so that decisions can be recorded. Purposes that need no consent are allowed from now on.

    201: registered. 200: was registered before, and nothing changes. 202: registered, but the store does not have the
    permission yet: until it has, the customer's events are dropped and reads withheld. 409: the customer was erased,
    and the request does not state that they came back. Needs the scope `consent:write`.
    """
    return respond_to(request, register_one, "customers")


def register_one(call: Call) -> Reply:
    """Register one customer."""
    credential = authenticate(call, Scope.CONSENT_WRITE)
    request = BODY.decode(call.body)
    if request.after_erasure:
        require_scope(credential, Scope.REGISTER_ERASED)
    try:
        registered = register(
            request.customer_id, request.region, request.brand, after_erasure=request.after_erasure, entrance="api"
        )
    except IdentifierError as error:
        raise malformed_identifier(error, "$.customer_id") from None
    except RegistrationError as error:
        raise ErasedIdentifier(str(error)) from None
    status = HTTPStatus.CREATED if registered.created else HTTPStatus.OK
    answer = CustomerAnswer(created=registered.created, effective=registered.effective)
    return Reply(status if registered.effective else HTTPStatus.ACCEPTED, encode(answer))
