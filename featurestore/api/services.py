"""GET /v1/services: the services that a key may read, specified so that a client can recompute each value."""

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.api.auth import authenticate
from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import Unauthorised, Unavailable
from featurestore.api.examples import NO_KEY, Example
from featurestore.api.reply import Call, Reply, encode
from featurestore.definitions.description import ServiceSpec, service_spec
from featurestore.installed_catalog import catalog


class ServiceList(msgspec.Struct):
    """The services and purposes that the key is bound to."""

    purposes: list[str]
    services: list[ServiceSpec]


SERVICE_SPECS = {name: msgspec.convert(service_spec(s), ServiceSpec) for name, s in catalog().registry.services.items()}
SMALLEST = min(SERVICE_SPECS.values(), key=lambda service: sum(len(view["features"]) for view in service["views"]))
LISTED = Example(
    "listed",
    "A key bound to one service and one purpose",
    None,
    200,
    msgspec.to_builtins(ServiceList([SMALLEST["purpose"]], [SMALLEST])),
)
EXAMPLES = [LISTED, NO_KEY]

router = Router(tags=["services"])


@router.get(
    "",
    auth=None,
    operation_id="listServices",
    summary="List the services that the key may use",
    openapi_extra=operation(EXAMPLES, {200: ServiceList}, [Unauthorised, Unavailable]),
)
def list_services(request: HttpRequest) -> HttpResponse:
    """The services of the key, with their views and features, windows and defaults."""
    return respond_to(request, services_of_caller, "services")


def services_of_caller(call: Call) -> Reply:
    """The services that the caller's key is bound to, in the catalog's order."""
    credential = authenticate(call)
    bound = [service for name, service in SERVICE_SPECS.items() if name in credential.services]
    return Reply(200, encode(ServiceList(sorted(credential.purposes), bound)))
