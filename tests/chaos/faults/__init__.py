"""Faults of a chaos run, by name: the rows of its table."""

from tests.chaos.disturbance import Fault
from tests.chaos.faults import clock_faults, database_faults, server_faults, store_faults, topic_faults, worker_faults
from tests.chaos.faults.server_faults import killed
from tests.chaos.process_clock import missing_library
from tests.chaos.servers import BROKER, CONTROL, DATABASE, STORE
from tests.chaos.small_disk import missing_right_to_mount

FAULTS: dict[str, Fault] = {
    "worker killed": Fault(worker_faults.killed),
    "worker killed, stays away": Fault(worker_faults.killed_and_away),
    "worker a zombie": Fault(worker_faults.zombie),
    "worker's disk wiped": Fault(worker_faults.disk_wiped),
    "worker added": Fault(worker_faults.added),
    "worker removed": Fault(worker_faults.removed),
    "worker's clock wrong": Fault(clock_faults.worker_clock_wrong, lacks=missing_library),
    "broker killed": Fault(killed(BROKER)),
    "broker unreachable": Fault(server_faults.broker_unreachable),
    "broker's disk full": Fault(server_faults.broker_disk_full, lacks=missing_right_to_mount),
    "event topic made anew": Fault(topic_faults.topic_made_anew),
    "store killed": Fault(killed(STORE)),
    "store emptied": Fault(store_faults.emptied),
    "store emptied again and again": Fault(store_faults.emptied_again_and_again),
    "store emptied between calls": Fault(store_faults.emptied_between_calls),
    "customers deleted from the store": Fault(store_faults.hashes_deleted),
    "worker and store killed": Fault(server_faults.worker_and_store_killed),
    "store verifier killed": Fault(killed("store-verifier")),
    "two store verifiers": Fault(store_faults.second_verifier),
    "store verifier's clock wrong": Fault(clock_faults.verifier_clock_wrong, lacks=missing_library),
    "database killed": Fault(killed(DATABASE), late_effects=False),
    "lagging standby promoted": Fault(database_faults.standby_promoted),
    "backup restored": Fault(database_faults.backup_restored),
    "database's disk full": Fault(server_faults.database_disk_full, lacks=missing_right_to_mount),
    "API killed": Fault(killed("api"), late_effects=False),
    "API's clock wrong": Fault(clock_faults.api_clock_wrong, lacks=missing_library),
    "Celery worker killed": Fault(killed("celery", purges=True), late_effects=False),
    "Celery beat killed": Fault(killed("beat", purges=True), late_effects=False),
    "control Redis killed": Fault(killed(CONTROL, purges=True), late_effects=False),
}


def missing(name: str) -> str | None:
    """What this machine lacks for a fault; None if nothing."""
    return FAULTS[name].lacks()
