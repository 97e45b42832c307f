"""Texts of the summary, in every language of requests. Names and statements of the installation stay as they are."""

from featurestore.requests.models import Language

ENGLISH = {
    "title": "What we hold about you",
    "intro": "This is the answer to your request {reference}, as of {at}. It was made for you alone: keep it in a safe "
    "place. Times are in UTC.",
    "how": "How to read it",
    "how_text": "This page is a summary. The folder data has everything, as two files for each category: JSON Lines "
    "for programs (.jsonl), and a table for spreadsheets (.csv). The folder schema describes the fields. manifest.json "
    "names every file with its size and its SHA-256, by which a program can check that nothing was changed.",
    "found": "What was found",
    "nothing": "Nothing.",
    "category": "Category", "items": "Items", "from": "From", "to": "To", "origin": "Where it came from",
    "file": "File", "withheld": "Withheld",
    "withheld_all": "all of it", "withheld_fields": "fields: {fields}", "withheld_items": "{number} items",
    "withheld_why": "What is withheld concerns the rights and freedoms of others (GDPR, Article 15(4)).",
    "purposes": "What it is used for",
    "purpose": "Purpose", "basis": "Lawful basis", "state": "State", "since": "Since", "until": "Until",
    "allowed": "in use", "paused": "restricted: kept and not used", "refused": "not in use",
    "consent": "consent", "contract": "contract", "legal_obligation": "legal obligation",
    "legitimate_interest": "legitimate interest",
    "history": "Your decisions",
    "decision": "Decision", "when": "When", "how_made": "How", "notice": "Notice",
    "given": "given", "withdrawn": "withdrawn", "expired": "expired", "lifted": "restriction ended",
    "decision_paused": "restricted",
    "more": "Only the newest {number} are shown here: the data files have all.",
    "recipients": "Who read it",
    "recipients_text": "Programs that read your values, as far back as that is kept: {days} days.",
    "client": "Recipient", "service": "Service", "reads": "Reads", "first": "First", "last": "Last",
    "retention": "How long it is kept",
    "place": "Where it is", "holds": "What it is", "ends": "How it ends", "gone": "After an erasure, gone within",
    "at_once": "at once", "days": "{number} days",
    "rights": "Your rights",
    "rights_text": "You may have wrong data corrected and data erased, have its use restricted, object to it, and "
    "withdraw a consent at any time. You may complain to a data protection authority, in particular where you live. "
    "No decision with legal effect is made about you by this system alone.",
}  # fmt: skip
GERMAN = {
    "title": "Was wir über Sie speichern",
    "intro": "Dies ist die Antwort auf Ihre Anfrage {reference}, Stand {at}. Sie ist nur für Sie bestimmt: Bewahren "
    "Sie sie sicher auf. Zeiten sind in UTC angegeben.",
    "how": "Wie es zu lesen ist",
    "how_text": "Diese Seite ist eine Zusammenfassung. Der Ordner data enthält alles, je Kategorie zwei Dateien: JSON "
    "Lines für Programme (.jsonl) und eine Tabelle (.csv). Der Ordner schema beschreibt die Felder. manifest.json "
    "nennt jede Datei mit Größe und SHA-256; damit kann ein Programm prüfen, dass nichts verändert wurde.",
    "found": "Was gefunden wurde",
    "nothing": "Nichts.",
    "category": "Kategorie", "items": "Einträge", "from": "Von", "to": "Bis", "origin": "Herkunft",
    "file": "Datei", "withheld": "Zurückgehalten",
    "withheld_all": "alles", "withheld_fields": "Felder: {fields}", "withheld_items": "{number} Einträge",
    "withheld_why": "Was zurückgehalten ist, betrifft Rechte und Freiheiten anderer (DSGVO, Artikel 15 Absatz 4).",
    "purposes": "Wofür es verwendet wird",
    "purpose": "Zweck", "basis": "Rechtsgrundlage", "state": "Zustand", "since": "Seit", "until": "Bis",
    "allowed": "in Verwendung", "paused": "eingeschränkt: aufbewahrt und nicht verwendet", "refused": "nicht verwendet",
    "consent": "Einwilligung", "contract": "Vertrag", "legal_obligation": "rechtliche Verpflichtung",
    "legitimate_interest": "berechtigtes Interesse",
    "history": "Ihre Entscheidungen",
    "decision": "Entscheidung", "when": "Wann", "how_made": "Wie", "notice": "Hinweis",
    "given": "erteilt", "withdrawn": "widerrufen", "expired": "abgelaufen", "lifted": "Einschränkung beendet",
    "decision_paused": "eingeschränkt",
    "more": "Hier stehen nur die neuesten {number}: Die Datendateien enthalten alle.",
    "recipients": "Wer es gelesen hat",
    "recipients_text": "Programme, die Ihre Werte gelesen haben, soweit das aufbewahrt wird: {days} Tage.",
    "client": "Empfänger", "service": "Dienst", "reads": "Lesevorgänge", "first": "Zuerst", "last": "Zuletzt",
    "retention": "Wie lange es aufbewahrt wird",
    "place": "Wo es liegt", "holds": "Was es ist", "ends": "Wie es endet",
    "gone": "Nach einer Löschung fort innerhalb von",
    "at_once": "sofort", "days": "{number} Tagen",
    "rights": "Ihre Rechte",
    "rights_text": "Sie können falsche Daten berichtigen und Daten löschen lassen, ihre Verwendung einschränken "
    "lassen, ihr widersprechen und eine Einwilligung jederzeit widerrufen. Sie können sich bei einer "
    "Datenschutzbehörde beschweren, insbesondere an Ihrem Wohnort. Dieses System allein trifft keine Entscheidung mit "
    "rechtlicher Wirkung.",
}  # fmt: skip
SPANISH = {
    "title": "Qué datos suyos tenemos",
    "intro": "Esta es la respuesta a su solicitud {reference}, a fecha de {at}. Se ha hecho solo para usted: guárdela "
    "en un lugar seguro. Las horas están en UTC.",
    "how": "Cómo leerlo",
    "how_text": "Esta página es un resumen. La carpeta data lo contiene todo, en dos archivos por categoría: JSON "
    "Lines para programas (.jsonl) y una tabla (.csv). La carpeta schema describe los campos. manifest.json nombra "
    "cada archivo con su tamaño y su SHA-256, con los que un programa puede comprobar que nada se ha modificado.",
    "found": "Qué se ha encontrado",
    "nothing": "Nada.",
    "category": "Categoría", "items": "Elementos", "from": "Desde", "to": "Hasta", "origin": "Procedencia",
    "file": "Archivo", "withheld": "No se entrega",
    "withheld_all": "nada de ello", "withheld_fields": "campos: {fields}", "withheld_items": "{number} elementos",
    "withheld_why": "Lo que no se entrega afecta a derechos y libertades de otros (RGPD, artículo 15, apartado 4).",
    "purposes": "Para qué se usan",
    "purpose": "Finalidad", "basis": "Base jurídica", "state": "Estado", "since": "Desde", "until": "Hasta",
    "allowed": "en uso", "paused": "limitado: se conserva y no se usa", "refused": "no se usa",
    "consent": "consentimiento", "contract": "contrato", "legal_obligation": "obligación legal",
    "legitimate_interest": "interés legítimo",
    "history": "Sus decisiones",
    "decision": "Decisión", "when": "Cuándo", "how_made": "Cómo", "notice": "Aviso",
    "given": "dado", "withdrawn": "retirado", "expired": "vencido", "lifted": "limitación terminada",
    "decision_paused": "limitado",
    "more": "Aquí solo están los {number} más recientes: los archivos de datos los contienen todos.",
    "recipients": "Quién los ha leído",
    "recipients_text": "Programas que han leído sus valores, hasta donde se conserva: {days} días.",
    "client": "Destinatario", "service": "Servicio", "reads": "Lecturas", "first": "Primera", "last": "Última",
    "retention": "Cuánto tiempo se conservan",
    "place": "Dónde están", "holds": "Qué son", "ends": "Cómo terminan", "gone": "Tras una supresión, desaparecen en",
    "at_once": "el acto", "days": "{number} días",
    "rights": "Sus derechos",
    "rights_text": "Puede hacer rectificar los datos erróneos y suprimir datos, hacer limitar su uso, oponerse a él y "
    "retirar un consentimiento en cualquier momento. Puede reclamar ante una autoridad de protección de datos, en "
    "particular la de su residencia. Este sistema no toma por sí solo ninguna decisión con efectos jurídicos.",
}  # fmt: skip
TEXTS: dict[str, dict[str, str]] = {Language.ENGLISH: ENGLISH, Language.GERMAN: GERMAN, Language.SPANISH: SPANISH}
