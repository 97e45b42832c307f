"""Secrets of an export that its messages hand over: the address of the package, and the passphrase that opens it."""

from django.urls import reverse

from featurestore.config import settings
from featurestore.requests.contact_box import decrypt
from featurestore.requests.errors import NotPossible
from featurestore.requests.export.models import DataExport
from featurestore.requests.models import CustomerMessage

ENDED = "The export has ended: there is nothing to hand over."


def address_of(link: str) -> str:
    """The address at which a customer downloads a package, by its link."""
    path = reverse("export_download", urlconf="featurestore.requests.export.urls", args=[link])
    return settings().public_url.rstrip("/") + path


def number_of(export: DataExport) -> int:
    """The number of an export among those of its request, from 0: that of its messages."""
    return DataExport.objects.filter(request=export.request_id, pk__lt=export.pk).count()


def link_of(message: CustomerMessage) -> str:
    """Raises NotPossible, Unreadable."""
    export = _export_of(message)
    if not export.encrypted_link:
        raise NotPossible(ENDED)
    return address_of(decrypt(export.encrypted_link))


def passphrase_of(message: CustomerMessage) -> str:
    """Raises NotPossible, Unreadable."""
    export = _export_of(message)
    if not export.encrypted_passphrase:
        raise NotPossible(ENDED)
    return decrypt(export.encrypted_passphrase)


def _export_of(message: CustomerMessage) -> DataExport:
    found = DataExport.objects.filter(request=message.request_id).order_by("pk")[message.number : message.number + 1]
    if not found:
        raise NotPossible(ENDED)
    return found[0]
