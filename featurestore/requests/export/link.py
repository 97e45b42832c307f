"""Secret part of a download link: 192 random bits, signed. Only a keyed hash of it is looked up."""

import secrets

from django.core.signing import BadSignature, Signer

from featurestore.requests.contact_box import keyed_hash
from featurestore.requests.export.errors import LinkRefused

REFUSED = "This link is not valid, or no longer. Ask the shop for a new one."
SALT, SEPARATOR = "exports.link", "."
LONGEST = 200


def new_link() -> str:
    return Signer(salt=SALT, sep=SEPARATOR).sign(secrets.token_urlsafe(24))


def digest_of(link: str) -> str:
    """The hash of a link whose signature is right: a guess asks no database. Raises LinkRefused."""
    try:
        if len(link) > LONGEST:
            raise LinkRefused(REFUSED)
        return keyed_hash("export link", Signer(salt=SALT, sep=SEPARATOR).unsign(link))
    except BadSignature:
        raise LinkRefused(REFUSED) from None
