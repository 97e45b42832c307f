"""Our worker with the bench's definitions: ``python -m bench.contestants.rapport``, settings from the environment."""

from bench.contestants.shop import registry
from featurestore.config import settings
from featurestore.store.configured import store
from streams import worker
from streams.wiring import build_pipeline

if __name__ == "__main__":
    worker.run(settings(), registry.sources, lambda app: build_pipeline(app, settings(), registry, store()))
