"""Next step of an export, in one sentence."""

from featurestore.backoffice.times import time_text
from featurestore.config import settings
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import IN_WORK, ExportState

TEXTS = {
    ExportState.COLLECTING: "Everything that is held about the customer is being collected.",
    ExportState.IN_REVIEW: "Look through what was found, and withhold what concerns others. Then release it.",
    ExportState.TO_RELEASE: "The review is complete. Another person releases the export, or returns it to review.",
    ExportState.PACKING: "It is released, and the package is being written.",
    ExportState.RELEASED: "The package is ready, and was not downloaded yet.",
    ExportState.DOWNLOADED: "The customer has downloaded the package.",
    ExportState.EXPIRED: "Nobody downloaded the package in time. Export the data again.",
    ExportState.CANCELLED: "It was cancelled. The data may be exported again.",
    ExportState.FAILED: "It failed. Tell operations, then export the data again.",
}
BY_TWO = "Look through what was found, and withhold what concerns others. Then propose that another person releases it."


def next_text(export: DataExport) -> str:
    """What comes next."""
    if export.waiting_for and export.waiting_since:
        since = time_text(export.waiting_since)
        return f"It waits for {export.waiting_for}, since {since}, and tries again by itself: {export.problem}"
    if export.state == ExportState.IN_REVIEW and settings().exports_need_approval:
        return BY_TWO
    return TEXTS[ExportState(export.state)]


def in_work(export: DataExport) -> bool:
    """Whether a Celery worker works on it now, so that its page changes within seconds."""
    return export.state in IN_WORK and not export.waiting_for
