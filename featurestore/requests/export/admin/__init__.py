"""Admin pages of exports: ``exports.py`` (list, one export, its actions), ``forms.py``."""

from featurestore.requests.export.admin import exports

__all__ = ["exports"]
