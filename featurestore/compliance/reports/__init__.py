"""Reports, a module each, by name."""

from featurestore.compliance.report import Report
from featurestore.compliance.reports.access_log import ACCESS_LOG
from featurestore.compliance.reports.consent_register import CONSENT_REGISTER
from featurestore.compliance.reports.data_locations import DATA_LOCATIONS
from featurestore.compliance.reports.processing_records import PROCESSING_RECORDS
from featurestore.compliance.reports.request_statistics import REQUEST_STATISTICS
from featurestore.compliance.reports.unused import UNUSED

REPORTS: dict[str, Report] = {
    report.name: report
    for report in (PROCESSING_RECORDS, DATA_LOCATIONS, CONSENT_REGISTER, REQUEST_STATISTICS, ACCESS_LOG, UNUSED)
}
