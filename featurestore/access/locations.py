"""What access stores beside its tables: no personal data of customers."""

from featurestore.locations import Impersonal, Kind, Storage, registry

registry.register(
    impersonal=[Impersonal(Storage(Kind.CONTROL_KEY, "limit:*"), "Counts of requests by client and window.")]
)
