"""Writers of exports. Each takes the actor and, from tests, the time."""

from featurestore.requests.export.services.download import delivered, take_try
from featurestore.requests.export.services.ends import cancel, end_downloaded, expire, fail
from featurestore.requests.export.services.releases import packed, propose, release, return_to_review, show_link
from featurestore.requests.export.services.review import keep, redact_field, redact_item
from featurestore.requests.export.services.starts import start

__all__ = [
    "cancel",
    "delivered",
    "end_downloaded",
    "expire",
    "fail",
    "keep",
    "packed",
    "propose",
    "redact_field",
    "redact_item",
    "release",
    "return_to_review",
    "show_link",
    "start",
    "take_try",
]
