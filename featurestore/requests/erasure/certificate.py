"""Certificate of an erasure: what was erased where, what is left until when, what is kept and why. It names nobody.

It is the answer to the customer's request, in the request's language; the titles of locations are the registry's.
"""

from collections.abc import Sequence
from typing import NamedTuple

from featurestore.locations import LocationError, registry
from featurestore.requests.erasure.models import ErasureStep
from featurestore.requests.models import Language

State = ErasureStep.State


class Texts(NamedTuple):
    """Texts of a language. Each takes the title of a location; ``erased`` a number and a date, ``waits`` a date."""

    heading: str
    erased: str
    waiting_heading: str
    waits: str
    held_heading: str
    held: str


TEXTS = {
    Language.ENGLISH: Texts(
        "We erased your data, and checked that nothing is left of it, in these places:",
        "- {title}: {erased} erased, checked on {date}",
        "Copies for our technical safety go by themselves. They are not used any more, and are gone by these dates, "
        "after which we check:",
        "- {title}: by {date}",
        "The law obliges us to keep these data. They are used for nothing else, and are erased when it ends:",
        "- {title}",
    ),
    Language.GERMAN: Texts(
        "Wir haben Ihre Daten an diesen Stellen gelöscht und geprüft, dass nichts davon übrig ist:",
        "- {title}: {erased} gelöscht, geprüft am {date}",
        "Kopien für den technischen Betrieb verschwinden von selbst. Sie werden nicht mehr verwendet und sind bis zu "
        "diesen Tagen gelöscht; danach prüfen wir es:",
        "- {title}: bis {date}",
        "Diese Daten müssen wir von Rechts wegen aufbewahren. Sie dienen nichts anderem und werden danach gelöscht:",
        "- {title}",
    ),
    Language.SPANISH: Texts(
        "Hemos suprimido sus datos y comprobado que no queda nada de ellos en estos lugares:",
        "- {title}: {erased} suprimidos, comprobado el {date}",
        "Las copias de seguridad técnica desaparecen por sí mismas. Ya no se usan y se habrán borrado en estas fechas, "
        "tras las cuales lo comprobamos:",
        "- {title}: a más tardar el {date}",
        "La ley nos obliga a conservar estos datos. No se usan para nada más y se suprimirán cuando termine:",
        "- {title}",
    ),
}


def certificate(steps: Sequence[ErasureStep], language: str) -> str:
    """The text, from the steps as they are."""
    texts = TEXTS[Language(language)]
    parts = [
        (texts.heading, [_line(texts.erased, step) for step in steps if step.state == State.CHECKED]),
        (texts.waiting_heading, [_line(texts.waits, step) for step in steps if step.state == State.WAITS]),
        (texts.held_heading, [_line(texts.held, step) for step in steps if step.state == State.HELD]),
    ]
    return "\n\n".join("\n".join([heading, *lines]) for heading, lines in parts if lines)


def title_of(name: str) -> str:
    """The title of a location; its name, if this version knows it no more."""
    try:
        return registry[name].title
    except LocationError:
        return name


def _line(text: str, step: ErasureStep) -> str:
    at = step.gone_at if step.state == State.WAITS else step.checked_at
    return text.format(title=title_of(step.location), erased=step.erased, date=at.date().isoformat() if at else "")
