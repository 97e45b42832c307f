"""The online store: its protocol, its backends (Redis, Redis Cluster, memory), connections and change notifications."""
