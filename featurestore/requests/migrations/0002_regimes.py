"""Regimes that are shipped: their rules, and the holidays that hold in all of their region.

A due date counts no holiday that is missing here as one, so it is early rather than late.
"""

from datetime import date

from django.db import migrations

REGIMES = {
    "gdpr": {"title": "GDPR", "time_zone": "Europe/Berlin", "rolls": True, "pausable": True},
    "ccpa": {"title": "CCPA", "time_zone": "America/Los_Angeles", "rolls": False, "pausable": False},
    "lgpd": {"title": "LGPD", "time_zone": "America/Sao_Paulo", "rolls": False, "pausable": False},
}
RULES = [
    ("gdpr", "", date(2018, 5, 25), {
        "answer_within": 1, "answer_unit": "months", "extend_by": 2, "extend_unit": "months",
        "source": "Regulation (EU) 2016/679, Article 12(3)",
    }),
    ("ccpa", "", date(2020, 1, 1), {
        "acknowledge_within": 10, "acknowledge_unit": "business_days", "answer_within": 45, "answer_unit": "days",
        "extend_by": 45, "extend_unit": "days", "source": "11 CCR § 7021; Cal. Civ. Code § 1798.130(a)(2)",
    }),
    ("ccpa", "opt-out", date(2020, 1, 1), {
        "answer_within": 15, "answer_unit": "business_days", "source": "11 CCR § 7026(f)",
    }),
    ("lgpd", "", date(2020, 9, 18), {
        "answer_within": 15, "answer_unit": "days", "source": "Lei 13.709/2018, art. 19, II",
    }),
]  # fmt: skip
HOLIDAYS = {
    "gdpr": [(1, 1, "New Year's Day"), (12, 25, "Christmas Day")],
    "ccpa": [(1, 1, "New Year's Day"), (7, 4, "Independence Day"), (12, 25, "Christmas Day")],
    "lgpd": [],
}
YEARS = range(2026, 2041)


def seed(apps, schema_editor):
    regime_model, rule_model, holiday_model = (
        apps.get_model("requests", name) for name in ("Regime", "RegimeRule", "Holiday")
    )
    for name, fields in REGIMES.items():
        regime, created = regime_model.objects.get_or_create(name=name, defaults=fields)
        if not created:
            continue
        for of, type_, effective_from, terms in RULES:
            if of == name:
                rule_model.objects.create(regime=regime, type=type_, effective_from=effective_from, **terms)
        holiday_model.objects.bulk_create(
            holiday_model(regime=regime, day=date(year, month, day), name=title)
            for year in YEARS
            for month, day, title in HOLIDAYS[name]
        )


def unseed(apps, schema_editor):
    """Nothing: the tables are dropped by 0001."""


class Migration(migrations.Migration):
    dependencies = [("requests", "0001_initial")]
    operations = [migrations.RunPython(seed, unseed)]
