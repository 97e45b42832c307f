"""Names of the servers: what each setting that names one may say, and how every client of it is told.

``redis_url``: a Redis, a cluster, or a primary that Sentinels name. ``redis_clients``: redis-py's clients of it.
``celery_broker``: Celery's options. ``kafka``: options of librdkafka, aiokafka and Faust. ``database``: Django's.
``tls``: contexts of Python's ssl. ``checks``: what is refused at start.
"""
