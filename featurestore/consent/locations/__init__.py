"""Data locations of consent: its rows, the store that holds permissions and values, and three topics."""

from featurestore.consent.locations.rows import (
    ConsentRecordLocation,
    KeptDenialLocation,
    PermissionChangeLocation,
    PermissionLocation,
    PermissionStateLocation,
)
from featurestore.consent.locations.store import StoreLocation
from featurestore.consent.locations.topics import JournalLocation, PassedByLocation, PurgeLocation
from featurestore.consent.locations.versioned_denials import VersionedDenialLocation
from featurestore.locations import Impersonal, Kind, Storage, registry

registry.register(
    PermissionLocation(),
    ConsentRecordLocation(),
    PermissionStateLocation(),
    PermissionChangeLocation(),
    KeptDenialLocation(),
    StoreLocation(),
    VersionedDenialLocation(),
    JournalLocation(),
    PurgeLocation(),
    PassedByLocation(),
    impersonal=[
        Impersonal(Storage(Kind.STORE_KEY, f"fs:{name}*"), reason)
        for name, reason in {
            "watermarks": "How far each partition of a source is folded.",
            "vouch": "The vouch key of a node: store run and verifier lease.",
            "store-claim": "The store claim of a node.",
            "highest-change": "The number of the highest change that was published to a node.",
            "latch": "The epoch for which a node is latched.",
        }.items()
    ],
)
