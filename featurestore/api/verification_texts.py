"""Texts of the page that verifies documents, in each language of messages."""

from typing import NamedTuple

from featurestore.requests.models import Language


class VerificationTexts(NamedTuple):
    """Texts of the page in one language. ``holds_lines`` take what was found, by name."""

    title: str
    intro: str
    document: str
    verify: str
    holds: str
    holds_lines: tuple[str, ...]
    refused: str
    unreadable: str
    too_often: str
    kinds: dict[str, str]
    other_kind: str
    says: str
    keys: str


TEXTS: dict[str, VerificationTexts] = {
    Language.ENGLISH: VerificationTexts(
        "Verify a document",
        "Paste a document that you got from us. It is compared with our published keys and our log. We keep nothing of "
        "it.",
        "Document (JSON)",
        "Verify",
        "The document is genuine and unchanged.",
        (
            "{kind}, issued on {issued} as entry {entry} of our log.",
            "Signed on {signed} by the key {key}, which is in use since {since}.",
        ),
        "The document is not genuine, or was changed.",
        "This is no complete document.",
        "Too many attempts. Try again in a few seconds.",
        {
            "consent_receipt": "Consent receipt",
            "erasure_certificate": "Erasure certificate",
            "as_of": "What was allowed and read, as of a time",
            "compliance_manifest": "Manifest of a compliance export",
        },
        "Document",
        "What it says",
        "Published keys",
    ),
    Language.GERMAN: VerificationTexts(
        "Dokument prüfen",
        "Fügen Sie ein Dokument ein, das Sie von uns haben. Es wird mit unseren veröffentlichten Schlüsseln und "
        "unserem Protokoll verglichen. Wir behalten nichts davon.",
        "Dokument (JSON)",
        "Prüfen",
        "Das Dokument ist echt und unverändert.",
        (
            "{kind}, ausgestellt am {issued} als Eintrag {entry} unseres Protokolls.",
            "Signiert am {signed} mit dem Schlüssel {key}, der seit {since} in Gebrauch ist.",
        ),
        "Das Dokument ist nicht echt oder wurde verändert.",
        "Das ist kein vollständiges Dokument.",
        "Zu viele Versuche. Versuchen Sie es in einigen Sekunden erneut.",
        {
            "consent_receipt": "Nachweis einer Einwilligung",
            "erasure_certificate": "Löschbescheinigung",
            "as_of": "Was zu einer Zeit erlaubt war und gelesen wurde",
            "compliance_manifest": "Manifest eines Compliance-Exports",
        },
        "Dokument",
        "Inhalt",
        "Veröffentlichte Schlüssel",
    ),
    Language.SPANISH: VerificationTexts(
        "Verificar un documento",
        "Pegue un documento que haya recibido de nosotros. Se compara con nuestras claves publicadas y nuestro "
        "registro. No conservamos nada de él.",
        "Documento (JSON)",
        "Verificar",
        "El documento es auténtico y no ha sido modificado.",
        (
            "{kind}, emitido el {issued} como entrada {entry} de nuestro registro.",
            "Firmado el {signed} con la clave {key}, en uso desde el {since}.",
        ),
        "El documento no es auténtico o ha sido modificado.",
        "No es un documento completo.",
        "Demasiados intentos. Vuelva a intentarlo dentro de unos segundos.",
        {
            "consent_receipt": "Justificante de consentimiento",
            "erasure_certificate": "Certificado de supresión",
            "as_of": "Lo que estaba permitido y se leyó en un momento",
            "compliance_manifest": "Manifiesto de una exportación de cumplimiento",
        },
        "Documento",
        "Contenido",
        "Claves publicadas",
    ),
}
