"""Delivery by e-mail, through Django's e-mail backends."""

import smtplib

from django.core.mail import EmailMessage

from featurestore.config import settings
from featurestore.requests.delivery.outgoing import DeliveryFailed, Outgoing


def available() -> bool:
    """Whether e-mails leave. In development they become files."""
    return bool(settings().email_host) or not settings().production


def send(message: Outgoing) -> None:
    """Send one e-mail. Raises DeliveryFailed."""
    send_text(message.address, message.subject, message.text, message.id, message.language)


def send_text(address: str, subject: str, text: str, id_: str, language: str = "en") -> None:
    """Send a text to one address. Mail programs know a repeat by its Message-ID. Raises DeliveryFailed."""
    host = settings().email_from.rpartition("@")[2]
    headers = {"Message-ID": f"<{id_}@{host}>", "Content-Language": language, "Auto-Submitted": "auto-generated"}
    try:
        EmailMessage(subject, text, settings().email_from, [address], headers=headers).send()
    except smtplib.SMTPResponseException as error:
        raise DeliveryFailed(f"The mail server answered {error.smtp_code}.") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: a header with a line break
        raise DeliveryFailed(f"The mail server did not take it: {type(error).__name__}.") from None
