"""Cost of a change notification: the write script's own time in Redis, with and without its PUBLISH."""

import re
from pathlib import Path

from redis import Redis

from devservers.redis_server import RedisServer
from featurestore.permission import Permission, PurposePermission
from featurestore.store.redis import SCRIPTS, subject_key
from featurestore.tiles.stored_field import pack_field

SUBJECTS, ROUNDS = 2_000, 15
VALUE = pack_field(1, 1, 1, bytes(300))
NOTIFYING = re.compile(r"^if changed.*PUBLISH.*\n", re.MULTILINE)


def measured(folder: Path) -> dict[str, float]:
    """Microseconds of one call that writes two fields: without notification, without a subscriber, with one."""
    silent, found = NOTIFYING.subn("", SCRIPTS["write"])
    assert found == 1, "the line of the write script that publishes the change"
    server = RedisServer(folder)
    server.start()
    try:
        with Redis.from_url(server.url) as redis:
            keys = [subject_key(f"{number:032x}") for number in range(SUBJECTS)]
            permission = Permission(1, 1, {"service": PurposePermission(True, 1, 0)}).encode()
            for name in keys:
                redis.hset(name, "p", permission)
            shas = {"silent": redis.script_load(silent), "told_to_nobody": redis.script_load(SCRIPTS["write"])}
            figures = timed(redis, keys, shas)
            with redis.pubsub() as subscriber:
                subscriber.subscribe(*keys)
                figures |= timed(redis, keys, {"told_to_a_follower": shas["told_to_nobody"]})
    finally:
        server.stop()
    return {f"write_{name}_us": value for name, value in figures.items()}


def timed(redis: "Redis[bytes]", keys: list[str], shas: dict[str, str]) -> dict[str, float]:
    """The least, over rounds in which the scripts take turns, of what a call took: a busy machine only adds."""
    taken: dict[str, list[float]] = {name: [] for name in shas}
    for _ in range(ROUNDS):
        for name, sha in shas.items():
            redis.config_resetstat()
            calls = redis.pipeline(transaction=False)
            for at in keys:
                calls.evalsha(sha, 1, at, 1, "a/service", "service", VALUE, "b/service", "service", VALUE)
            calls.execute()
            taken[name].append(redis.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
    return {name: min(values) for name, values in taken.items()}
