"""Admin pages of subject requests: the queue and a request's page with its actions, messages, regimes."""

from featurestore.requests.admin.messages import CustomerMessageAdmin
from featurestore.requests.admin.queue import SubjectRequestAdmin
from featurestore.requests.admin.regimes import HolidayAdmin, RegimeAdmin, RegimeRuleAdmin

__all__ = ["CustomerMessageAdmin", "HolidayAdmin", "RegimeAdmin", "RegimeRuleAdmin", "SubjectRequestAdmin"]
