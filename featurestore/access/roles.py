"""Roles of staff and their permissions. Pure.

A permission is APP.CODENAME; * matches any text. A chat engineer is also assigned single clients (object permissions of
django-guardian). No role may delete consent: records are append-only.
"""

SECOND_FACTOR_PERMISSIONS = (
    "customers.view_customer",
    "consent.view_consentrecord",
    "requests.view_subjectrequest",
    "accesslog.view_accessrecord",
    "auditlog.view_entrycontent",
    "staffreads.view_values",
    "staffreads.add_emergencyaccess",
    "exports.review_dataexport",
    "exports.deliver_dataexport",
    "access.add_apikey",
    "access.add_clientsecret",
    "auth.change_user",
)
"""Permissions for which a password is not enough: they show customers, or make a credential or login that does."""

PRIVACY_OFFICER = "Privacy officer"
CHAT_ENGINEER = "Chat engineer"
PLATFORM_ENGINEER = "Platform engineer"
REQUEST_INTAKE = "Request intake"
REQUEST_APPROVER = "Request approver"

ROLES: dict[str, tuple[str, ...]] = {
    PRIVACY_OFFICER: (
        "consent.view_*",
        "consent.add_*",
        "consent.change_*",
        "customers.view_*",
        "customers.add_legalhold",
        "customers.change_legalhold",
        "erasure.view_erasure",
        "erasure.run_erasure",
        "audit.view_*",
        "audit.add_*",
        "audit.change_*",
        "auditlog.view_entrycontent",
        "auditlog.view_headdestination",
        "auditlog.view_logverification",
        "auditlog.add_logverification",
        "access.view_*",
        "accesslog.view_*",
        "ingest.view_deadletter",
        "logins.view_loginevent",
        "exports.view_dataexport",
        "exports.add_dataexport",
        "exports.review_dataexport",
        "exports.release_dataexport",
        "exports.deliver_dataexport",
        "requests.view_*",
        "requests.add_*",
        "requests.change_*",
        "retention.view_*",
        "retention.add_*",
        "staffreads.view_*",
    ),
    REQUEST_INTAKE: ("requests.view_subjectrequest", "requests.add_subjectrequest"),
    REQUEST_APPROVER: (
        "requests.view_*",
        "requests.approve_subjectrequest",
        "auditlog.view_entrycontent",
        "auditlog.view_logverification",
        "customers.view_customer",
        "erasure.view_erasure",
        "exports.view_dataexport",
        "exports.review_dataexport",
        "exports.release_dataexport",
    ),
    CHAT_ENGINEER: ("consent.view_purpose", "consent.view_notice"),
    PLATFORM_ENGINEER: (
        "access.view_api*",
        "access.view_client*",
        "access.add_api*",
        "access.add_client*",
        "access.change_api*",
        "access.change_client*",
        "accesslog.view_accessgap",  # but not access records: they are about customers
        "consent.view_purpose",
        "consent.view_notice",
        "consent.view_permissionchange",
        "audit.view_auditrun",
        "audit.view_finding",
        "auditlog.view_headdestination",
        "auditlog.view_logverification",
        "auditlog.add_logverification",
        "ingest.view_deadletter",
        "ingest.change_deadletter",
        "retention.view_evictionrun",
        "retention.add_evictionrun",
        "staffreads.add_emergencyaccess",
    ),
}
