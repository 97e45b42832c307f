"""The purposes and the notice that a new installation starts with. Repeats are harmless."""

from typing import Any

from django.core.management.base import BaseCommand

from featurestore.consent import services

PURPOSES = {
    "service": ("Answer you", "consent", "Use your orders, visits and messages to help you when you write to us."),
    "personalisation": ("Suggest what fits", "consent", "Use your orders and visits to suggest what you may like."),
    "analytics": ("Improve the shop", "legitimate_interest", "Count how the shop is used. You may object at any time."),
    "fraud": ("Prevent fraud", "legal_obligation", "Look for signs of fraud in orders and payments, as the law asks."),
}
NOTICE = "\n\n".join(f"{title}: {description}" for title, _, description in PURPOSES.values())


class Command(BaseCommand):
    help = "Define the purposes service, personalisation, analytics and fraud, and publish the notice privacy/1/en."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, (title, basis, description) in PURPOSES.items():
            services.define_purpose(name, title=title, lawful_basis=basis, description=description)
        notice = services.publish_notice("privacy", 1, "en", NOTICE, PURPOSES)
        services.settle_purposes()
        self.stdout.write(f"{len(PURPOSES)} purposes, notice {notice.reference}")
