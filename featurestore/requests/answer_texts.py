"""Proposed answers to a request, in its language: staff read, change and send them.

There is one where the program knows that it is true: of what the answer itself carries out, and of a released export.
"""

from typing import NamedTuple

from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import SENT
from featurestore.requests.models import Language, RequestType, SubjectRequest

PACKAGE: dict[str, str] = {
    Language.ENGLISH: "Your data is ready to be downloaded. You get the link to it, and the passphrase that opens it, "
    "in two separate messages.",
    Language.GERMAN: "Ihre Daten stehen zum Herunterladen bereit. Den Link und die Passphrase, mit der Sie die Datei "
    "öffnen, erhalten Sie in zwei getrennten Nachrichten.",
    Language.SPANISH: "Sus datos están listos para descargarse. Recibirá el enlace y la contraseña que abre el archivo "
    "en dos mensajes separados.",
}
ANSWERS: dict[str, dict[str, str]] = {
    RequestType.ACCESS: PACKAGE,
    RequestType.PORTABILITY: PACKAGE,
    RequestType.RESTRICTION: {
        Language.ENGLISH: "We have restricted the processing of your data. We will inform you before that ends.",
        Language.GERMAN: "Wir haben die Verarbeitung Ihrer Daten eingeschränkt. Bevor das endet, unterrichten wir Sie.",
        Language.SPANISH: "Hemos limitado el tratamiento de sus datos. Le informaremos antes de que eso termine.",
    },
    RequestType.OBJECTION: {
        Language.ENGLISH: "We have ended the processing of your data that you objected to.",
        Language.GERMAN: "Wir haben die Verarbeitung Ihrer Daten, der Sie widersprochen haben, beendet.",
        Language.SPANISH: "Hemos puesto fin al tratamiento de sus datos al que usted se opuso.",
    },
    RequestType.OPT_OUT: {
        Language.ENGLISH: "We have recorded your opt-out: your data is not sold or shared any more.",
        Language.GERMAN: "Wir haben Ihr Opt-out erfasst: Ihre Daten werden nicht mehr verkauft oder weitergegeben.",
        Language.SPANISH: "Hemos registrado su exclusión: sus datos ya no se venden ni se comparten.",
    },
}
"""Not of an erasure, whose answer is its certificate, nor of a rectification, which the program does not do."""


class ProposedAnswer(NamedTuple):
    """Text for the customer, and what was done, for the timeline; "" where staff write it."""

    text: str = ""
    done: str = ""


def proposed_answer(request: SubjectRequest, effect: str) -> ProposedAnswer:
    """The answer to propose. ``effect``: what the answer carries out, in words; "" if nothing."""
    if request.type in (RequestType.ACCESS, RequestType.PORTABILITY):
        sent = request.exports.filter(state__in=SENT)
        export: DataExport | None = sent.first()
        if export is None:
            return ProposedAnswer()
        return ProposedAnswer(PACKAGE[request.language], f"{export} released by {export.released_by}")
    if not effect or request.type not in ANSWERS:
        return ProposedAnswer()
    return ProposedAnswer(ANSWERS[request.type][request.language], effect)
