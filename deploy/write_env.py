"""Script that writes a first ``.env`` of random secrets, readable only by its owner. It never overwrites a file.

python -m deploy.write_env PATH [--compose]      with the passwords of docker-compose.yml's servers
"""

import os
import secrets
import sys

SECRETS = ("RAPPORT_SECRET_KEY", "RAPPORT_SUBJECT_SECRET", "RAPPORT_CONTACT_KEY")
LISTS = ("SUPPRESSION_KEYS", "WRAPPING_KEYS", "AUDIT_LOG_KEYS")
COMPOSE = ("POSTGRES_PASSWORD", "STORE_PASSWORD", "CONTROL_PASSWORD", "GRAFANA_PASSWORD")


def main(path: str, compose: bool) -> None:
    lines = [f"{name}={secrets.token_urlsafe(48)}\n" for name in SECRETS]
    lines += [f"RAPPORT_{name}=1:{secrets.token_urlsafe(48)}\n" for name in LISTS]
    if compose:  # parts of URLs, and an argument of redis-server
        lines += [f"{name}={secrets.token_hex(24)}\n" for name in COMPOSE]
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(lines)


if __name__ == "__main__":
    main(sys.argv[1], "--compose" in sys.argv[2:])
