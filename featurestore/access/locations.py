"""What access stores beside its tables: no personal data of customers.

The address of whoever uses a public page is in a key for 20 seconds, and nothing says whose it is.
"""

from featurestore.locations import Impersonal, Kind, Storage, registry

LIMITS = "For 20 seconds, counts of requests by client, by address, or by the keyed hash of a download link."
registry.register(impersonal=[Impersonal(Storage(Kind.CONTROL_KEY, "limit:*"), LIMITS)])
