"""Texts of the customers' form, in each language of messages."""

from typing import NamedTuple

from featurestore.requests.models import Language, RequestType

T = RequestType


class FormTexts(NamedTuple):
    """Texts of the form in one language."""

    title: str
    intro: str
    what: str
    types: dict[str, str]
    customer: str
    details: str
    send: str
    received: str
    reference: str  # takes the reference
    answer_by: str  # takes a date
    code_title: str
    code_intro: str
    code: str
    confirm: str
    again: str
    sent_again: str
    wrong_code: str
    verified: str
    choose: str
    check: str
    invalid: str
    invalid_lines: tuple[str, ...]
    too_often: str
    too_often_lines: tuple[str, ...]


TEXTS: dict[str, FormTexts] = {
    Language.ENGLISH: FormTexts(
        title="A request about your data",
        intro="You decide about your personal data. Tell us what we should do; you get an answer in any case.",
        what="What do you ask for?",
        types={
            T.ACCESS: "Access: which data do you have about me, and what do you use it for?",
            T.PORTABILITY: "A copy of my data that I can take elsewhere",
            T.ERASURE: "Erase my data",
            T.RECTIFICATION: "Correct my data",
            T.RESTRICTION: "Restrict the processing of my data",
            T.OBJECTION: "I object to the use of my data",
            T.OPT_OUT: "Opt out of the sale or sharing of my data",
        },
        customer="Your customer number",
        details="What else should we know? (You may leave this empty.)",
        send="Send the request",
        received="We received your request",
        reference="Its reference is {}. Keep it: you need it if you write to us about the request.",
        answer_by="We answer by {}.",
        code_title="Confirm that it is you",
        code_intro="If we have a contact of you on record, a code is on its way there. Enter it within an hour. "
        "If none arrives, we get in touch with you another way.",
        code="Code",
        confirm="Confirm",
        again="Send another code",
        sent_again="If we have a contact of you on record, another code is on its way there.",
        wrong_code="The code is wrong, or no longer valid. Check it, or ask for another one.",
        verified="Thank you: your request is confirmed",
        choose="Choose what you ask for.",
        check="Check your customer number: it has 1 to 256 characters, without spaces at its ends.",
        invalid="This link is not valid",
        invalid_lines=("It may have expired, or it was not copied in full. Ask for a new one.",),
        too_often="Too many requests",
        too_often_lines=("Wait a minute, then try again. Nothing of what you entered was recorded.",),
    ),
    Language.GERMAN: FormTexts(
        title="Ein Antrag zu Ihren Daten",
        intro="Sie entscheiden über Ihre personenbezogenen Daten. Sagen Sie uns, was wir tun sollen; Sie erhalten in "
        "jedem Fall eine Antwort.",
        what="Was beantragen Sie?",
        types={
            T.ACCESS: "Auskunft: Welche Daten haben Sie über mich, und wozu verwenden Sie sie?",
            T.PORTABILITY: "Eine Kopie meiner Daten, die ich mitnehmen kann",
            T.ERASURE: "Löschen Sie meine Daten",
            T.RECTIFICATION: "Berichtigen Sie meine Daten",
            T.RESTRICTION: "Schränken Sie die Verarbeitung meiner Daten ein",
            T.OBJECTION: "Ich widerspreche der Verwendung meiner Daten",
            T.OPT_OUT: "Keine Weitergabe und kein Verkauf meiner Daten (Opt-out)",
        },
        customer="Ihre Kundennummer",
        details="Was sollten wir noch wissen? (Das Feld darf leer bleiben.)",
        send="Antrag senden",
        received="Ihr Antrag ist eingegangen",
        reference="Er hat die Nummer {}. Bewahren Sie sie auf: Sie brauchen sie, wenn Sie uns dazu schreiben.",
        answer_by="Wir antworten bis zum {}.",
        code_title="Bestätigen Sie, dass Sie es sind",
        code_intro="Wenn wir eine Kontaktadresse von Ihnen gespeichert haben, ist ein Code dorthin unterwegs. Geben "
        "Sie ihn innerhalb einer Stunde ein. Wenn keiner ankommt, melden wir uns auf anderem Weg bei Ihnen.",
        code="Code",
        confirm="Bestätigen",
        again="Neuen Code senden",
        sent_again="Wenn wir eine Kontaktadresse von Ihnen gespeichert haben, ist ein neuer Code dorthin unterwegs.",
        wrong_code="Der Code ist falsch oder nicht mehr gültig. Prüfen Sie ihn, oder fordern Sie einen neuen an.",
        verified="Danke: Ihr Antrag ist bestätigt",
        choose="Wählen Sie, was Sie beantragen.",
        check="Prüfen Sie Ihre Kundennummer: Sie hat 1 bis 256 Zeichen, ohne Leerzeichen am Anfang und am Ende.",
        invalid="Dieser Link ist nicht gültig",
        invalid_lines=("Er ist abgelaufen oder wurde nicht vollständig kopiert. Bitten Sie um einen neuen.",),
        too_often="Zu viele Anfragen",
        too_often_lines=("Warten Sie eine Minute und versuchen Sie es erneut. Gespeichert wurde nichts.",),
    ),
    Language.SPANISH: FormTexts(
        title="Una solicitud sobre sus datos",
        intro="Usted decide sobre sus datos personales. Díganos qué debemos hacer; siempre recibirá una respuesta.",
        what="¿Qué solicita?",
        types={
            T.ACCESS: "Acceso: ¿qué datos tienen sobre mí y para qué los usan?",
            T.PORTABILITY: "Una copia de mis datos que pueda llevarme",
            T.ERASURE: "Supriman mis datos",
            T.RECTIFICATION: "Rectifiquen mis datos",
            T.RESTRICTION: "Limiten el tratamiento de mis datos",
            T.OBJECTION: "Me opongo al uso de mis datos",
            T.OPT_OUT: "No vendan ni compartan mis datos (opt-out)",
        },
        customer="Su número de cliente",
        details="¿Qué más debemos saber? (Puede dejarlo vacío.)",
        send="Enviar la solicitud",
        received="Hemos recibido su solicitud",
        reference="Su referencia es {}. Guárdela: la necesitará si nos escribe al respecto.",
        answer_by="Responderemos a más tardar el {}.",
        code_title="Confirme que es usted",
        code_intro="Si tenemos registrado un contacto suyo, le hemos enviado un código. Introdúzcalo en el plazo de "
        "una hora. Si no llega ninguno, nos pondremos en contacto con usted por otra vía.",
        code="Código",
        confirm="Confirmar",
        again="Enviar otro código",
        sent_again="Si tenemos registrado un contacto suyo, le hemos enviado otro código.",
        wrong_code="El código es incorrecto o ya no es válido. Compruébelo o pida otro.",
        verified="Gracias: su solicitud está confirmada",
        choose="Elija qué solicita.",
        check="Compruebe su número de cliente: tiene de 1 a 256 caracteres, sin espacios al principio ni al final.",
        invalid="Este enlace no es válido",
        invalid_lines=("Puede haber caducado o no haberse copiado entero. Pida uno nuevo.",),
        too_often="Demasiadas solicitudes",
        too_often_lines=("Espere un minuto e inténtelo de nuevo. No se ha guardado nada de lo que introdujo.",),
    ),
}
