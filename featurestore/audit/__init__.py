"""Django app of consent audits: the store's permissions are compared with the database's, in both directions.

Read ``comparison.py`` (pure: how two permissions differ), then ``consent_audit.py`` (the run, with repairs), then
``services.py`` (findings: recorded, repaired, dismissed).
"""
