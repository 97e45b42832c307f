"""POST /v1/features and /v1/features/batch: routes and documentation of featurestore.api.handler."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from featurestore.api.django_adapter import respond_to
from featurestore.api.documents import operation
from featurestore.api.errors import (
    Forbidden,
    Malformed,
    TooLarge,
    Unauthorised,
    Unavailable,
    UnknownService,
    Unprocessable,
)
from featurestore.api.examples import BATCH, FEATURES
from featurestore.api.handler import BatchAnswer, BatchRequest, FeatureRequest, feature_handler
from featurestore.serving.answer import Answer

PROBLEMS = [Malformed, Unauthorised, Forbidden, UnknownService, TooLarge, Unprocessable, Unavailable]

router = Router(tags=["features"])


@router.post(
    "",
    auth=None,
    operation_id="readFeatures",
    summary="Read one customer's features",
    openapi_extra=operation(FEATURES, {200: Answer}, PROBLEMS, FeatureRequest),
)
def read_features(request: HttpRequest) -> HttpResponse:
    """Every feature of the service, exact at the time of the answer, if the customer's consent allows it.

    Each view has a status: `present`, `missing` (no event counted: the declared defaults), `stale` (null if the store
    has no value), or `withheld` (no permission: null). With `"withheld": "defaults"`, the features that would be null
    because nothing is known are answered with their declared defaults, and their view has `"defaults": true`. Denial is
    an answer, not an error. An unknown customer is answered like one without consent.
    """
    return respond_to(request, feature_handler().read_one, "features")


@router.post(
    "/batch",
    auth=None,
    operation_id="readFeaturesBatch",
    summary="Read the features of up to 100 customers",
    openapi_extra=operation(BATCH, {200: BatchAnswer}, PROBLEMS, BatchRequest),
)
def read_batch(request: HttpRequest) -> HttpResponse:
    """One answer for each customer, in the order of the request."""
    return respond_to(request, feature_handler().read_batch, "features/batch")
