"""Delivery by a signed webhook: the shop's own messenger passes the message on."""

import time
from collections.abc import Callable

from featurestore.config import settings
from featurestore.requests.delivery.outgoing import DeliveryFailed, Outgoing
from featurestore.signed_webhooks import Post, WebhookFailed, post, send_webhook

TYPE = "request.message"


def available() -> bool:
    return bool(settings().message_webhook_url)


def send(message: Outgoing, post: Post = post, now_s: Callable[[], float] = time.time) -> None:
    """Post a message to the shop. Raises DeliveryFailed."""
    conf, data = settings(), message._asdict()
    id_ = data.pop("id")
    try:
        send_webhook(conf.message_webhook_url, conf.message_webhook_secret, id_, TYPE, data, now_s(), post)
    except WebhookFailed as error:
        raise DeliveryFailed(str(error)) from None
